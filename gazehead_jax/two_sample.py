"""Classifier two-sample test: can a small network tell generated motion from real?

Half of the windows are real and half generated, for the same gaze. A network of fixed size
learns to tell them apart on some people and is asked about others. Its share of right
answers is .5 if the two are distributed alike (Lopez-Paz & Oquab 2017).

The network sees two seconds of gaze and head *together*, frame by frame:

  gaze in the head (pitch, yaw), gaze velocity, head velocity, the head's pose relative to
  the window's first frame, and the head's own pitch and roll

but no absolute yaw: where a free-turning person faces is no question of naturalness.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Bool, Float, Int

from gazehead_jax.errors import require
from gazehead_jax.motion import Array, gaze_in_head, wrap

WINDOW_S = 2.0
FOLDS = 5
EPOCHS = 30
BATCH = 64
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 1e-2
# (kernel, stride, width) of each convolution over time.
LAYERS = ((5, 2, 32), (5, 2, 48), (3, 2, 48))
# Windows of each kind and person: more changes the answer by less than its spread.
PER_PERSON = 120


class TwoSample(NamedTuple):
    """What the test found.

    Attributes:
      accuracy: share of right answers about people not trained on, mean over people; .5
        is perfect.
      people: each person's share, in the order of first appearance.
      windows: of each kind.
    """

    accuracy: float
    people: dict[str, float]
    windows: int


def features(
    gaze: Float[np.ndarray, "n t 2"], head: Float[np.ndarray, "n t d"], fps: float
) -> Float[np.ndarray, "n u c"]:
    """What the network sees: radians and radians per tenth of a second; u = t - 1.

    Velocities are differences from the frame before, so the first frame has none and is
    left out. A head without roll has roll 0.
    """
    gaze, head = np.asarray(gaze, np.float64), np.asarray(head, np.float64)
    head = np.pad(head, [(0, 0), (0, 0), (0, 3 - head.shape[-1])])
    moved = head - head[:, :1]
    moved[..., 1:] = wrap(moved[..., 1:])
    step_gaze, step_head = np.diff(gaze, axis=1), np.diff(head, axis=1)
    step_gaze[..., 1] = wrap(step_gaze[..., 1])
    step_head[..., 1:] = wrap(step_head[..., 1:])
    eye = gaze_in_head(gaze, head)
    parts = [
        eye[:, 1:],
        step_gaze * fps / 10,
        step_head * fps / 10,
        moved[:, 1:],
        head[:, 1:, ::2],
    ]
    return np.concatenate(parts, axis=-1)


def two_sample_test(
    real: Float[np.ndarray, "n u c"],
    generated: Float[np.ndarray, "n u c"],
    people: Sequence[str],
    seed: int = 0,
) -> TwoSample:
    """How often held-out windows are recognised as real or generated.

    Args:
      real: features of real windows.
      generated: of generated ones, window i of the same gaze and person as real window i.
      people: who each window is of. Nobody is both learned from and asked about.
      seed: of the network, the folds and the order of training.

    Raises:
      GazeheadError: fewer than two people, or features that are not finite.
    """
    names = list(dict.fromkeys(people))
    require(
        len(names) >= 2,
        "the two-sample test learns from some people and asks about others; it needs at "
        f"least two, got {len(names)}.",
    )
    require(
        len(real) == len(generated) == len(people),
        "the two-sample test needs one generated window and one name for each real one, "
        f"got {len(real)}, {len(generated)} and {len(people)}.",
    )
    x = np.concatenate([real, generated])
    require(
        bool(np.isfinite(x).all()),
        "the two-sample test needs finite windows, got NaN or infinity.",
    )
    y = np.repeat([1.0, 0.0], len(real))
    who = np.tile([names.index(p) for p in people], 2)
    rng = np.random.default_rng(seed)
    fold_of = rng.permutation(len(names)) % min(FOLDS, len(names))
    folds = [fold_of[who] == fold for fold in range(fold_of.max() + 1)]
    # As many batches in each fold: one shape compiles once.
    least = min(int((~held).sum()) for held in folds)
    batch = min(BATCH, least)
    shape = least // batch, batch
    right = np.zeros(len(x))
    for held in folds:
        mean = x[~held].mean((0, 1))
        # A channel that never moves says nothing, and is not divided by nothing.
        std = np.maximum(x[~held].std((0, 1)), 1e-4)
        scaled = np.clip((x - mean) / std, -10, 10).astype(np.float32)
        params = _train(scaled[~held], y[~held].astype(np.float32), shape, rng)
        guess = np.asarray(_logits(params, jnp.asarray(scaled[held]))) > 0
        right[held] = guess == (y[held] > 0.5)
    each = {name: float(right[who == i].mean()) for i, name in enumerate(names)}
    return TwoSample(float(np.mean(list(each.values()))), each, len(real))


def floor_test(
    real: Float[np.ndarray, "n u c"], people: Sequence[str], seed: int = 0
) -> TwoSample:
    """The same test between two random halves of the real windows: near .5, or broken."""
    rng = np.random.default_rng(seed)
    # Of one window there are no halves.
    halves: list[list[int]] = [[], []]
    for name in dict.fromkeys(people):
        index = rng.permutation([i for i, p in enumerate(people) if p == name])
        half = len(index) // 2
        halves[0] += index[:half].tolist()
        halves[1] += index[half : 2 * half].tolist()
    first, second = halves
    return two_sample_test(real[first], real[second], [people[i] for i in first], seed)


def windows_of(
    gaze: Float[Array, "t 2"],
    heads: Sequence[Float[Array, "t d"]],
    valid: Bool[Array, " t"],
    fps: float,
) -> list[Float[np.ndarray, "n u c"]]:
    """Features of the windows end to end of one motion, the same for each head given."""
    length = max(4, round(WINDOW_S * fps))
    starts: list[int] = []
    start = 0
    while start + length <= len(valid):
        bad = np.flatnonzero(~np.asarray(valid[start : start + length]))
        if len(bad):
            start += int(bad[-1]) + 1
        else:
            starts.append(start)
            start += length
    index = np.array(starts, int)[:, None] + np.arange(length)
    gaze = np.asarray(gaze)[index]
    return [features(gaze, np.asarray(head)[index], fps) for head in heads]


def evenly(people: Sequence[str], most: int = PER_PERSON) -> Int[np.ndarray, " n"]:
    """Indices of up to `most` entries of each person, spread over his."""
    of: dict[str, list[int]] = {}
    for i, name in enumerate(people):
        of.setdefault(name, []).append(i)
    chosen = [
        i[k]
        for i in of.values()
        for k in np.linspace(0, len(i) - 1, min(len(i), most)).astype(int)
    ]
    return np.array(sorted(chosen), int)


# --- the network -------------------------------------------------------------------


def _init(key, channels: int) -> dict:
    params, width = {}, channels
    for i, (kernel, _, out) in enumerate(LAYERS):
        key, now = jax.random.split(key)
        scale = np.sqrt(2 / (kernel * width))
        params[f"conv{i}"] = {
            "w": scale * jax.random.normal(now, (kernel * width, out)),
            "b": jnp.zeros(out),
        }
        width = out
    scale = np.sqrt(1 / (2 * width))
    params["out"] = {
        "w": scale * jax.random.normal(key, (2 * width, 1)),
        "b": jnp.zeros(1),
    }
    return params


def _network(params, x: Float[Array, "b u c"]) -> Float[Array, " b"]:
    for i, (kernel, stride, _) in enumerate(LAYERS):
        # As a product of unfolded windows: much faster than a convolution on a CPU.
        starts = np.arange(0, x.shape[1] - kernel + 1, stride)
        x = x[:, starts[:, None] + np.arange(kernel)]
        x = x.reshape(x.shape[0], len(starts), -1)
        layer = params[f"conv{i}"]
        x = jax.nn.relu(x @ layer["w"] + layer["b"][None, None])
    x = jnp.concatenate([x.mean(1), x.max(1)], -1)
    return (x @ params["out"]["w"] + params["out"]["b"][None])[:, 0]


_logits = jax.jit(_network)


@functools.cache
def _optimiser(steps: int):
    return optax.adamw(
        optax.cosine_decay_schedule(LEARNING_RATE, steps), weight_decay=WEIGHT_DECAY
    )


@functools.partial(jax.jit, static_argnums=0)
def _epoch(steps, params, state, x, y):
    tx = _optimiser(steps)

    def loss(params, x, y):
        return optax.sigmoid_binary_cross_entropy(_network(params, x), y).mean()

    def step(carry, batch):
        params, state = carry
        updates, state = tx.update(jax.grad(loss)(params, *batch), state, params)
        return (optax.apply_updates(params, updates), state), None

    return jax.lax.scan(step, (params, state), (x, y))[0]


def _train(x, y, shape: tuple[int, int], rng):
    """The network after `EPOCHS` times `shape` (batches, windows) of random order."""
    steps = shape[0] * EPOCHS
    params = _init(jax.random.key(int(rng.integers(2**31))), x.shape[-1])
    state = _optimiser(steps).init(params)
    for _ in range(EPOCHS):
        order = rng.permutation(len(x))[: shape[0] * shape[1]].reshape(shape)
        params, state = _epoch(steps, params, state, x[order], y[order])
    return params
