"""What THA3's networks are made of: separable convolutions, instance norm, warping.

Depthwise convolutions are sums of shifted pictures, not `lax.conv` with groups: on a CPU
XLA turns the former into one vectorised loop, and takes 13 to 60 times as long for the
latter on most of the sizes here.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

_EPSILON = 1e-5  # of torch's InstanceNorm2d


def depthwise(
    x: Float[jax.Array, "b h w c"], kernel: Float[jax.Array, "k k c"]
) -> Float[jax.Array, "b h w c"]:
    """Odd kernel, zeros beyond the border, the same size."""
    size = kernel.shape[0]
    _, h, w, _ = x.shape
    x = _padded(x, size // 2)
    return sum(
        x[:, i : i + h, j : j + w] * _tap(kernel, i, j)
        for i in range(size)
        for j in range(size)
    )


def depthwise_halving(
    x: Float[jax.Array, "b h w c"], kernel: Float[jax.Array, "4 4 c"]
) -> Float[jax.Array, "b half_h half_w c"]:
    """Stride 2, one row of zeros around."""
    _, h, w, _ = x.shape
    x = _padded(x, 1)
    return sum(
        x[:, i : i + h - 1 : 2, j : j + w - 1 : 2] * _tap(kernel, i, j)
        for i in range(4)
        for j in range(4)
    )


def depthwise_doubling(
    x: Float[jax.Array, "b h w c"], kernel: Float[jax.Array, "4 4 c"]
) -> Float[jax.Array, "b double_h double_w c"]:
    """The transposed convolution of stride 2 and padding 1: torch's ConvTranspose2d."""
    # Output row 2i gets rows i - 1 and i by kernel rows 3 and 1; row 2i + 1 gets rows
    # i and i + 1 by 2 and 0; columns alike.
    return _two_by_two(x, lambda a, d: [[3, 1], [2, 0]][a][d], kernel)


def depthwise_doubled(
    x: Float[jax.Array, "b h w c"], kernel: Float[jax.Array, "3 3 c"]
) -> Float[jax.Array, "b double_h double_w c"]:
    """`depthwise` of the picture with each pixel made 2 × 2, without making it."""
    # Of three neighbouring rows of the doubled picture two are the same row: their
    # kernel rows add up.
    rows = jnp.stack(
        [kernel[0], kernel[1] + kernel[2], kernel[0] + kernel[1], kernel[2]]
    )
    k = [rows[:, 0], rows[:, 1] + rows[:, 2], rows[:, 0] + rows[:, 1], rows[:, 2]]
    return _two_by_two(x, lambda a, d: 2 * a + d, jnp.stack(k, 1))


def _two_by_two(x, index, kernel):
    """Four pictures of 2 × 2 taps each, interleaved."""
    b, h, w, c = x.shape
    x = _padded(x, 1)
    phases = [
        [
            sum(
                x[:, a + d : a + d + h, e + f : e + f + w]
                * _tap(kernel, index(a, d), index(e, f))
                for d in range(2)
                for f in range(2)
            )
            for e in range(2)
        ]
        for a in range(2)
    ]
    rows = [jnp.stack(row, axis=3) for row in phases]
    return jnp.stack(rows, axis=2).reshape(b, 2 * h, 2 * w, c)


def _padded(x, by: int):
    # The barrier keeps what makes x from being computed anew for every tap.
    return jax.lax.optimization_barrier(
        jnp.pad(x, ((0, 0), (by, by), (by, by), (0, 0)))
    )


def _tap(kernel, i: int, j: int):
    return kernel[i, j][None, None, None]


_DEPTHWISE = {
    "same": depthwise,
    "halving": depthwise_halving,
    "doubling": depthwise_doubling,
    "doubled": depthwise_doubled,
}


class Depthwise(nn.Module):
    """One of the convolutions above; `size` is the kernel's."""

    kind: str
    size: int

    @nn.compact
    def __call__(self, x):
        shape = (self.size, self.size, x.shape[-1])
        kernel = self.param("kernel", nn.initializers.normal(0.3), shape)
        return _DEPTHWISE[self.kind](x, kernel)


class InstanceNorm(nn.Module):
    """Every channel of every picture to a scale and bias, then leaky ReLU (or None)."""

    slope: float | None

    @nn.compact
    def __call__(self, x):
        shape = x.shape[-1:]
        scale = self.param("scale", nn.initializers.ones, shape)
        bias = self.param("bias", nn.initializers.zeros, shape)
        mean = x.mean((1, 2), keepdims=True)
        variance = jnp.square(x - mean).mean((1, 2), keepdims=True)
        factor = scale[None, None, None] * jax.lax.rsqrt(variance + _EPSILON)
        x = (x - mean) * factor + bias[None, None, None]
        return x if self.slope is None else nn.leaky_relu(x, self.slope)


