"""What encoder and decoder are made of: densely connected convolutions.

Every convolution without a bias sees its input through instance norm and a leaky ReLU.
Both treat each channel of each picture by itself, so that what was normalised once stays
so beside later channels: here each channel is normalised once, not before each of the
convolutions that read it.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Float

LAYERS = 4  # of a dense block
BLOCKS = 5
_EPSILON = 1e-5  # of torch's InstanceNorm2d
_SLOPE = 0.01  # of torch's LeakyReLU


def activated(x: Float[jax.Array, "b h w c"]) -> Float[jax.Array, "b h w c"]:
    """Instance norm without parameters, and a leaky ReLU; statistics in float32."""
    wide = x.astype(jnp.float32)
    mean = wide.mean((1, 2), keepdims=True)
    centred = wide - mean
    variance = (centred * centred).mean((1, 2), keepdims=True)
    y = centred * jax.lax.rsqrt(variance + _EPSILON)
    return jnp.where(y > 0, y, _SLOPE * y).astype(x.dtype)


def conv(features: int, size: int, dtype: Any, name: str, stride: int = 1) -> nn.Conv:
    """A convolution without a bias, padded alike on both sides as torch does."""
    return nn.Conv(
        features,
        (size, size),
        stride,
        padding=size // 2,
        use_bias=False,
        dtype=dtype,
        name=name,
    )


def doubling(features: int, dtype: Any, name: str) -> nn.Conv:
    """torch's ConvTranspose2d of size 3 and stride 2 that doubles height and width."""
    return nn.Conv(
        features,
        (3, 3),
        input_dilation=2,
        padding=((1, 2), (1, 2)),
        use_bias=False,
        dtype=dtype,
        name=name,
    )


class DenseBlock(nn.Module):
    """Four 3×3 convolutions, each of which sees the input and all before it.

    What a convolution makes of one of its inputs is added to what it makes of the
    others, so each input is convolved once, for all who read it: a few wide convolutions
    in place of many narrow ones, with the same parameters.

    Attributes:
      growth: channels of each convolution.
      dtype: of the convolutions.
    """

    growth: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[jax.Array, "b h w c"]
    ) -> list[Float[jax.Array, "b h w _"]]:
        """The input and the four convolutions' outputs, not activated."""
        parts, sums = [x], 0
        for layer in range(LAYERS):
            wide = conv((LAYERS - layer) * self.growth, 3, self.dtype, f"from{layer}")
            sums = sums + wide(activated(parts[-1]))
            parts.append(sums[..., : self.growth])
            sums = sums[..., self.growth :]
        return parts


def joined(parts: list[Float[jax.Array, "b h w _"]]) -> Float[jax.Array, "b h w c"]:
    return jnp.concatenate(parts, axis=-1)
