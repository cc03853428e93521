"""Head motion for any gaze: chunked autoregressive rollout, and one frame at a time.

The model's `step` runs under `lax.scan` over chunks of fixed length with the state
carried between them, so that any length compiles once and memory stays constant. Where
there are several devices, or one CPU was told to appear as several
(`doctor.use_cores`), rows are shared out among them: each runs a loop of its own and
none waits for another.

The noise of a sample belongs to (its key, the period's number since the start), not to
the chunk: the same key gives the same sample on any chunk size, a longer rollout begins
with the shorter one, and K samples together are the K samples one by one.
"""

import dataclasses
import functools
import math
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Bool, Float, Int, Key, UInt32

from gazehead_jax import networks
from gazehead_jax.checkpoint import Checkpoint
from gazehead_jax.config import ModelConfig
from gazehead_jax.controls import AS_SAMPLED, Controls
from gazehead_jax.errors import require
from gazehead_jax.motion import Array, Motion, resample, wrap
from gazehead_jax.numpy_step import NumpyStep

CHUNK = 256
# The noise of so many rows would leave the caches before it is used.
MANY_ROWS, CHUNK_OF_MANY_ROWS = 512, 32
# Up to so many samples of a stream are faster in NumPy than a compiled step's dispatch.
NUMPY_ROWS = 2
# Frames of a stream whose noise is drawn together.
NOISE_AHEAD = 512
ROWS = "rows"


class RolloutState(struct.PyTreeNode):
    """All that a rollout carries from chunk to chunk.

    Attributes:
      carry: the decoder's memory, one row a sample.
      keys: one key a sample; never split or replaced.
    """

    carry: networks.Carry
    keys: Key[Array, " s"] | UInt32[Array, "s k"]


def sample_keys(seed: int, num_samples: int, first: int = 0) -> Key[Array, " s"]:
    """Keys of samples `first … first + num_samples - 1` of a seed."""
    numbers = jnp.arange(first, first + num_samples)
    return jax.vmap(functools.partial(jax.random.fold_in, jax.random.key(seed)))(
        numbers
    )


def initial_state(
    checkpoint: Checkpoint,
    keys: Key[Array, " s"],
    context: Motion | None = None,
    style: Sequence[float] | Float[np.ndarray, " z"] | float | None = None,
) -> RolloutState:
    """The state before the first frame.

    Args:
      checkpoint: the model.
      keys: one a sample.
      context: motion at the model's rate that has just happened; its last frames
        condition the start. Without it the head starts from the mean pose, or straight
        if the model is "natural".
      style: of the person; drawn for each sample when left out. One number goes along
        the axis of `styles`, from −2, who looks with the eyes, to 2, who looks with the
        head, and what is beside that axis is drawn; several are a whole style.

    Raises:
      GazeheadError: the context is at another rate or shorter than the model needs, or
        the style is not of the model's size.
    """
    c, n = checkpoint.config.model, checkpoint.normaliser
    # A natural model takes as much of the past as there is.
    length = 0 if c.kind == "natural" else c.context
    head, gaze = np.zeros((length, c.head_dim)), np.zeros((length, 2))
    valid = np.ones(length, bool)
    if context is not None and c.context:
        fps = checkpoint.config.data.fps
        require(
            abs(context.fps - fps) < 1e-3 * fps and len(context) >= c.context,
            f"the context must be at the model's {fps:g} fps with at least {c.context} "
            f"frames, got {len(context)} frames at {context.fps:g} fps.",
        )
        last = context[-c.context :]
        head, gaze = n.head(last.require_head()[:, : c.head_dim]), n.gaze(last.gaze)
        valid = last.valid
    tile = lambda x: jnp.broadcast_to(jnp.asarray(x)[None], (len(keys), *x.shape))
    head, gaze = tile(head.astype(np.float32)), tile(gaze.astype(np.float32))
    carry = _start(
        c,
        jax.tree.map(jnp.asarray, checkpoint.params),
        gaze,
        head,
        tile(valid),
        _styles(checkpoint, keys, style),
    )
    return RolloutState(carry=carry, keys=keys)


_start = jax.jit(networks.start, static_argnums=0)


