"""Checkpoints: parameters with all that is needed to use them, and resumable training.

A workdir holds `checkpoints/<step>/` written by Orbax: `state` (parameters, optimiser,
step, key) and `about` (config, normaliser, provenance, as JSON). The best by validation
loss and the latest are kept. To hand a model on, `pack` writes parameters and `about` into
one small `.npz`; models that come with the package are such files.
"""

import dataclasses
import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np

from gazehead_jax.config import Config
from gazehead_jax.errors import GazeheadError, require
from gazehead_jax.files import UNREADABLE, atomic_path, unwritable
from gazehead_jax.normaliser import Normaliser

FORMAT = 1
# Models that come with the package: name → sha256 of its file.
SHIPPED = {
    "natural": "a91d8c48e8cd0ff1babc176dc6d41345f71d262ae251c237df7d6af00fd14b7e"
}
SHIPPED_FOLDER = Path(__file__).parent / "pretrained"


@dataclasses.dataclass(frozen=True, eq=False)
class Checkpoint:
    """A trained model.

    Attributes:
      config: the experiment that made it.
      params: of the network, see `networks`; NumPy arrays.
      normaliser: its units.
      provenance: step, data, versions, licence: whatever the training wrote down.
    """

    config: Config
    params: dict
    normaliser: Normaliser
    provenance: Mapping

    @property
    def name(self) -> str:
        return self.config.name


def about(config: Config, normaliser: Normaliser, provenance: Mapping) -> dict:
    """The JSON beside the state."""
    return {
        "format": FORMAT,
        "config": config.to_dict(),
        "normaliser": normaliser.to_dict(),
        "provenance": dict(provenance),
    }


def load(path: str | Path, which: str = "best") -> Checkpoint:
    """Loads a model to sample from; no training code or accelerator is needed.

    Args:
      path: the name of a model that comes with the package ("natural"), a file that
        `pack` wrote, a workdir, its `checkpoints` folder, or one step's folder in it.
      which: of a workdir: "best" by validation loss, "latest", or a step number as text.

    Raises:
      GazeheadError: nothing there, an unfinished or foreign folder, or parameters that
        do not fit their config.
    """
    require(
        isinstance(path, str | os.PathLike),
        f"load takes a name or a path, got {type(path).__name__}.",
    )
    if str(path) in SHIPPED:
        return _unpack(SHIPPED_FOLDER / f"{path}.npz")
    path = Path(path)
    if path.suffix == ".npz" and path.is_file():
        return _unpack(path)
    folder = _step_folder(path, which)
    import orbax.checkpoint as ocp
    from absl import logging

    # Orbax warns of what it need not have: its own metadata beside a state.
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        facts = ocp.JsonCheckpointHandler().restore(folder.resolve() / "about")
        with ocp.PyTreeCheckpointer() as checkpointer:
            state_path = folder.resolve() / "state"
            tree = checkpointer.metadata(state_path).item_metadata.tree
            restore_args = jax.tree.map(
                lambda _: ocp.RestoreArgs(restore_type=np.ndarray),
                {"params": tree["params"]},
            )
            state = checkpointer.restore(
                state_path,
                args=ocp.args.PyTreeRestore(
                    item={"params": tree["params"]},
                    restore_args=restore_args,
                    partial_restore=True,
                ),
            )
    except Exception as error:
        raise GazeheadError(
            f"{folder}: not a readable checkpoint ({type(error).__name__}: "
            f"{str(error).splitlines()[0][:200] if str(error) else 'no details'})."
        ) from error
    finally:
        logging.set_verbosity(verbosity)
    config, normaliser, provenance = read_about(facts, folder)
    params = state["params"]
    _check_params(config, params, folder)
    return Checkpoint(config, params, normaliser, provenance)


def pack(checkpoint: Checkpoint, path: str | Path) -> Path:
    """Writes parameters, config, units and provenance into one file for `load`.

    Args:
      checkpoint: the model.
      path: an `.npz`; written whole or not at all. The same model gives the same bytes.

    Raises:
      GazeheadError: another suffix, or the place cannot be written.
    """
    path = Path(path)
    require(
        path.suffix == ".npz",
        f"{path}: a packed model is an .npz, got {path.suffix or 'no suffix'!r}.",
    )
    facts = about(checkpoint.config, checkpoint.normaliser, checkpoint.provenance)
    arrays = {
        "/".join(str(key.key) for key in keys): np.asarray(x, np.float32)
        for keys, x in _leaves(checkpoint.params)
    }
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, about=json.dumps(facts), **arrays)
    return path


def card(name: str | Path) -> str:
    """What is written about a model, and how it was made.

    Args:
      name: as `load` takes it.

    Raises:
      GazeheadError: as `load`.
    """
    checkpoint = load(name)
    written = SHIPPED_FOLDER / f"{name}.md"
    parts = [written.read_text()] if str(name) in SHIPPED else []
    facts = {"provenance": checkpoint.provenance, "config": checkpoint.config.to_dict()}
    return "\n".join([*parts, json.dumps(facts, indent=1, ensure_ascii=False)])


