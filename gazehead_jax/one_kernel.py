"""The whole rollout in one kernel, for GPU and TPU.

Under `lax.scan` an accelerator starts a dozen small kernels a frame and reads every weight
for each of them. Here one Pallas kernel runs all frames of a tile of rows: the weights stay
on the chip, the state stays in registers or VMEM, gaze and noise stream in and heads out.
`lax.scan` of `networks.step` stays the oracle.

GPUs (Triton) run one program a tile of rows, with the time loop inside. TPUs (Mosaic) also
cut time into blocks, one after the other, and keep the state in the final state's block.

What a frame computes is in `kernel_networks`, of the pieces in `kernel_tiles`.

Dims: s rows (samples), t frames, g what `networks.seen_gaze` gives, n noise, d channels of
a head.
"""

import functools
import math
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Bool, Float

from gazehead_jax import networks
from gazehead_jax.config import ModelConfig
from gazehead_jax.kernel_networks import Frame, Natural
from gazehead_jax.kernel_tiles import Weights, column, pack, padded, power_of_two, wide
from gazehead_jax.motion import Array

# Rows that one program takes.
TILE = 64
# Frames of a TPU's block: their inputs and outputs must fit VMEM twice.
TIME_BLOCK = 16
# Sides of the squares that products are cut into. On a GPU a larger piece of the weights
# overflows the registers on its way to the tensor cores (compiled for Hopper, 256 hidden
# units in one piece spill 4.8 KB a thread).
BLOCK = {"gpu": 64, "tpu": 256}
# Weights up to this many bytes are read before the time loop and stay in a GPU's shared
# memory (an SM of Hopper has 227 KB); larger ones are read from its caches in each frame.
RESIDENT_BYTES = 180 * 1024
LARGEST_HIDDEN = 256


def applies(config: ModelConfig) -> bool:
    """Whether the kernel knows the network: "natural", or a cvae with a latent for each
    frame, carried state and a learned prior; up to 256 hidden units."""
    known = config.kind == "natural" or (
        config.period == 1
        and config.carry_state
        and config.prior == "learned"
        and config.context * config.head_dim <= 12
    )
    return known and config.hidden <= LARGEST_HIDDEN and config.style <= 3


def best_rollout(config: ModelConfig, platform: str) -> Callable | None:
    """What runs a chunk of frames fastest, in place of `lax.scan`.

    Args:
      config: the network.
      platform: of JAX ("cpu", "gpu", "cuda", "tpu").

    Returns:
      `rollout_kernel` for this network and platform, to be called as
      `(params, carry, gaze, valid, noise)`; None where `lax.scan` is to be used.
    """
    if platform == "cuda":
        platform = "gpu"
    if platform not in ("gpu", "tpu") or not applies(config):
        return None
    return functools.partial(rollout_kernel, config, platform=platform)


