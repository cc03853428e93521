"""Tiles, columns and products inside the kernel of `one_kernel`.

Neither Triton nor Mosaic can slice or join values, so that everything is a tile whose sides
are powers of two or a column `[rows, 1]`; `column` and `pack` go between them. Wide layers
are lists of tiles.

Dims: r rows of a tile, n columns.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from gazehead_jax.motion import Array

# Least side of a matrix product on tensor cores.
SIDE = 16


class Weights:
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


def power_of_two(n: int) -> int:
    """The side of a tile for n units."""
    return max(SIDE, 1 << (n - 1).bit_length())


def padded(matrix: Array, dtype) -> Array:
    """Zero rows and columns up to powers of two; a bias (one row) stays one row."""
    high = 1 if matrix.shape[0] == 1 else power_of_two(matrix.shape[0])
    across = power_of_two(matrix.shape[1])
    matrix = jnp.asarray(matrix)
    matrix = jnp.pad(
        matrix, ((0, high - matrix.shape[0]), (0, across - matrix.shape[1]))
    )
    return matrix.astype(jnp.float32 if high == 1 else dtype)


def wide(x: Array) -> Array:
    """float32 with its last axis padded to a power of two."""
    pad = [(0, 0)] * (x.ndim - 1) + [(0, power_of_two(x.shape[-1]) - x.shape[-1])]
    return jnp.pad(x.astype(jnp.float32), pad)


def _lane(x) -> Array:
    return jax.lax.broadcasted_iota(jnp.int32, x.shape, 1)


def column(x: Float[Array, "r n"], i: int) -> Float[Array, "r 1"]:
    """Column i of a tile."""
    return jnp.sum(jnp.where(_lane(x) == i, x, 0.0), axis=1, keepdims=True)


def pack(columns, width: int, first: int = 0) -> Float[Array, "r n"]:
    """Columns beside each other, from column `first` of a tile on."""
    rows = columns[0].shape[0]
    lane = jax.lax.broadcasted_iota(jnp.int32, (rows, width), 1)
    out = jnp.zeros((rows, width), jnp.float32)
    for i, x in enumerate(columns):
        out = jnp.where(lane == first + i, x, out)
    return out


def between(x, first: int, end: int):
    """A tile with zeros outside columns first … end - 1."""
    lane = _lane(x)
    return jnp.where((lane >= first) & (lane < end), x, 0.0)


def wrap(angle):
    """`motion.wrap`, of which not every compiler knows the `%`."""
    return angle - 2 * np.pi * jnp.floor((angle + np.pi) * (0.5 / np.pi))


def sigmoid(x):
    return 0.5 + 0.5 * jnp.tanh(0.5 * x)
