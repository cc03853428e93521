"""Layers that the networks share. Channels come last; padding is torch's.

Batch norm and spectral norm have no layers: conversion folds them into convolutions.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

_EPSILON = 1e-5  # of torch's InstanceNorm2d


def conv(features: int, size: int, dtype: Any, name: str, *, bias: bool = True):
    """A 2-D convolution that keeps height and width."""
    return nn.Conv(
        features, (size, size), padding=size // 2, use_bias=bias, dtype=dtype, name=name
    )


class Conv3d(nn.Module):
    """A 3-D convolution with a cubic kernel that keeps the volume's size.

    XLA's own is two to ten times slower on a CPU than 2-D ones; there it is done by
    those (`_by_planes`).
    """

    features: int
    size: int = 3
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[jax.Array, "b d h w i"]) -> jax.Array:
        shape = (self.size,) * 3 + (x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        y = jax.lax.platform_dependent(
            x.astype(self.dtype),
            kernel.astype(self.dtype),
            cpu=_by_planes,
            default=_directly,
        )
        return y + bias.astype(self.dtype).reshape(1, 1, 1, 1, -1)


def _directly(x, kernel):
    numbers = ("NDHWC", "DHWIO", "NDHWC")
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1, 1), "SAME", dimension_numbers=numbers
    )


def _by_planes(x, kernel):
    """All planes through one 2-D convolution that gives what each adds to itself and to
    its neighbours."""
    b, d, h, w, i = x.shape
    size, _, _, _, o = kernel.shape
    within = kernel.transpose(1, 2, 3, 0, 4).reshape(size, size, i, size * o)
    parts = _conv2d(x.reshape(b * d, h, w, i), within, "SAME")
    parts = parts.reshape(b, d, h, w, size, o)
    edge = size // 2
    parts = jnp.pad(parts, ((0, 0), (edge, edge), *[(0, 0)] * 4))
    return sum(parts[:, at : at + d, :, :, at] for at in range(size))


# A 3-wide kernel over cells that were repeated sees, within each run of one cell, only
# these sums of its taps, at these paddings: before the run's middle, in it, behind it.
_RUN = (
    (np.array([[1, 0, 0], [0, 1, 1]]), (1, 0)),
    (np.array([[1, 1, 1]]), (0, 0)),
    (np.array([[1, 1, 0], [0, 0, 1]]), (0, 1)),
)


class UpsampledConv(nn.Module):
    """`conv` of size 3 of a picture enlarged by `factor`, nearest neighbours.

    The picture is not enlarged first: its pixels give the same few numbers again and
    again. At factor 4 that is a sixth of the multiplications.
    """

    features: int
    factor: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[jax.Array, "b h w i"]) -> jax.Array:
        shape = (3, 3, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        x, bias = x.astype(self.dtype), bias.astype(self.dtype).reshape(1, 1, 1, -1)
        if self.factor == 1:
            return _conv2d(x, kernel.astype(self.dtype), "SAME") + bias

        def place(rows, columns):
            (down, above), (across, beside) = rows, columns
            taps = jnp.einsum("ap,bq,pqio->abio", down, across, kernel)
            return _conv2d(x, taps.astype(self.dtype), (above, beside)) + bias

        first, middle, last = range(3)
        order = [first, *[middle] * (self.factor - 2), last]
        made = {(i, j): place(_RUN[i], _RUN[j]) for i in set(order) for j in set(order)}
        rows = [jnp.stack([made[i, j] for j in order], 3) for i in order]
        b, h, w, _ = x.shape
        return jnp.stack(rows, 2).reshape(b, h * self.factor, w * self.factor, -1)


def _conv2d(x, kernel, padding):
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def upsample(x: Float[jax.Array, "b *n h w c"]) -> jax.Array:
    """Twice the height and width, nearest neighbours."""
    return jnp.repeat(jnp.repeat(x, 2, axis=-3), 2, axis=-2)


def halve(x: Float[jax.Array, "b *n h w c"]) -> jax.Array:
    """Means of squares of four pixels."""
    *lead, h, w, c = x.shape
    return x.reshape(*lead, h // 2, 2, w // 2, 2, c).mean((-4, -2))


def instance_norm(x: Float[jax.Array, "b h w c"]) -> Float[jax.Array, "b h w c"]:
    """Every channel of every picture with mean 0 and variance 1, in float32."""
    x = x.astype(jnp.float32)
    x = x - x.mean((1, 2), keepdims=True)
    return x * jax.lax.rsqrt(jnp.square(x).mean((1, 2), keepdims=True) + _EPSILON)


def to_volume(
    x: Float[jax.Array, "b h w n"], depth: int
) -> Float[jax.Array, "b d h w c"]:
    """Channels unfolded to planes: channel c · depth + d to channel c of plane d."""
    b, h, w, n = x.shape
    return x.reshape(b, h, w, n // depth, depth).transpose(0, 4, 1, 2, 3)


def to_channels(x: Float[jax.Array, "b d h w c"]) -> Float[jax.Array, "b h w n"]:
    """Planes folded into channels: the inverse of `to_volume`."""
    b, d, h, w, c = x.shape
    return x.transpose(0, 2, 3, 4, 1).reshape(b, h, w, c * d)
