"""Training: whole steps a second of the paper's model, against PyTorch."""

import dataclasses
import functools
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from gazehead_jax.benchmarks import contest
from gazehead_jax.benchmarks.contest import OURS, Contest, Limit, Result
from gazehead_jax.benchmarks.report import Report
from gazehead_jax.benchmarks.worker import RIVALS, Runner

HERE = "gazehead_jax.benchmarks.train"
# Largest relative difference of any loss, and of the change of all weights.
TOLERANCE = 1e-3
# What --check holds us to: (contest, rival) → least ratio of its time to ours.
FLOORS = {("training step, 64 windows", "torch"): 1.6}


def _torch(form: str) -> Runner:
    module = f"{RIVALS}.torch_training"
    return Runner(module, "TorchTraining", (form,), "torch", "run", case=False)


def _ours(devices: int, mode: str = "pmap") -> Runner:
    return Runner(HERE, "Ours", (devices, mode), "jax", "run", case=False)


def _peak(library: str, needs: str) -> Runner:
    module = "gazehead_jax.benchmarks.limits"
    return Runner(module, "MatrixPeak", (library,), needs, case=False)


TORCH = {
    "torch nn.GRU": _torch("gru"),
    "torch nn.GRUCell": _torch("cell"),
    "torch compile": _torch("compile"),
}
# Of `experiments/paper.py`.
RECIPE_STEPS = 60_000
# Compiling takes PyTorch minutes.
RIVALS_BY_DEFAULT = ("torch nn.GRU", "torch nn.GRUCell")
LIMIT = {
    "sgemm xla": _peak("xla", "jax"),
    "sgemm torch": _peak("torch", "torch"),
    "sgemm numpy": _peak("numpy", "numpy"),
}


