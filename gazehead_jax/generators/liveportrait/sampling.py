"""Sampling of feature volumes, with the original's alignment.

Its grids run from −1 at the first cell's centre to 1 at the last one's, yet they are
sampled as if −1 and 1 were the volume's outer faces (torch's `align_corners=False`), and
nought lies around. The networks were trained so: an identity grid stretches a little.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Float


def axis(cells: int) -> Float[jax.Array, " n"]:
    """Coordinates of cells along one axis: −1 to 1."""
    return jnp.linspace(-1.0, 1.0, cells)


def _cell(coordinate: jax.Array, cells: int) -> jax.Array:
    """Where a coordinate lies, in cells from the first one's centre."""
    return ((coordinate + 1) * cells - 1) / 2


def shifted(
    volume: Float[jax.Array, "b d h w c"], shift: Float[jax.Array, "b k 3"]
) -> Float[jax.Array, "b d h w k c"]:
    """The volume sampled at its own grid moved by each of k shifts (x, y, z).

    A shifted grid is separable, so this is three small matrix products where a general
    grid would gather eight corners for each cell.
    """
    _, d, h, w, _ = volume.shape

    def weights(part: int, cells: int) -> jax.Array:
        at = _cell(axis(cells)[None, None] + shift[..., part, None], cells)
        apart = jnp.abs(at[..., None] - jnp.arange(cells).reshape(1, 1, 1, -1))
        return jnp.maximum(1 - apart, 0)  # linear, and nought outside

    x = jnp.einsum("bdhwc,bkxw->bdhkxc", volume, weights(0, w))
    x = jnp.einsum("bdhkxc,bkyh->bdykxc", x, weights(1, h))
    return jnp.einsum("bdykxc,bkzd->bzyxkc", x, weights(2, d))


def sample(
    volume: Float[jax.Array, "b d h w c"], grid: Float[jax.Array, "b p q r 3"]
) -> Float[jax.Array, "b p q r c"]:
    """Trilinear interpolation at (x, y, z) of −1 to 1; nought outside."""
    cells = volume.shape[3:0:-1]  # w, h, d
    at = [_cell(grid[..., i], n) for i, n in enumerate(cells)]
    low = [jnp.floor(a) for a in at]
    share = [a - b for a, b in zip(at, low, strict=True)]
    total = 0.0
    for corner in range(8):
        weight, index = 1.0, 0
        for i in (2, 1, 0):
            upper = corner >> i & 1
            cell = low[i] + upper
            inside = (cell >= 0) & (cell < cells[i])
            part = share[i] if upper else 1 - share[i]
            weight = weight * jnp.where(inside, part, 0)
            cell = jnp.clip(cell, 0, cells[i] - 1).astype(jnp.int32)
            index = index * cells[i] + cell
        total = total + weight[..., None] * jax.vmap(_take)(volume, index)
    return total


def _take(volume, index):
    return volume.reshape(-1, volume.shape[-1])[index]
