"""The whole rollout in one kernel, for GPU and TPU.

Under `lax.scan` an accelerator starts a dozen small kernels a frame and reads every weight
for each of them. Here one Pallas kernel runs all frames of a tile of rows: the weights stay
on the chip, the state stays in registers or VMEM, gaze and noise stream in and heads out.
`lax.scan` of `networks.step` stays the oracle.

GPUs (Triton) run one program a tile of rows, with the time loop inside. TPUs (Mosaic) also
cut time into blocks, one after the other, and keep the state in the final state's block.

Neither can slice or join values, so that everything is a tile whose sides are powers of two
or a column `[rows, 1]`; `_column` and `_pack` go between them. Wide layers are lists of
tiles. Biases are the row of a feature that is always 1.

Dims: r rows of a tile, h hidden, f features, z latent, p prior's hidden; all padded.
"""

import functools
import math
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl
from jaxtyping import Bool, Float

from gazehead_jax import model, natural, networks
from gazehead_jax.config import ModelConfig
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
# Least side of a matrix product on tensor cores.
SIDE = 16


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
    tile = min(TILE, _side(rows))
    block = math.gcd(frames, TIME_BLOCK) if platform == "tpu" else frames
    net = _Natural(config) if config.kind == "natural" else _Frame(config)
    weights = {k: _padded(w, dtype) for k, w in net.weights(params["cell"]).items()}
    short = -rows % tile
    # A head at rest is as good as any for rows that are thrown away.
    fill = lambda x, axis: jnp.pad(
        x, [(0, short if i == axis else 0) for i in range(x.ndim)]
    )
    drive, z_noise = net.drive(gaze, valid, noise)
    streams = [fill(_wide(x), 1) for x in (drive, z_noise)]
    state = [fill(_wide(x), 0) for x in (net.memory(carry), carry.hidden)]

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
                _Weights,
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
    columns = tuple(_column(packed, i) for i in range(net.columns))
    constant = net.constant(packed)

    def frame(t, state):
        columns, h, _ = state
        columns, h, latent, head = net.step(
            w, columns, constant, h, drive[t], z_noise[t]
        )
        heads[t] = _pack(head, 4)
        return tuple(columns), tuple(h), latent

    parts = [w.part(hidden.shape[1], n) for n in range(w.parts(hidden.shape[1]))]
    h = tuple(hidden_in[:, part] for part in parts)
    start = (columns, h, jnp.zeros(z.shape, jnp.float32))
    columns, h, latent = jax.lax.fori_loop(0, block, frame, start)
    memory[...] = _pack(columns, packed.shape[1]) + net.kept(packed)
    for part, x in zip(parts, h, strict=True):
        hidden[:, part] = x
    z[...] = latent