def _unpack(path: Path) -> Checkpoint:
    try:
        # NumPy leaves a file open that is not one of its own.
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        facts = json.loads(str(arrays.pop("about")))
    except (*UNREADABLE, KeyError) as error:
        raise GazeheadError(
            f"{path}: not a packed model ({type(error).__name__}); `gazehead pack` "
            "writes them."
        ) from error
    config, normaliser, provenance = read_about(facts, path)
    params: dict = {}
    for name, x in arrays.items():
        *sections, last = name.split("/")
        place = params
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = x
    _check_params(config, params, path)
    return Checkpoint(config, params, normaliser, provenance)


def read_about(facts: Mapping, folder) -> tuple[Config, Normaliser, Mapping]:
    """The parts of `about`, checked."""
    require(
        facts.get("format") == FORMAT,
        f"{folder}: checkpoint format must be {FORMAT}, got {facts.get('format')!r}; it "
        "was written by another version of gazehead_jax.",
    )
    return (
        Config.from_dict(facts["config"]),
        Normaliser.from_dict(facts["normaliser"]),
        facts["provenance"],
    )


def _check_params(config: Config, params, folder) -> None:
    from gazehead_jax.networks import init_params

    wanted = jax.eval_shape(lambda: init_params(config.model, jax.random.key(0)))
    shapes = {jax.tree_util.keystr(p): x.shape for p, x in _leaves(wanted)}
    got = {jax.tree_util.keystr(p): x.shape for p, x in _leaves(params)}
    wrong = sorted(k for k in shapes.keys() | got.keys() if shapes.get(k) != got.get(k))
    require(
        not wrong,
        f"{folder}: the parameters do not fit the config: "
        + ", ".join(f"{k} is {got.get(k)}, expected {shapes.get(k)}" for k in wrong[:3])
        + ".",
    )


def _leaves(tree):
    return jax.tree_util.tree_leaves_with_path(tree)


def _step_folder(path: Path, which: str) -> Path:
    require(
        path.exists(),
        f"{path}: there is no such checkpoint or workdir, and no model of this name comes "
        f"with the package, which has: {', '.join(SHIPPED)}.",
    )
    if path.name.isdigit() and (path / "about").is_dir():
        return path
    root = path / "checkpoints" if (path / "checkpoints").is_dir() else path
    require(
        root.is_dir(),
        f"{path}: a checkpoint is a workdir or a packed .npz, and this is another file.",
    )
    steps = sorted(int(p.name) for p in root.iterdir() if p.name.isdigit())
    require(
        bool(steps),
        f"{path}: holds no finished checkpoint; give the --workdir of a training run.",
    )
    if which == "latest":
        return root / str(steps[-1])
    if which == "best":
        return root / str(
            min(steps, key=lambda step: (loss_of(root / str(step)), -step))
        )
    require(
        which.isdigit() and int(which) in steps,
        f"{path}: checkpoint must be best, latest or one of {steps}, got {which!r}.",
    )
    return root / which


def loss_of(folder: Path) -> float:
    """The validation loss that Orbax wrote beside a checkpoint; infinite if there is none
    or it is not finite, so that such a checkpoint is never the best."""
    try:
        loss = json.loads((folder / "metrics" / "metrics").read_text())["loss"]
    except (OSError, ValueError, KeyError):
        return math.inf
    return loss if math.isfinite(loss) else math.inf


def manager(workdir: str | Path):
    """Orbax's manager of `workdir/checkpoints`: keeps the latest and the best."""
    import orbax.checkpoint as ocp
    from orbax.checkpoint.checkpoint_managers import preservation_policy as keep

    def by_loss(metrics):
        return metrics["loss"]

    policy = keep.AnyPreservationPolicy(
        [keep.LatestN(1), keep.BestN(get_metric_fn=by_loss, reverse=True, n=1)]
    )
    options = ocp.CheckpointManagerOptions(
        best_fn=by_loss,
        best_mode="min",
        preservation_policy=policy,
        cleanup_tmp_directories=True,
    )
    try:
        return ocp.CheckpointManager(
            Path(workdir).resolve() / "checkpoints",
            options=options,
            item_names=("state", "about"),
        )
    except OSError as error:
        raise unwritable(workdir, error) from error


def save(orbax, step: int, state, facts: Mapping, loss: float) -> None:
    """Writes one checkpoint through a manager and waits for it.

    Raises:
      GazeheadError: the disk is full or cannot be written.
    """
    import orbax.checkpoint as ocp

    try:
        orbax.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(state), about=ocp.args.JsonSave(facts)
            ),
            metrics={"loss": float(loss)},
            force=True,
        )
        orbax.wait_until_finished()
    except OSError as error:
        raise unwritable(orbax.directory, error) from error
    except ValueError as error:
        # tensorstore reports a full disk as a status text.
        if re.search("no space left|RESOURCE_EXHAUSTED", str(error), re.IGNORECASE):
            raise unwritable(orbax.directory, OSError(28, "No space left")) from error
        raise


def restore_about(orbax) -> Mapping:
    """The latest step's `about`; read and compared before its state is."""
    import orbax.checkpoint as ocp

    step = orbax.latest_step()
    return orbax.restore(step, args=ocp.args.Composite(about=ocp.args.JsonRestore()))[
        "about"
    ]


def restore_state(orbax, template):
    """The latest step's state, in the structure and on the devices of the template."""
    import orbax.checkpoint as ocp

    arguments = ocp.args.Composite(state=ocp.args.StandardRestore(template))
    return orbax.restore(orbax.latest_step(), args=arguments)["state"]