def _styles(checkpoint: Checkpoint, keys, style) -> Float[Array, "s z"]:
    size = checkpoint.config.model.style
    given = None if style is None else np.atleast_1d(np.asarray(style, np.float32))
    require(
        given is None or (size > 0 and given.shape in ((1,), (size,))),
        f"model {checkpoint.name} has no styles; leave it out."
        if not size
        else f"a style of model {checkpoint.name} is one number along its axis or "
        f"{size}, got {style}.",
    )
    require(
        given is None or bool(np.isfinite(given).all()),
        f"a style must be finite, got {style}.",
    )
    if given is not None and len(given) == size > 1:
        return jnp.tile(given[None], (len(keys), 1))
    # Apart from the keys of all periods.
    apart = jax.vmap(lambda k: jax.random.fold_in(k, 0xFFFFFFFF))(keys)
    drawn = jax.vmap(lambda k: jax.random.normal(k, (size,)))(apart)
    if given is None:
        return drawn
    axis = checkpoint.provenance.get("style_axis")
    require(
        axis is not None,
        f"the style axis of model {checkpoint.name} has not been measured; `gazehead "
        f"pack` does so, or give all {size} numbers.",
    )
    along = jnp.asarray(axis["direction"], jnp.float32)
    return drawn + (given[0] - drawn @ along)[:, None] * along[None]