def benchmark(
    batches: Sequence[int] = (64, 512),
    rivals: Sequence[str] = RIVALS_BY_DEFAULT,
    devices: Sequence[int] = (1, 2, 8),
    steps: int = 10,
    count: int = 7,
    seconds: float = 0.5,
    hidden: int | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> Report:
    """Times whole training steps: windows, loss, gradient, clipping, Adam.

    Args:
      batches: windows of a step.
      rivals: names of `TORCH`.
      devices: into so many host devices the processor is divided, for the table of
        scaling, which is made for the first batch.
      steps: of one call.
      count: rounds.
      seconds: of each measurement.
      hidden: a smaller model is for tests.
      progress: told what is going on.

    Raises:
      GazeheadError: losses, or what steps do to the weights, are not equal.
    """
    results, told = [], []
    for batch in batches:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            facts = write_case(folder, batch, steps, hidden)
            best = _best_devices(facts)
            runners = {OURS: _ours(best)}
            if batch == batches[0]:
                others = [n for n in devices if n != best]
                runners |= {f"{OURS}, {_called(n)}": _ours(n) for n in others}
                runners[f"{OURS}, jit"] = _ours(best, "jit")
            runners |= {name: TORCH[name] for name in rivals}
            work = Contest(
                f"training step, {batch} windows",
                "steps",
                steps,
                runners,
                TOLERANCE,
                functools.partial(apart, steps=steps),
                "relative difference of losses and weights",
                Limit(
                    "the arithmetic at the largest matrix product's rate on all cores",
                    LIMIT,
                    need=flops(facts),
                ),
            )
            results.append(contest.hold(work, folder, count, seconds, progress))
            told.append(facts)
    return _report(results, told)


def _called(devices: int) -> str:
    return f"{devices} host device{'s' if devices > 1 else ''}"


def _report(results: Sequence[Result], told: Sequence[dict]) -> Report:
    facts, minutes = told[0], RECIPE_STEPS / results[0].ours.rate / 60
    about = (
        f"Whole steps of `experiments/paper.py` (hidden {facts['hidden']}, z "
        f"{facts['latent']}, {facts['frames']} frames): loss, gradient, clipping, Adam, "
        f"{facts['steps']} steps a call. Ours gathers windows and draws its noise in that "
        "time and runs as `gazehead train` does, a host device for each core where that "
        "leaves it enough windows; PyTorch is handed windows and noise, takes the number "
        "of threads that is faster, and uses its fused Adam. Losses and what the steps do "
        f"to the weights are equal. At this rate {RECIPE_STEPS:,} steps of "
        f"{facts['batch']} windows take {minutes:.1f} min."
    )
    return Report(
        "Training",
        about,
        [contest.table(r) for r in results],
        {
            "cases": list(told),
            "minutes_of_the_recipe": minutes,
            "results": [dataclasses.asdict(r) for r in results],
        },
        contest.failures(results, FLOORS),
        contest.notes(results),
        [r.key() for r in results],
    )


def _best_devices(facts: dict) -> int:
    from gazehead_jax import parallel

    return parallel.host_devices(_config(facts))


def _config(facts: dict):
    from gazehead_jax.config import load_experiment, override

    return override(
        load_experiment("paper"),
        {
            "train.batch_size": facts["batch"],
            "train.steps_per_call": facts["steps"],
            "train.log_every": facts["steps"],
            "train.eval_every": facts["steps"],
            "train.checkpoint_every": facts["steps"],
            "train.steps": facts["steps"],
            "model.hidden": facts["hidden"],
        },
    )


def apart(ours: np.ndarray, theirs: np.ndarray, steps: int) -> float:
    """Largest relative difference of two `[losses of the steps, change of weights]`."""
    (a, moved), (b, other) = (np.split(x, [steps]) for x in (ours, theirs))
    change = np.linalg.norm(moved - other) / np.linalg.norm(moved)
    return max(float((np.abs(a - b) / np.abs(a)).max()), float(change))


def flops(facts: dict) -> float:
    """Multiplications and additions of a step in matrix products, forward and backward;
    what stays the same in a window is multiplied once."""
    h, z, t = facts["hidden"], facts["latent"], facts["frames"]
    past, d = facts["context"] * 2, 2
    encoder = 3 * h * (t * (h + 2 + d + 1) + past + facts["context"]) + h * 2 * z
    decoder = 3 * h * (t * (h + 2) + z + past) + t * h * d
    return 3 * 2.0 * facts["batch"] * (encoder + decoder)


def write_case(folder: Path, batch: int, steps: int, hidden: int | None = None) -> dict:
    """Weights, windows and noise of so many steps, as our training draws them.

    Returns:
      JSON-able: batch, steps, hidden, latent, frames, context, and Adam's settings.
    """
    import jax
    import jax.numpy as jnp

    from gazehead_jax import losses, train_step
    from gazehead_jax.data import Places, ResidentWindows

    model = _config({"batch": batch, "steps": steps, "hidden": hidden or 256}).model
    facts = {
        "batch": batch,
        "steps": steps,
        "hidden": model.hidden,
        "latent": model.latent,
        "context": model.context,
    }
    config = _config(facts)
    facts |= {
        "frames": config.data.horizon,
        "learning_rate": config.optimizer.learning_rate,
        "clip_norm": config.optimizer.clip_norm,
    }
    state = train_step.init_state(config)
    split = _split()
    length = model.context + config.data.horizon
    rng = np.random.default_rng(1)
    places = Places(
        start=rng.integers(0, len(split.valid) - length, (steps, batch)).astype("i4"),
        mirrored=rng.random((steps, batch)) < 0.5,
    )
    rows = jnp.arange(batch)
    beta = losses.beta_schedule(config)
    windows, noise = [], []
    for step in range(steps):
        here = jax.tree.map(lambda x, i=step: x[i], places)
        windows.append(ResidentWindows.materialise(split, here, length))
        key = jax.random.fold_in(jax.random.wrap_key_data(state.key), step)
        noise.append(losses.draw(config, key, rows, config.data.horizon)[0][:, 0])
    leaves = jax.tree_util.tree_leaves_with_path(state.params)
    np.savez(
        folder / "case.npz",
        facts=json.dumps(facts),
        gaze=np.stack([w.gaze for w in windows]),
        head=np.stack([w.head for w in windows]),
        noise=np.stack(noise),
        beta=np.array([beta(i) for i in range(steps)], np.float32),
        start=places.start,
        mirrored=places.mirrored,
        **{f"params/{'/'.join(str(k.key) for k in p)}": x for p, x in leaves},
    )
    return facts


def _split():
    """A split of 10,000 frames that look about, normalised."""
    from gazehead_jax.model import Windows

    rng, n = np.random.default_rng(0), 10_000
    smooth = lambda x: np.apply_along_axis(np.convolve, 0, x, np.ones(5) / 5, "same")
    gaze = smooth(rng.normal(0, 2, (n, 2))).astype(np.float32)
    head = (0.6 * gaze + smooth(rng.normal(0, 1, (n, 2)))).astype(np.float32)
    return Windows(gaze=gaze, head=head, valid=np.ones(n, bool))


class Ours:
    """A call of `train_step.make_train_step`, as `gazehead train` makes it.

    Args:
      folder: of `write_case`.
      devices: into which the processor is divided.
      mode: of `parallel.Parallel`.
    """

    def __init__(self, folder: str, devices: int, mode: str):
        from gazehead_jax.doctor import HOST_DEVICES

        said = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{said} {HOST_DEVICES}{devices}".strip()
        from gazehead_jax import parallel, train_step
        from gazehead_jax.data import Places, ResidentWindows

        with np.load(Path(folder) / "case.npz") as file:
            facts = json.loads(str(file["facts"]))
            places = Places(start=file["start"], mirrored=file["mirrored"])
        self._config = _config(facts)
        materialise = functools.partial(
            ResidentWindows.materialise, length=facts["context"] + facts["frames"]
        )
        self._spread = parallel.Parallel(mode, facts["batch"])
        self._data = self._spread.replicate(_split())
        rows = np.arange(facts["batch"], dtype=np.int32)
        rows = np.tile(rows, (facts["steps"], 1))
        self._batch = self._spread.shard((places, rows))
        self._call = self._spread.compile(
            train_step.make_train_step(self._config, materialise)
        )
        self._begin()

    def _begin(self) -> None:
        from gazehead_jax import train_step

        self._state = self._spread.replicate(train_step.init_state(self._config))

    def run(self) -> np.ndarray:
        """The losses of all steps of a call."""
        self._state, diagnostics = self._call(self._state, self._data, self._batch)
        return self._spread.unreplicate(diagnostics["loss"])

    def shown(self, made) -> np.ndarray:
        """From the beginning: the losses of a call, and how it changes the weights."""
        self._begin()
        before, losses, after = self._weights(), self.run(), self._weights()
        return np.concatenate([losses, after - before])

    def _weights(self) -> np.ndarray:
        import jax

        leaves = jax.tree.leaves(self._spread.unreplicate(self._state.params))
        return np.concatenate([x.ravel() for x in leaves])

    def settle(self) -> None:
        """There is nothing to choose."""
