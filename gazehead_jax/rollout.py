"""The chunked autoregressive rollout: any length, constant memory, any devices.

The model's `step` runs under `lax.scan` over chunks of fixed length with the state
carried between them, so that any length compiles once and memory stays constant. Where
there are several devices, or one CPU was told to appear as several
(`doctor.use_cores`), rows are shared out among them: each runs a loop of its own and
none waits for another. On a GPU or TPU one kernel takes the place of the scan
(`one_kernel`).

The noise of a sample belongs to (its key, the period's number since the start), not to
the chunk: the same key gives the same sample on any chunk size, a longer rollout begins
with the shorter one (but for the shorter one's last frames if the model looks ahead: what
it would have seen there is missing), and K samples together are the K samples one by one.
"""

import functools
import math
import warnings
from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Bool, Float, Int, Key, UInt32

from gazehead_jax import networks, one_kernel
from gazehead_jax.checkpoint import Checkpoint
from gazehead_jax.config import ModelConfig
from gazehead_jax.errors import require
from gazehead_jax.motion import Array, Motion

CHUNK = 256
# Normals drawn at a time (a power of two): more would leave the caches before their use.
NOISE_BLOCK = 2**15
ROWS = "rows"
# A kernel is trusted after its first heads were those of the scan, in the network's units;
# devices that round products to TF32 or bfloat16 stay within this.
FRAMES_COMPARED, TOLERANCE = 8, 2e-2


class RolloutState(struct.PyTreeNode):
    """All that a rollout carries from chunk to chunk.

    Attributes:
      carry: the decoder's memory, one row a sample.
      keys: one key a sample; never split or replaced.
    """

    carry: networks.Carry
    keys: Key[Array, " s"] | UInt32[Array, "s k"]


def check_model(checkpoint) -> None:
    """Raises GazeheadError for a name or a path where the model itself is wanted."""
    require(
        isinstance(checkpoint, Checkpoint),
        "a loaded model is needed, as gazehead_jax.load gives it, got "
        f"{type(checkpoint).__name__} {checkpoint!r:.60}.",
    )