def noise_of(
    keys, config: ModelConfig, t0: Int[Array, ""], length: int
) -> Float[Array, "t s z"]:
    """Standard normals of frames t0 … t0 + length - 1: one draw a period."""
    first = t0 // config.period
    periods = first + jnp.arange((length - 1) // config.period + 2)
    width = networks.noise_width(config)

    def draw(key, period):
        return jax.random.normal(jax.random.fold_in(key, period), (width,))

    drawn = jax.vmap(lambda p: jax.vmap(lambda k: draw(k, p))(keys))(periods)
    return drawn[(t0 + jnp.arange(length)) // config.period - first]


_noise_block = jax.jit(noise_of, static_argnums=(1, 3))
_step = jax.jit(networks.step, static_argnums=0)


@functools.partial(jax.jit, static_argnums=0)
def rollout_chunk(
    config: ModelConfig,
    params,
    state: RolloutState,
    gaze: Float[Array, "s t g"],
    valid: Bool[Array, "s t"],
    temperature: Float[Array, ""] | float = 1.0,
) -> tuple[RolloutState, Float[Array, "s t d"]]:
    """`lax.scan` of the model's step over one chunk, in the normaliser's units.

    For `gaze` see `networks.seen_gaze`.
    """
    length = gaze.shape[1]
    frames = (
        jnp.swapaxes(gaze, 0, 1),
        jnp.swapaxes(valid, 0, 1),
        temperature * noise_of(state.keys, config, state.carry.t, length),
    )

    def body(carry, frame):
        return networks.step(config, params, carry, *frame)

    carry, heads = jax.lax.scan(body, state.carry, frames)
    return state.replace(carry=carry), jnp.swapaxes(heads, 0, 1)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _sharded_chunk(config: ModelConfig, mesh: Mesh, params, state, *arguments):
    """`rollout_chunk` with its rows shared out among a mesh's devices."""
    leaves, tree = jax.tree.flatten(state)
    specs = [P(ROWS) if jnp.ndim(x) else P() for x in leaves]

    def one(params, leaves, *arguments):
        state, heads = rollout_chunk(config, params, tree.unflatten(leaves), *arguments)
        return jax.tree.leaves(state), heads

    leaves, heads = jax.shard_map(
        one,
        mesh=mesh,
        in_specs=(P(), specs, P(ROWS), P(ROWS), P()),
        out_specs=(specs, P(ROWS)),
        check_vma=False,
    )(params, leaves, *arguments)
    return tree.unflatten(leaves), heads


def _mesh(rows: int) -> Mesh | None:
    """The devices that share so many rows; None if one takes them all."""
    devices = jax.local_devices()
    if len(devices) == 1 or rows < len(devices) or jax.config.jax_default_device:
        return None
    return Mesh(np.array(devices), (ROWS,))


def rollout(
    checkpoint: Checkpoint,
    state: RolloutState,
    gaze: Float[np.ndarray, "s t 2"],
    valid: Bool[np.ndarray, "s t"],
    chunk: int | None = None,
    temperature: float = 1.0,
    live: bool = False,
) -> Iterator[Float[np.ndarray, "s n 3"]]:
    """Heads in radians, chunk by chunk, at the model's rate.

    Args:
      checkpoint: the model.
      state: from `initial_state`.
      gaze: radians, at the model's rate; one row a sample.
      valid: where `gaze` may be used.
      chunk: frames at a time; only speed and memory depend on it. Left out: 256, or fewer
        of many rows.
      temperature: of the noise; 0 gives the model's middle way, the same for all samples
        of a style.
      live: hide from the model what gaze is to come, as in live use.

    Yields:
      `[samples, frames, 3]`; roll is 0 for a model of (pitch, yaw).
    """
    config, normaliser = checkpoint.config.model, checkpoint.normaliser
    params = jax.tree.map(jnp.asarray, checkpoint.params)
    rows, length = valid.shape
    if chunk is None:
        chunk = CHUNK if rows < MANY_ROWS else CHUNK_OF_MANY_ROWS
    mesh = _mesh(rows)
    advance = functools.partial(rollout_chunk, config)
    extra = 0
    if mesh is not None:
        advance = functools.partial(_sharded_chunk, config, mesh)
        # Every device gets as many rows; those to fill up with repeat the first ones.
        extra = -rows % mesh.size
        split, everywhere = NamedSharding(mesh, P(ROWS)), NamedSharding(mesh, P())

        def share(x):
            if not jnp.ndim(x):
                return jax.device_put(x, everywhere)
            return jax.device_put(jnp.concatenate([x, x[:extra]]), split)

        # Placed before the first call, or it would compile again for the second.
        state = jax.tree.map(share, state)
        params = jax.device_put(params, everywhere)
    under_way = None
    for start in range(0, length, chunk):
        # What a model sees coming may lie in the next chunk.
        piece = slice(start, start + chunk + config.lookahead)
        n = min(chunk, length - start)
        # The end is padded with invalid frames: nothing compiles anew.
        short = max(0, chunk + config.lookahead - (length - start))
        padding = ((0, extra), (0, short))
        usable = np.pad(valid[:, piece], padding)
        inputs = np.pad(normaliser.gaze(gaze[:, piece]), (*padding, (0, 0)))
        inputs = np.where(usable[..., None], inputs, 0).astype(np.float32)
        seen = networks.seen_gaze(config, inputs, usable & (not live), chunk)
        state, heads = advance(params, state, seen, usable[:, :chunk], temperature)
        # The next chunk is computed while the last is handed out.
        if under_way is not None:
            yield _to_radians(checkpoint, under_way)[:rows]
        under_way = heads[:, :n] if n < chunk else heads
    if under_way is not None:
        yield _to_radians(checkpoint, under_way)[:rows]


# Whatever the model and the gaze, what leaves here is a head's angles.
ANGLE_LIMIT = np.float32([np.pi / 2, np.pi, np.pi])


def _to_radians(checkpoint: Checkpoint, heads) -> np.ndarray:
    heads = checkpoint.normaliser.head_inverse(np.asarray(heads))
    out = np.zeros((*heads.shape[:-1], 3), np.float32)
    out[..., : heads.shape[-1]] = heads
    np.minimum(out, ANGLE_LIMIT, out=out)
    return np.maximum(out, -ANGLE_LIMIT, out=out)


def sample(
    checkpoint: Checkpoint,
    motion: Motion,
    *,
    num_samples: int = 1,
    seed: int = 0,
    context: Motion | None = None,
    temperature: float = 1.0,
    style: Sequence[float] | Float[np.ndarray, " z"] | float | None = None,
    controls: Controls = AS_SAMPLED,
    best_of: int = 1,
    live: bool = False,
    chunk: int | None = None,
) -> list[Motion]:
    """Head motions for a gaze sequence.

    Args:
      checkpoint: the model (`gazehead_jax.load`).
      motion: gaze at any rate; its own head is ignored.
      num_samples: different heads for the same gaze.
      seed: same seed, same heads.
      context: what has just happened, see `initial_state`.
      temperature: of the noise, 0 or more.
      style: of a model that has one, see `initial_state`.
      controls: amplitude, rest pose and limits.
      best_of: each motion is the most typical of so many: the one with the least mean
        distance (degrees) to the others.
      live, chunk: see `rollout`.

    Returns:
      `num_samples` motions with the input's gaze, rate and length. A head depends on
      gaze up to `model.lookahead` frames ahead, or, if live, up to its frame only;
      changing from and to another rate looks up to two frames of the model further.

    Raises:
      GazeheadError: no valid gaze frame, or a count or chunk below 1.
    """
    require(
        len(motion) > 1,
        f"motion {motion.source!r} must have at least two frames to follow, got one.",
    )
    require(num_samples >= 1, f"num_samples must be ≥ 1, got {num_samples}.")
    require(best_of >= 1, f"best_of must be ≥ 1, got {best_of}.")
    require(
        bool(np.isfinite(temperature)) and temperature >= 0,
        f"temperature must be 0 or more, got {temperature}.",
    )
    require(chunk is None or chunk >= 1, f"chunk must be ≥ 1, got {chunk}.")
    require(seed >= 0, f"seed must be ≥ 0, got {seed}.")
    require(
        bool(motion.valid.any()),
        f"motion {motion.source!r} has zero valid gaze frames; there is nothing to "
        "follow.",
    )
    fps = checkpoint.config.data.fps
    driving = resample(_held(motion.replace(head=None), 1 / fps), fps)
    rows = num_samples * best_of
    state = initial_state(checkpoint, sample_keys(seed, rows), context, style)
    gaze = np.broadcast_to(driving.gaze, (rows, *driving.gaze.shape))
    valid = np.broadcast_to(driving.valid, gaze.shape[:2])
    chunks = rollout(checkpoint, state, gaze, valid, chunk, float(temperature), live)
    heads = np.concatenate(list(chunks), axis=1)
    heads = controls.apply(_most_typical(heads, best_of))
    made = {"model": checkpoint.name, "model_fps": fps, "seed": seed}
    if controls != AS_SAMPLED:
        made["controls"] = dataclasses.asdict(controls)
    if temperature != 1:
        made["temperature"] = float(temperature)
    return [
        _at_rate_of(
            motion, Motion(np.zeros_like(driving.gaze), head, fps), made | {"sample": i}
        )
        for i, head in enumerate(heads)
    ]


def _most_typical(heads: Float[np.ndarray, "s t 3"], best_of: int) -> np.ndarray:
    """Of each `best_of` rows the one that is nearest to the others."""
    if best_of == 1:
        return heads
    groups = heads.reshape(-1, best_of, *heads.shape[1:])
    chosen = []
    for group in groups:
        apart = [np.linalg.norm(wrap(group - one), axis=-1).mean() for one in group]
        chosen.append(group[int(np.argmin(apart))])
    return np.stack(chosen)


def _held(motion: Motion, seconds: float) -> Motion:
    """The motion with its last frame held on, so that resampling never falls short."""
    extra = int(np.ceil(seconds * motion.fps)) + 1
    return motion.replace(
        gaze=np.concatenate([motion.gaze, np.repeat(motion.gaze[-1:], extra, 0)]),
        valid=np.concatenate([motion.valid, np.repeat(motion.valid[-1:], extra)]),
    )


def _at_rate_of(motion: Motion, generated: Motion, facts: dict) -> Motion:
    generated = resample(generated, motion.fps, smooth=True)
    return motion.replace(
        head=generated.head[: len(motion)],
        source=f"{motion.source or 'gaze'} → {facts['model']}",
        meta={**motion.meta, "generated": facts},
    )


class HeadStream:
    """One gaze in, one head out, for live use; equal to the live rollout of all frames.

    Example:
      stream = HeadStream(gazehead_jax.load("out/demo/model"))
      head = stream.step(gaze)  # [2] radians → [samples, 3] radians

    Args:
      checkpoint: the model; call at its rate, `stream.fps`.
      num_samples, seed, temperature, style, controls: as in `sample`.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        num_samples: int = 1,
        seed: int = 0,
        *,
        temperature: float = 1.0,
        style: Sequence[float] | Float[np.ndarray, " z"] | float | None = None,
        controls: Controls = AS_SAMPLED,
    ):
        self._checkpoint, self._controls = checkpoint, controls
        self._config = checkpoint.config.model
        self._temperature = float(temperature)
        state = initial_state(checkpoint, sample_keys(seed, num_samples), style=style)
        self._keys, self._frame, self._noise = state.keys, 0, None
        self._carry = jax.tree.map(np.asarray, state.carry)
        if num_samples <= NUMPY_ROWS:
            carry = self._carry
            names = (f.name for f in dataclasses.fields(carry))
            self._carry = {name: getattr(carry, name) for name in names}
            self._advance = NumpyStep(checkpoint, num_samples).step
        else:
            self._advance = functools.partial(
                _step, self._config, jax.tree.map(jnp.asarray, checkpoint.params)
            )
        width = networks.seen_gaze(
            self._config, np.zeros((1, 1, 2)), np.zeros((1, 1), bool), 1
        ).shape[-1]
        # Of what is to come nothing is known.
        self._seen = np.zeros((num_samples, width), np.float32)
        self._valid = np.full(num_samples, True), np.full(num_samples, False)
        self.fps = checkpoint.config.data.fps
        self._draw()
        # Whatever compiles, compiles now.
        self._advance(self._carry, self._seen, self._valid[1], self._noise[0])

    def _draw(self) -> None:
        drawn = _noise_block(self._keys, self._config, self._frame, NOISE_AHEAD)
        self._noise = self._temperature * np.asarray(drawn)

    def step(
        self, gaze: Float[np.ndarray, "2"], valid: bool = True
    ) -> Float[np.ndarray, "s 3"]:
        """The heads of this frame.

        Args:
          gaze: (pitch, yaw) in radians.
          valid: False during a blink; the last valid gaze stands in, as it does for a
            gaze that is not finite.
        """
        gaze = self._checkpoint.normaliser.gaze(np.asarray(gaze, np.float32))
        # One NaN let in would stay in the state for ever.
        usable = bool(valid and math.isfinite(gaze[0]) and math.isfinite(gaze[1]))
        self._seen[:, :2] = gaze if usable else 0
        now = self._frame % NOISE_AHEAD
        if now == 0 and self._frame:
            self._draw()
        self._frame += 1
        self._carry, heads = self._advance(
            self._carry, self._seen, self._valid[not usable], self._noise[now]
        )
        return self._controls.apply(_to_radians(self._checkpoint, heads))
