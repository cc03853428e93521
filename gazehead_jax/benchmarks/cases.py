"""What all frameworks compute in a benchmark: a model's weights, gaze and noise.

Read with NumPy alone, so that a rival's process holds no JAX.
"""

import dataclasses
import json
from pathlib import Path

import numpy as np

# Frames of a timed rollout, by rows.
FRAMES = {1: 2048, 64: 512, 1024: 256}
MODELS = ("frame", "natural")


@dataclasses.dataclass(frozen=True)
class Case:
    """One benchmark's input. Dims: t frames, b rows.

    Attributes:
      folder: where its files are; `step.onnx` of the ONNX export is there too.
      model: the fields of `ModelConfig`.
      params: name ("cell/gru/ir/kernel") → array.
      gaze: `[t, b, g]` in the network's units, as `networks.seen_gaze` gives it.
      noise: `[t, b, n]` standard normals: those that our sampler draws for `seed` 0.
      style: `[b, s]`.
      head_mean, head_std: `[3]`, from the network's units to radians.
      gaze_mean, gaze_std: `[2]`, likewise.
    """

    folder: Path
    model: dict
    params: dict[str, np.ndarray]
    gaze: np.ndarray
    noise: np.ndarray
    style: np.ndarray
    head_mean: np.ndarray
    head_std: np.ndarray
    gaze_mean: np.ndarray
    gaze_std: np.ndarray

    @property
    def rows(self) -> int:
        return self.gaze.shape[1]

    @property
    def frames(self) -> int:
        return len(self.gaze)

    def dense(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Kernel `[in, out]` and bias of a layer of the cell; no bias is zeros."""
        kernel = self.params[f"cell/{name}/kernel"]
        bias = self.params.get(f"cell/{name}/bias")
        return kernel, np.zeros(kernel.shape[1], np.float32) if bias is None else bias

    def gru(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """(input kernel, its bias, hidden kernel, its bias); gates r, z, n side by side."""
        parts = []
        for names in (("ir", "iz", "in"), ("hr", "hz", "hn")):
            kernels, biases = zip(*(self.dense(f"gru/{n}") for n in names), strict=True)
            parts += [np.concatenate(kernels, 1), np.concatenate(biases)]
        return tuple(parts)

    @property
    def weights(self) -> int:
        """Numbers in the kernels that every frame goes through."""
        names = [n for n in self.params if n.startswith("cell/") and "kernel" in n]
        return sum(self.params[n].size for n in names if "posterior" not in n)

    def radians(self, heads: np.ndarray) -> np.ndarray:
        """Heads `[…, d]` in the network's units → `[…, d]` radians."""
        d = heads.shape[-1]
        return heads * self.head_std[:d] + self.head_mean[:d]


def load(folder: str | Path) -> Case:
    """A case that `write` wrote."""
    folder = Path(folder)
    with np.load(folder / "case.npz") as file:
        arrays = {name: file[name] for name in file.files}
    model = json.loads(str(arrays.pop("model")))
    params = {
        name.removeprefix("params/"): arrays.pop(name)
        for name in list(arrays)
        if name.startswith("params/")
    }
    return Case(folder, model, params, **arrays)


def checkpoint(model: str, hidden: int | None = None):
    """A model with random weights: what it says does not matter, only how fast.

    Args:
      model: "frame", a latent per frame and a carried state, or "natural", the
        architecture that comes with the package.
      hidden: GRU units; 256 and 128 if left out.
    """
    import jax

    from gazehead_jax import networks
    from gazehead_jax.checkpoint import Checkpoint
    from gazehead_jax.config import Config, ModelConfig, load_experiment
    from gazehead_jax.normaliser import Normaliser

    if model == "frame":
        config = Config(
            name="frame",
            model=ModelConfig(
                hidden=hidden or 256,
                latent=32,
                prior="learned",
                period=1,
                carry_state=True,
                increments=True,
                head_dim=2,
            ),
        )
    else:
        config = load_experiment("natural")
        if hidden:
            changed = dataclasses.replace(config.model, hidden=hidden)
            config = dataclasses.replace(config, model=changed)
    params = networks.init_params(config.model, jax.random.key(1))
    params = jax.tree.map(lambda x: np.array(x), params)
    # Small steps: a head that stands at a limit would hide differences.
    params["cell"]["head"]["kernel"] *= 0.2
    units = networks.own_units(config.model) or Normaliser(
        np.array([0.02, 0.0]),
        np.array([0.1, 0.2]),
        np.array([-0.05, 0.0, 0.0]),
        np.array([0.05, 0.05, 0.05]),
    )
    return Checkpoint(config, params, units, {})


def gaze_of(rows: int, frames: int) -> np.ndarray:
    """`[rows, frames, 2]` radians: looks about, differently in every row."""
    rng = np.random.default_rng(0)
    t = np.arange(frames)[None] / 30
    phase, speed = rng.uniform(0, 6, (2, rows, 1)), rng.uniform(1, 3, (2, rows, 1))
    pitch = 0.15 * np.sin(speed[0] * t + phase[0])
    yaw = 0.4 * np.sin(speed[1] * t + phase[1])
    return np.stack([pitch, yaw], -1).astype(np.float32)


def write(
    folder: str | Path,
    model: str,
    rows: int,
    frames: int | None = None,
    hidden: int | None = None,
) -> Case:
    """Makes a case; needs JAX, to draw the noise that our sampler will draw.

    Args:
      folder: an existing one.
      model, hidden: as in `checkpoint`.
      rows: samples at once.
      frames: of a timed rollout.
    """
    import jax
    import jax.numpy as jnp

    from gazehead_jax import networks, rollout
    from gazehead_jax.checkpoint import pack

    folder = Path(folder)
    frames = frames or FRAMES.get(rows, 256)
    made = checkpoint(model, hidden)
    config, units = made.config.model, made.normaliser
    pack(made, folder / "model.npz")
    keys = rollout.sample_keys(0, rows)
    state = rollout.initial_state(made, keys)
    gaze = gaze_of(rows, frames)
    seen = networks.seen_gaze(
        config, units.gaze(gaze), np.ones((rows, frames), bool), frames
    )
    noise = rollout.noise_of(keys, config, jnp.zeros((), jnp.int32), frames)
    style = getattr(state.carry, "style", np.zeros((rows, 0)))
    leaves = jax.tree_util.tree_leaves_with_path(made.params)
    np.savez(
        folder / "case.npz",
        model=json.dumps(dataclasses.asdict(config)),
        gaze=np.ascontiguousarray(np.swapaxes(seen, 0, 1), np.float32),
        noise=np.asarray(noise),
        style=np.asarray(style, np.float32),
        head_mean=units.head_mean,
        head_std=units.head_std,
        gaze_mean=units.gaze_mean,
        gaze_std=units.gaze_std,
        **{f"params/{'/'.join(str(k.key) for k in p)}": x for p, x in leaves},
    )
    return load(folder)