class Separable(nn.Module):
    """Depthwise and 1 × 1 convolution, instance norm and leaky ReLU (or None).

    Several pictures count as one that has the channels of all, and a vector as a picture
    that has it at every pixel.

    Attributes:
      features: channels of the output.
      slope: of the leaky ReLU.
      kinds: the depthwise convolution of each input.
      size: of their kernels.
    """

    features: int
    slope: float | None
    kinds: tuple[str, ...] = ("same",)
    size: int = 3

    @nn.compact
    def __call__(self, *parts):
        # A 1 × 1 convolution of joined channels is a sum; joining would be a copy.
        x = 0.0
        for i, (part, kind) in enumerate(zip(parts, self.kinds, strict=True)):
            constant = part.ndim == 2
            if constant:
                # Away from the border the outcome is constant too: a picture as large
                # as the kernel has every case, and is stretched from its middle.
                b, c = part.shape
                edges = (b, self.size, self.size, c)
                part = jnp.broadcast_to(part[:, None, None], edges)
            part = Depthwise(kind, self.size, name=f"depthwise_{i}")(part)
            part = nn.Dense(self.features, use_bias=False, name=f"pointwise_{i}")(part)
            x += _stretched(part, *x.shape[1:3]) if constant else part
        return InstanceNorm(self.slope, name="norm")(x)


def _stretched(x, height: int, width: int):
    middle = x.shape[1] // 2
    for axis, length in ((1, height), (2, width)):
        index = np.clip(np.arange(length), None, middle)
        index[-middle:] = np.arange(middle + 1, x.shape[axis])
        x = jnp.take(x, index, axis=axis)
    return x


class Residual(nn.Module):
    """Two separable convolutions about a shortcut."""

    slope: float

    @nn.compact
    def __call__(self, x):
        y = Separable(x.shape[-1], self.slope, name="first")(x)
        return x + Separable(x.shape[-1], None, name="second")(y)


def warp(
    image: Float[jax.Array, "b h w c"], shift: Float[jax.Array, "b h w 2"]
) -> Float[jax.Array, "b h w c"]:
    """The picture read bilinearly at each pixel's place + shift, the border continued.

    Args:
      shift: (x, y) in units in which the picture is 2 wide and 2 high: torch's
        `grid_sample` with `align_corners=False`.
    """
    b, h, w, c = image.shape
    x = jnp.arange(w)[None, None] + shift[..., 0] * (w / 2)
    y = jnp.arange(h)[None, :, None] + shift[..., 1] * (h / 2)
    x, y = jnp.clip(x, 0, w - 1), jnp.clip(y, 0, h - 1)
    left, top = jnp.floor(x), jnp.floor(y)
    across, down = (x - left)[..., None], (y - top)[..., None]
    start = top.astype(jnp.int32) * w + left.astype(jnp.int32)
    # The four neighbours of each pixel lie together, so that one is looked up for four.
    edged = jnp.pad(image, ((0, 0), (0, 1), (0, 1), (0, 0)), mode="edge")
    four = jnp.concatenate(
        [edged[:, i : i + h, j : j + w] for i in (0, 1) for j in (0, 1)], axis=-1
    ).reshape(b, h * w, 4 * c)
    found = jnp.take_along_axis(
        four, start.reshape(b, h * w, 1), axis=1, mode="promise_in_bounds"
    ).reshape(b, h, w, 2, 2, c)
    upper, lower = found[..., 0, :, :], found[..., 1, :, :]
    rows = upper * (1 - down[..., None]) + lower * down[..., None]
    return rows[..., 0, :] * (1 - across) + rows[..., 1, :] * across


def halve(x: Float[jax.Array, "b h w c"]) -> Float[jax.Array, "b half_h half_w c"]:
    """Half the size: torch's bilinear `interpolate`, which is the mean of 2 × 2."""
    b, h, w, c = x.shape
    return x.reshape(b, h // 2, 2, w // 2, 2, c).mean((2, 4))


def double(x: Float[jax.Array, "b h w c"]) -> Float[jax.Array, "b double_h double_w c"]:
    """Twice the size: torch's bilinear `interpolate` without aligned corners."""
    for axis in (1, 2):
        shape = list(x.shape)
        last = x.shape[axis] - 1
        before = jnp.concatenate(
            [
                jax.lax.slice_in_dim(x, 0, 1, axis=axis),
                jax.lax.slice_in_dim(x, 0, last, axis=axis),
            ],
            axis,
        )
        after = jnp.concatenate(
            [
                jax.lax.slice_in_dim(x, 1, last + 1, axis=axis),
                jax.lax.slice_in_dim(x, last, last + 1, axis=axis),
            ],
            axis,
        )
        shape[axis] *= 2
        x = jnp.stack(
            [0.25 * before + 0.75 * x, 0.75 * x + 0.25 * after], axis + 1
        ).reshape(shape)
    return x