def rollout_kernel(
    config: ModelConfig,
    params: Mapping,
    carry: networks.Carry,
    gaze: Float[Array, "s t g"],
    valid: Bool[Array, "s t"],
    noise: Float[Array, "t s n"],
    *,
    platform: str,
    dtype=jnp.float32,
    interpret: bool = False,
) -> tuple[networks.Carry, Float[Array, "s t d"]]:
    """t frames of `networks.step` in one kernel.

    Args:
      config: the network; see `applies`.
      params, carry, gaze, valid: as of `networks.step`, with a time axis.
      noise: standard normal, time first.
      platform: "gpu" or "tpu".
      dtype: of the weights and of what they are multiplied with; sums, the state and all
        else stay in float32. bfloat16 is for tensor cores.
      interpret: run in plain JAX, on any machine.

    Returns:
      (the carry after t frames, heads in the network's units).
    """
    rows, frames = valid.shape
    tile = min(TILE, power_of_two(rows))
    block = math.gcd(frames, TIME_BLOCK) if platform == "tpu" else frames
    net = Natural(config) if config.kind == "natural" else Frame(config)
    weights = {k: padded(w, dtype) for k, w in net.weights(params["cell"]).items()}
    short = -rows % tile
    # A head at rest is as good as any for rows that are thrown away.
    fill = lambda x, axis: jnp.pad(
        x, [(0, short if i == axis else 0) for i in range(x.ndim)]
    )
    drive, z_noise = net.drive(gaze, valid, noise)
    streams = [fill(wide(x), 1) for x in (drive, z_noise)]
    state = [fill(wide(x), 0) for x in (net.memory(carry), carry.hidden)]

    def spec(shape, index):
        return pl.BlockSpec(shape, index)

    stream = lambda x: spec((block, tile, x.shape[-1]), lambda i, j: (j, i, 0))
    held = lambda x: spec((tile, x.shape[-1]), lambda i, j: (i, 0))
    whole = lambda x: spec(x.shape, lambda i, j: (0, 0))
    heads = jax.ShapeDtypeStruct((frames, rows + short, 4), jnp.float32)
    z = jax.ShapeDtypeStruct((rows + short, streams[1].shape[-1]), jnp.float32)
    outs = [heads, *(jax.ShapeDtypeStruct(x.shape, x.dtype) for x in state), z]
    size = sum(w.size * w.dtype.itemsize for w in weights.values())
    heads, memory, hidden, z = pl.pallas_call(
        functools.partial(
            _kernel,
            net,
            list(weights),
            (block, frames // block),
            functools.partial(
                Weights,
                BLOCK[platform],
                _precision(dtype, platform, interpret),
                platform == "gpu" and size <= RESIDENT_BYTES,
            ),
        ),
        grid=((rows + short) // tile, frames // block),
        in_specs=[
            *map(stream, streams),
            *map(held, state),
            *(whole(w) for w in weights.values()),
        ],
        out_specs=[stream(heads), *map(held, [*state, z])],
        out_shape=outs,
        interpret=interpret,
        compiler_params=None if interpret else _compiler(platform, config.hidden),
        name=f"rollout_{config.kind}",
    )(*streams, *state, *weights.values())
    d = 3 if config.kind == "natural" else config.head_dim
    heads = jnp.swapaxes(heads[:, :rows, :d], 0, 1)
    after = net.carry(carry, memory[:rows], z[:rows], heads)
    hidden = hidden[:rows, : config.hidden]
    return after.replace(hidden=hidden, t=carry.t + frames), heads


def _compiler(platform: str, hidden: int):
    if platform == "gpu":
        from jax.experimental.pallas import triton

        # One group of warps a tile; two where a tile's state is too large for one.
        return triton.CompilerParams(num_warps=4 if hidden <= 128 else 8, num_stages=1)
    from jax.experimental.pallas import tpu

    return tpu.CompilerParams(dimension_semantics=("parallel", "arbitrary"))


def _precision(dtype, platform: str, interpret: bool):
    """Of products: what float32 promises, at the most that the hardware makes of it."""
    if dtype != jnp.float32:
        return None
    if platform == "gpu" and not interpret:
        # Three passes of tensor cores, as exact as float32 to about a last place or two.
        return jax.lax.DotAlgorithmPreset.TF32_TF32_F32_X3
    return jax.lax.Precision.HIGHEST


def _kernel(net, names, times, weights, *refs):
    """One tile of rows over a block of frames."""
    block, blocks = times
    drive, z_noise, memory_in, hidden_in, *rest = refs
    w = weights(dict(zip(names, rest[: len(names)], strict=True)))
    heads, memory, hidden, z = rest[len(names) :]

    # The first block in time starts from what was given, the others from the last one.
    if blocks > 1:

        @pl.when(pl.program_id(1) == 0)
        def _():
            memory[...] = memory_in[...]
            hidden[...] = hidden_in[...]

        memory_in, hidden_in = memory, hidden
    packed = memory_in[...]
    columns = tuple(column(packed, i) for i in range(net.columns))
    constant = net.constant(packed)

    def frame(t, state):
        columns, h, _ = state
        columns, h, latent, head = net.step(
            w, columns, constant, h, drive[t], z_noise[t]
        )
        heads[t] = pack(head, 4)
        return tuple(columns), tuple(h), latent

    parts = [w.part(hidden.shape[1], n) for n in range(w.parts(hidden.shape[1]))]
    h = tuple(hidden_in[:, part] for part in parts)
    start = (columns, h, jnp.zeros(z.shape, jnp.float32))
    columns, h, latent = jax.lax.fori_loop(0, block, frame, start)
    memory[...] = pack(columns, packed.shape[1]) + net.kept(packed)
    for part, x in zip(parts, h, strict=True):
        hidden[:, part] = x
    z[...] = latent
