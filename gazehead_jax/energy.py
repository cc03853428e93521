"""The objective of the natural model: energy scores of its own rollouts.

The model is unrolled on its own heads, as at test, K times for each window, and

    ES(X, y) = mean_k ‖x_k − y‖ − ½ mean_{k ≠ j} ‖x_k − x_j‖

(Gneiting & Raftery 2007) is least on average when the K rollouts are distributed as real
heads are: it rewards accuracy and spread in the right measure, and needs no posterior. It
is taken of poses, of whole trajectories, and of short blocks of velocity, acceleration and
jerk, so that the texture of movement counts as well as its place.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from gazehead_jax.config import Config
from gazehead_jax.errors import require
from gazehead_jax.model import Windows
from gazehead_jax.motion import Array, wrap
from gazehead_jax.natural import Frame, Natural, noise_width, seen_gaze, start

# (frames of a block, what a block's distance is divided by: degrees per second, and its
# changes per frame). Each term then begins near 1.
VELOCITY = (10, 60.0)
ACCELERATION = (6, 30.0)
JERK = (4, 20.0)
POSE = 8.0
# A trajectory is every fifth pose of a window.
TRAJECTORY = (5, 66.0)
# Styles that training sees: the encoder's with noise, and as often anybody's.
STYLE_NOISE = 0.3
STYLE_DROPPED = 0.5
# Keeps the encoder's styles near standard normal, from which styles are drawn at test.
STYLE_WEIGHT = 0.02


def energy_loss(
    config: Config,
    params,
    windows: Windows,
    key: jax.Array,
    rows: Int[Array, " b"],
    paired: bool,
) -> tuple[Float[Array, " b"], dict[str, Float[Array, " b"]]]:
    """The loss of each window and its parts.

    Args:
      config: the experiment.
      params: of the model.
      windows: `[b, c + t]` in radians; the first c frames warm the model up, and those
        that it may look ahead come last and are not scored.
      key: of this step. Noise belongs to a window's row in the *global* batch.
      rows: global row of each window.
      paired: whether rows 2 i and 2 i + 1 show the same person; then each lends the
        other its style. Otherwise styles are drawn.
    """
    c, b = config.model, len(rows)
    # A NaN that is not chosen would still be in the gradient.
    known = windows.valid[..., None]
    windows = windows.replace(
        gaze=jnp.where(known, windows.gaze, 0), head=jnp.where(known, windows.head, 0)
    )
    # The last frames are only looked at.
    samples, length = config.loss.samples, windows.gaze.shape[1] - c.lookahead
    keys = jax.vmap(lambda row: jax.random.split(jax.random.fold_in(key, row), 6))(rows)
    gaze = windows.gaze + _gaze_noise(config, keys[:, 4], windows.gaze.shape[1])
    offered = jax.vmap(lambda k: jax.random.bernoulli(k, 1 - config.loss.live))(
        keys[:, 5]
    )
    gaze = seen_gaze(c, gaze, windows.valid & offered[:, None], length)
    windows = jax.tree.map(lambda x: x[:, :length], windows)
    style, penalty = _styles(config, params, windows, keys, paired)
    noise = jax.vmap(lambda k: jax.random.normal(k, (samples, length, noise_width(c))))(
        keys[:, 2]
    )
    # The past is known: nothing is drawn there.
    ahead = jnp.arange(length) >= c.context
    noise = jnp.where(ahead[None, None, :, None], noise, 0)
    force = jax.vmap(
        lambda k: jax.random.bernoulli(k, 1 - config.loss.self_feed, (length,))
    )(keys[:, 3])
    force = force | ~ahead[None]

    repeat = lambda x: jnp.repeat(x, samples, axis=0)
    frames = Frame(
        gaze=repeat(gaze),
        valid=repeat(windows.valid),
        noise=noise.reshape(b * samples, length, -1),
        head=repeat(windows.head),
        force=repeat(force),
    )
    carry = start(c, repeat(windows.head[:, 0]), style.reshape(b * samples, -1))
    _, heads = Natural(c).apply({"params": params}, carry, frames)
    # The last frame of the past is the first of the movement.
    began = c.context - 1
    heads = heads.reshape(b, samples, length, 3)[:, :, began:]
    real = windows.head[:, began:]
    heads = jnp.concatenate(
        [jnp.broadcast_to(real[:, None, :1], heads[:, :, :1].shape), heads[:, :, 1:]], 2
    )
    terms = _scores(heads, real, windows.valid[:, began:], config.data.fps)
    smooth = config.loss.smoothness
    loss = terms["pose"] + terms["trajectory"] + terms["velocity"]
    loss = loss + smooth * (terms["acceleration"] + terms["jerk"]) + penalty
    return loss, terms | {"style": penalty}


def _styles(config: Config, params, windows: Windows, keys, paired: bool):
    """Styles `[b, samples, s]` and what keeps them in bounds `[b]`."""
    c, b, samples = config.model, len(keys), config.loss.samples
    drawn = jax.vmap(lambda k: jax.random.normal(k, (samples, c.style)))(keys[:, 0])
    if not (paired and c.style):
        return drawn, jnp.zeros(b)
    require(
        b % 2 == 0,
        f"pairs of windows must stay on one device: give each an even number, got {b}; "
        "choose another train.batch_size.",
    )
    own = Natural(c).apply({"params": params}, windows, method=Natural.style)
    partner = own.reshape(b // 2, 2, -1)[:, ::-1].reshape(b, -1)
    keep_keys = jax.vmap(lambda k: jax.random.split(k, 2))(keys[:, 1])
    jitter = jax.vmap(lambda k: jax.random.normal(k, (c.style,)))(keep_keys[:, 0])
    dropped = jax.vmap(lambda k: jax.random.bernoulli(k, STYLE_DROPPED))(
        keep_keys[:, 1]
    )
    style = (partner + STYLE_NOISE * jitter)[:, None]
    style = jnp.where(dropped[:, None, None], drawn, style)
    spread = (own.mean(0) ** 2).sum() + ((own.var(0) - 1) ** 2).sum()
    penalty = STYLE_WEIGHT * ((own**2).mean(-1) + 0.5 * spread)
    return style, penalty


def _gaze_noise(config: Config, keys, length: int) -> Float[Array, "b t 2"]:
    most = jnp.deg2rad(config.loss.gaze_noise_deg)

    def draw(key):
        size, white = jax.random.split(key)
        # Half of them are clean.
        size = jnp.maximum(jax.random.uniform(size, minval=-1.0), 0)
        return most * size * jax.random.normal(white, (length, 2))

    return jax.vmap(draw)(keys)


def _scores(
    heads: Float[Array, "b k t 3"],
    real: Float[Array, "b t 3"],
    valid: Bool[Array, "b t"],
    fps: float,
) -> dict[str, Float[Array, " b"]]:
    """The parts of the loss; frame 0 is where all rollouts begin."""
    both = jnp.concatenate([real[:, None], heads], 1)
    pose = jnp.rad2deg(wrap(both - real[:, None, :1]))
    mask = valid[:, None]
    terms = {"pose": _score(pose[:, :, 1:], mask[..., 1:]) / POSE}
    every, scale = TRAJECTORY
    some, seen = pose[:, :, every::every], mask[..., every::every]
    # Where the eyes are closed the head is unknown: such poses agree by definition.
    some = jnp.where(seen[..., None], some, 0).reshape(*some.shape[:2], 1, -1)
    terms["trajectory"] = _score(some, seen.any(-1, keepdims=True)) / scale
    change, known = jnp.rad2deg(wrap(jnp.diff(both, axis=2))) * fps, mask
    for name, (length, scale) in (
        ("velocity", VELOCITY),
        ("acceleration", ACCELERATION),
        ("jerk", JERK),
    ):
        known = known[..., 1:] & known[..., :-1]
        terms[name] = _score(*_blocks(change, known, length)) / scale
        change = jnp.diff(change, axis=2)
    return terms


def _blocks(x: Float[Array, "b k t d"], mask: Bool[Array, "b 1 t"], length: int):
    """Blocks of frames as vectors; a block counts when all its frames do."""
    count = x.shape[2] // length
    blocks = x[:, :, : count * length].reshape(*x.shape[:2], count, -1)
    seen = mask[..., : count * length].reshape(len(mask), 1, count, length)
    return blocks, seen.all(-1)


def _score(
    both: Float[Array, "b k n d"], mask: Bool[Array, "b 1 n"]
) -> Float[Array, " b"]:
    """Energy scores of n vectors, meant over those that count; [:, 0] is the truth."""
    real, made = both[:, :1], both[:, 1:]
    away = _norm(made - real).mean(1)
    samples = made.shape[1]
    if samples > 1:
        apart = sum(
            _norm(made[:, i] - made[:, j]) for i in range(samples) for j in range(i)
        )
        away = away - apart / (samples * (samples - 1))
    mask = mask[:, 0]
    return jnp.where(mask, away, 0).sum(-1) / jnp.maximum(mask.sum(-1), 1)


def _norm(x: Float[Array, "*b d"]) -> Float[Array, "*b"]:
    # The root has no slope at 0.
    return jnp.sqrt((x**2).sum(-1) + 1e-8)