class _Weights:
    """Products with weights that are read piece by piece: in each frame, or at once."""

    def __init__(self, block: int, precision, resident: bool, refs: Mapping):
        self.block, self.precision, self.refs = block, precision, refs
        self._read: dict = {}
        if resident:
            for name, ref in refs.items():
                for k in range(self.parts(ref.shape[0])):
                    for n in range(self.parts(ref.shape[1])):
                        self._read[name, k, n] = self._piece(name, k, n)

    def _piece(self, name: str, k: int, n: int):
        if (name, k, n) in self._read:
            return self._read[name, k, n]
        ref = self.refs[name]
        return ref[self.part(ref.shape[0], k), self.part(ref.shape[1], n)]

    def parts(self, width: int) -> int:
        """How many tiles a layer of so many units is."""
        return -(-width // self.block)

    def part(self, width: int, n: int) -> slice:
        size = min(self.block, width)
        return slice(n * size, (n + 1) * size)

    def width(self, name: str) -> int:
        return self.refs[name].shape[1]

    def bias(self, name: str, n: int = 0) -> Float[Array, "1 n"]:
        return self._piece(name, 0, n)

    def dot(self, name: str, tiles, n: int = 0) -> Float[Array, "r n"]:
        """Tile n of [tiles] @ weights."""
        total = None
        for k, tile in enumerate(tiles):
            piece = self._piece(name, k, n)
            one = jnp.dot(
                tile.astype(piece.dtype),
                piece,
                precision=self.precision,
                preferred_element_type=jnp.float32,
            )
            total = one if total is None else total + one
        return total


# --- tiles and columns -------------------------------------------------------------


def _side(n: int) -> int:
    return max(SIDE, 1 << (n - 1).bit_length())


def _padded(matrix: Array, dtype) -> Array:
    """Zero rows and columns up to powers of two; a bias (one row) stays one row."""
    high = 1 if matrix.shape[0] == 1 else _side(matrix.shape[0])
    wide = _side(matrix.shape[1])
    matrix = jnp.asarray(matrix)
    matrix = jnp.pad(matrix, ((0, high - matrix.shape[0]), (0, wide - matrix.shape[1])))
    return matrix.astype(jnp.float32 if high == 1 else dtype)


def _wide(x: Array) -> Array:
    """float32 with its last axis padded to a power of two."""
    pad = [(0, 0)] * (x.ndim - 1) + [(0, _side(x.shape[-1]) - x.shape[-1])]
    return jnp.pad(x.astype(jnp.float32), pad)


def _lane(x) -> Array:
    return jax.lax.broadcasted_iota(jnp.int32, x.shape, 1)


def _column(x: Float[Array, "r n"], i: int) -> Float[Array, "r 1"]:
    return jnp.sum(jnp.where(_lane(x) == i, x, 0.0), axis=1, keepdims=True)


def _pack(columns, width: int, first: int = 0) -> Float[Array, "r n"]:
    """Columns beside each other, from column `first` of a tile on."""
    rows = columns[0].shape[0]
    lane = jax.lax.broadcasted_iota(jnp.int32, (rows, width), 1)
    out = jnp.zeros((rows, width), jnp.float32)
    for i, column in enumerate(columns):
        out = jnp.where(lane == first + i, column, out)
    return out


def _between(x, first: int, end: int):
    lane = _lane(x)
    return jnp.where((lane >= first) & (lane < end), x, 0.0)


def _wrap(angle):
    return angle - 2 * np.pi * jnp.floor((angle + np.pi) * (0.5 / np.pi))


def _sigmoid(x):
    return 0.5 + 0.5 * jnp.tanh(0.5 * x)


# --- what both networks share ------------------------------------------------------


def _dense(kernel, bias, features: int, hidden: int, one: int):
    """A dense layer of [hidden, features] as two matrices; the bias at feature `one`."""
    kernel = jnp.asarray(kernel)
    width = kernel.shape[1]
    below = jnp.zeros((one + 1, width)).at[:features].set(kernel[hidden:])
    return kernel[:hidden], below.at[one].set(bias)


def _shared_weights(cell, seen: int, latent: int, one: int) -> dict:
    """Prior and GRU, by names; of features, `seen` come before z in the network."""
    hidden = cell["gru"]["hn"]["kernel"].shape[0]
    w = {}
    layer = cell["prior_hidden"]
    w["prior_h"], w["prior_f"] = _dense(
        layer["kernel"], layer["bias"], len(layer["kernel"]) - hidden, hidden, one
    )
    for part, name in ((slice(None, latent), "mean"), (slice(latent, None), "logvar")):
        w[name] = cell["prior"]["kernel"][:, part]
        w[f"{name}_b"] = cell["prior"]["bias"][None, part]
    for gate in "rzn":
        kernel = jnp.asarray(cell["gru"][f"i{gate}"]["kernel"])
        w[f"{gate}_h"] = cell["gru"][f"h{gate}"]["kernel"]
        w[f"{gate}_z"] = kernel[seen : seen + latent]
        kernel = jnp.concatenate([kernel[:seen], kernel[seen + latent :]])
        bias = cell["gru"][f"i{gate}"]["bias"]
        _, w[f"{gate}_f"] = _dense(kernel, bias, len(kernel), 0, one)
    return w | {"n_b": cell["gru"]["hn"]["bias"][None]}


def _draw(w: _Weights, h, features, noise, low, high):
    inner = [
        jnp.tanh(w.dot("prior_h", h, n) + w.dot("prior_f", [features], n))
        for n in range(w.parts(w.width("prior_h")))
    ]
    mean = w.dot("mean", inner) + w.bias("mean_b")
    logvar = w.dot("logvar", inner) + w.bias("logvar_b")
    return mean + jnp.exp(0.5 * jnp.clip(logvar, low, high)) * noise


def _update(w: _Weights, h, features, z):
    """The next hidden state, tile by tile."""
    after = []
    for n, before in enumerate(h):
        given = lambda gate, n=n: (
            w.dot(f"{gate}_f", [features], n) + w.dot(f"{gate}_z", [z], n)
        )
        reset = _sigmoid(w.dot("r_h", h, n) + given("r"))
        new = jnp.tanh(given("n") + reset * (w.dot("n_h", h, n) + w.bias("n_b", n)))
        keep = _sigmoid(w.dot("z_h", h, n) + given("z"))
        after.append(new + keep * (before - new))
    return after


# --- the networks ------------------------------------------------------------------


class _Natural:
    """`natural.Cell`. Memory: head, step, change, gaze, posture, seen, then style."""

    columns = 13

    def __init__(self, config: ModelConfig):
        self.config = config
        self.looks = natural.LOOKS if config.lookahead else 0
        self.seen = 16 + 3 * self.looks
        # Features: what is seen, style, 1.
        self.one = self.seen + config.style
        self.width = _side(self.one + 1)

    def weights(self, cell) -> dict:
        w = _shared_weights(cell, self.seen, self.config.latent, self.one)
        layer = cell["head"]
        w["out_h"], w["out_f"] = _dense(
            layer["kernel"], layer["bias"], self.one, self.config.hidden, self.one
        )
        return w

    def drive(self, gaze, valid, noise):
        z, head = jnp.split(noise, [self.config.latent], -1)
        gaze = jnp.swapaxes(gaze, 0, 1)
        usable = jnp.swapaxes(valid, 0, 1)[..., None]
        # Nothing that must not be used may be NaN: the kernel multiplies by 0.
        now = jnp.where(usable, gaze[..., :2], 0)
        parts = [now, usable.astype(jnp.float32), head, gaze[..., 2:]]
        return jnp.concatenate(parts, -1), z

    def memory(self, carry):
        parts = [carry.head, carry.step, carry.change, carry.gaze]
        parts += [carry.posture[:, None], carry.seen[:, None], carry.style]
        return jnp.concatenate(parts, -1)

    def carry(self, before, memory, z, heads):
        head, step, change, gaze, posture, seen, _ = jnp.split(
            memory, [3, 6, 9, 11, 12, 13], axis=-1
        )
        return before.replace(
            head=head,
            step=step,
            change=change,
            gaze=gaze,
            posture=posture[:, 0],
            seen=seen[:, 0] > 0,
        )

    def kept(self, packed):
        return _between(packed, 13, 13 + self.config.style)

    def constant(self, packed):
        style = [_column(packed, 13 + i) for i in range(self.config.style)]
        one = jnp.ones((packed.shape[0], 1), jnp.float32)
        return _pack([*style, one], self.width, self.seen)

    def step(self, w, columns, constant, h, drive, z_noise):
        head, step, change = columns[:3], columns[3:6], columns[6:9]
        was, posture, seen = columns[9:11], columns[11], columns[12] > 0
        valid = _column(drive, 2)
        usable = valid > 0
        up = jnp.where(usable, _column(drive, 0), was[0])
        side = jnp.where(usable, _column(drive, 1), was[1])
        was = (jnp.where(seen, was[0], up), jnp.where(seen, was[1], side))
        posture = jnp.where(seen, posture, side)
        posture = posture + _wrap(side - posture) / natural.POSTURE_FRAMES
        pitch, yaw, roll = head
        eye = (up, side)
        if self.config.sees == "eyes":
            eye = _eye(up, side, pitch, yaw, roll)
        features = [
            *(x / natural.EYE for x in eye),
            _wrap(up - was[0]) / natural.GAZE_STEP,
            _wrap(side - was[1]) / natural.GAZE_STEP,
            *(x / natural.HEAD_STEP for x in step),
            *(x / natural.HEAD_CHANGE for x in change),
            pitch / natural.TILT,
            roll / natural.TILT,
            up / natural.GAZE_PITCH,
            _wrap(side - posture) / natural.POSTURE,
            _wrap(yaw - posture) / natural.POSTURE,
            valid,
        ]
        for look in range(6, 6 + 3 * self.looks, 3):
            ahead = [_column(drive, look + i) for i in range(3)]
            features += [
                ahead[2] * _wrap(ahead[0] - up) / natural.EYE,
                ahead[2] * _wrap(ahead[1] - side) / natural.EYE,
                ahead[2],
            ]
        limit = natural.FEATURE_LIMIT
        features = jnp.clip(_pack(features, self.width), -limit, limit) + constant
        z = _draw(w, h, features, z_noise, -8.0, 4.0)
        h = _update(w, h, features, z)
        out = w.dot("out_h", h) + w.dot("out_f", [features])
        made = [self._moved(out, drive, i, head, step, change) for i in range(3)]
        head, step, change = zip(*made, strict=True)
        seen = jnp.maximum(valid, seen.astype(jnp.float32))
        columns = (*head, *step, *change, up, side, posture, seen)
        return columns, h, z, head

    def _moved(self, out, drive, i, head, step, change):
        push, logstd, keep_step, keep_change = (
            _column(out, i + 3 * k) for k in range(4)
        )
        keep_step, keep_change = _sigmoid(keep_step + 2), _sigmoid(keep_change)
        spread = 1e-3 * jnp.exp(jnp.clip(logstd - 1, -6.0, 2.0))
        change = (
            keep_change * change[i]
            + (1 - keep_change) * natural.HEAD_CHANGE * push
            + spread * _column(drive, 3 + i)
        )
        limit = natural.FASTEST
        step = jnp.clip(keep_step * step[i] + change, -limit, limit)
        head, limit = head[i] + step, natural.TILT_LIMIT
        head = _wrap(head) if i == 1 else jnp.clip(head, -limit, limit)
        return head, step, change


def _eye(up, side, pitch, yaw, roll):
    """`motion.gaze_in_head` over columns; only the difference of the yaws matters."""
    turn = side - yaw
    x, y, z = -jnp.cos(up) * jnp.sin(turn), -jnp.sin(up), -jnp.cos(up) * jnp.cos(turn)
    sp, cp, sr, cr = jnp.sin(pitch), jnp.cos(pitch), jnp.sin(roll), jnp.cos(roll)
    y, z = cp * y - sp * z, sp * y + cp * z
    x, y = cr * x + sr * y, cr * y - sr * x
    return jnp.arctan2(-y, jnp.sqrt(x * x + z * z)), jnp.arctan2(-x, -z)


class _Frame:
    """`model.Step` with a latent each frame. Memory: gaze, the last heads."""

    def __init__(self, config: ModelConfig):
        self.config = config
        self.past = config.context * config.head_dim
        self.columns = 2 + self.past
        # Features: gaze, the last heads, 1.
        self.one = 2 + self.past
        self.width = _side(self.one + 1)

    def weights(self, cell) -> dict:
        w = _shared_weights(cell, 2, self.config.latent, self.one)
        layer = cell["head"]
        w["out_h"] = layer["kernel"]
        return w | {"out_b": layer["bias"][None]}

    def drive(self, gaze, valid, noise):
        usable = valid[..., None]
        parts = [jnp.where(usable, gaze, 0), usable.astype(jnp.float32)]
        return jnp.swapaxes(jnp.concatenate(parts, -1), 0, 1), noise

    def memory(self, carry):
        return jnp.concatenate([carry.gaze, carry.recent.reshape(-1, self.past)], -1)

    def carry(self, before, memory, z, heads):
        c = self.config
        # What conditioned the last frame: the heads before it.
        heads = jnp.concatenate([before.recent, heads], 1)
        end = heads.shape[1] - 1
        return before.replace(
            z=z[:, : c.latent],
            context=heads[:, end - c.context : end],
            gaze=memory[:, :2],
            recent=memory[:, 2 : self.columns].reshape(before.recent.shape),
        )

    def kept(self, packed):
        return jnp.zeros_like(packed)

    def constant(self, packed):
        one = jnp.ones((packed.shape[0], 1), jnp.float32)
        return _pack([one], self.width, self.one)

    def step(self, w, columns, constant, h, drive, z_noise):
        c, limit = self.config, model.HEAD_LIMIT
        usable = _column(drive, 2) > 0
        gaze = [jnp.where(usable, _column(drive, i), columns[i]) for i in range(2)]
        past = columns[2:]
        features = _pack([*gaze, *past], self.width) + constant
        z = _draw(w, h, features, z_noise, -12.0, 6.0)
        h = _update(w, h, features, z)
        out = w.dot("out_h", h) + w.bias("out_b")
        head = [_column(out, i) for i in range(c.head_dim)]
        if c.increments:
            last = past[-c.head_dim :]
            head = [x + was for x, was in zip(head, last, strict=True)]
        head = [jnp.clip(x, -limit, limit) for x in head]
        recent = [*past, *head][len(head) :] if c.context else []
        return (*gaze, *recent), h, z, head