def check_drawn(num_samples: int, seed: int, temperature: float) -> None:
    """Raises GazeheadError unless so many samples of a seed can be drawn."""
    require(num_samples >= 1, f"num_samples must be ≥ 1, got {num_samples}.")
    require(seed >= 0, f"seed must be ≥ 0, got {seed}.")
    require(
        math.isfinite(temperature) and temperature >= 0,
        f"temperature must be 0 or more, got {temperature}.",
    )


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
    # A natural model can do without a past.
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
    periods = first + jnp.arange((length + config.period - 2) // config.period + 1)
    width = networks.noise_width(config)

    def draw(key, period):
        return jax.random.normal(jax.random.fold_in(key, period), (width,))

    drawn = jax.vmap(lambda p: jax.vmap(lambda k: draw(k, p))(keys))(periods)
    return drawn[(t0 + jnp.arange(length)) // config.period - first]


def rollout_chunk(
    config: ModelConfig,
    params,
    state: RolloutState,
    gaze: Float[Array, "s t g"],
    valid: Bool[Array, "s t"],
    temperature: Float[Array, ""] | float = 1.0,
    kernel: str | None = None,
) -> tuple[RolloutState, Float[Array, "s t d"]]:
    """The model's step over one chunk, in the normaliser's units; to be jitted.

    Args:
      config, params, state, temperature: as in `rollout`.
      gaze: see `networks.seen_gaze`.
      valid: where `gaze` may be used.
      kernel: the platform ("gpu", "tpu") whose `one_kernel` runs the frames; left out, or
        where there is none for this network, `lax.scan` does.
    """
    length = gaze.shape[1]
    noise = lambda t, n: temperature * noise_of(state.keys, config, t, n)
    run = one_kernel.best_rollout(config, kernel) if kernel else None
    if run is not None:
        carry, heads = run(
            params, state.carry, gaze, valid, noise(state.carry.t, length)
        )
        return state.replace(carry=carry), heads

    def frame(carry, inputs):
        return networks.step(config, params, carry, *inputs)

    def block(carry, inputs):
        return jax.lax.scan(frame, carry, (*inputs, noise(carry.t, size)))

    per_frame = len(valid) * networks.noise_width(config)
    most = max(1, NOISE_BLOCK >> (per_frame - 1).bit_length())
    size = length if length <= most else math.gcd(length, most)
    inputs = jnp.swapaxes(gaze, 0, 1), jnp.swapaxes(valid, 0, 1)
    if size == length:
        carry, heads = block(state.carry, inputs)
    else:
        cut = lambda x: x.reshape(length // size, size, *x.shape[1:])
        carry, heads = jax.lax.scan(block, state.carry, jax.tree.map(cut, inputs))
        heads = heads.reshape(length, *heads.shape[2:])
    return state.replace(carry=carry), jnp.swapaxes(heads, 0, 1)


@functools.cache
def _compiled(config: ModelConfig, mesh: Mesh | None, kernel: str | None) -> Callable:
    """`rollout_chunk` after its first argument, its rows shared out among a mesh's
    devices."""

    def shared(params, state, *arguments):
        leaves, tree = jax.tree.flatten(state)
        specs = [P(ROWS) if jnp.ndim(x) else P() for x in leaves]

        def one(params, leaves, *arguments):
            state, heads = chunk(params, tree.unflatten(leaves), *arguments)
            return jax.tree.leaves(state), heads

        leaves, heads = jax.shard_map(
            one,
            mesh=mesh,
            in_specs=(P(), specs, P(ROWS), P(ROWS), P()),
            out_specs=(specs, P(ROWS)),
            check_vma=False,
        )(params, leaves, *arguments)
        return tree.unflatten(leaves), heads

    chunk = functools.partial(rollout_chunk, config, kernel=kernel)
    return jax.jit(chunk if mesh is None else shared)


@functools.cache
def _by_kernel(config: ModelConfig, mesh: Mesh | None, platform: str) -> Callable:
    """One kernel, or the scan where the kernel fails."""
    scan, kernel = _compiled(config, mesh, None), _compiled(config, mesh, platform)
    # Each shape is a kernel of its own, with its own ways to fail.
    chosen: dict[tuple, Callable] = {}

    def advance(params, state, gaze, *rest):
        arguments, shape = (params, state, gaze, *rest), gaze.shape
        if shape in chosen:
            return chosen[shape](*arguments)
        try:
            # Some failures show only when it runs, and some only in what it makes.
            made = jax.block_until_ready(kernel(*arguments))
            _agree(made[1], scan(*arguments)[1])
        # Whatever a compiler raises; what is wrong with the input, the scan raises too.
        except Exception as error:
            said = (str(error).strip().splitlines() or [type(error).__name__])[0]
            warnings.warn(
                f"the kernel for whole rollouts does not run on this {platform} "
                f"({said[:200]}); lax.scan does the work, more slowly. "
                "rollout(kernel=False) leaves the kernel out.",
                RuntimeWarning,
                stacklevel=2,
            )
            chosen[shape] = scan
            return scan(*arguments)
        chosen[shape] = kernel
        return made

    return advance


def _agree(made: Float[Array, "s t d"], expected: Float[Array, "s t d"]) -> None:
    """Raises unless a kernel's first heads are the scan's."""
    apart = float(jnp.abs(made - expected)[:, :FRAMES_COMPARED].max())
    # Also if it is no number.
    if not apart <= TOLERANCE:
        raise ArithmeticError(f"its heads differ from the scan's by {apart:.1e}")


def _platform() -> str:
    """Where JAX computes: "cpu", "gpu" or "tpu"."""
    device = jax.config.jax_default_device
    named = getattr(device, "platform", device) or jax.default_backend()
    return named.partition(":")[0]


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
    kernel: bool = True,
) -> Iterator[Float[np.ndarray, "s n 3"]]:
    """Heads in radians, chunk by chunk, at the model's rate.

    Args:
      checkpoint: the model.
      state: from `initial_state`.
      gaze: radians, at the model's rate; one row a sample.
      valid: where `gaze` may be used.
      chunk: frames at a time; only speed and memory depend on it. Left out: 256.
      temperature: of the noise; 0 gives the model's middle way, the same for all samples
        of a style.
      live: hide from the model what gaze is to come, as in live use.
      kernel: let a GPU or TPU run the frames in one kernel where there is one for the
        network. If it fails, or its first heads are not the scan's, a warning says so,
        and `lax.scan` does the work, as with False and as on a CPU always.

    Yields:
      `[samples, frames, 3]`; roll is 0 for a model of (pitch, yaw).
    """
    config, normaliser = checkpoint.config.model, checkpoint.normaliser
    params = jax.tree.map(jnp.asarray, checkpoint.params)
    rows, length = valid.shape
    chunk = chunk or CHUNK
    mesh, platform = _mesh(rows), _platform()
    if kernel and one_kernel.best_rollout(config, platform):
        advance = _by_kernel(config, mesh, platform)
    else:
        advance = _compiled(config, mesh, None)
    extra = 0
    if mesh is not None:
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
            yield to_radians(checkpoint, under_way)[:rows]
        under_way = heads[:, :n] if n < chunk else heads
    if under_way is not None:
        yield to_radians(checkpoint, under_way)[:rows]


# Whatever the model and the gaze, what leaves here is a head's angles.
ANGLE_LIMIT = np.float32([np.pi / 2, np.pi, np.pi])


def to_radians(checkpoint: Checkpoint, heads) -> np.ndarray:
    heads = checkpoint.normaliser.head_inverse(np.asarray(heads))
    out = np.zeros((*heads.shape[:-1], 3), np.float32)
    out[..., : heads.shape[-1]] = heads
    np.minimum(out, ANGLE_LIMIT, out=out)
    return np.maximum(out, -ANGLE_LIMIT, out=out)
