"""The decoder: factors to a picture of a face."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Float

from gazehead_jax.generators.sted.blocks import (
    BLOCKS,
    DenseBlock,
    activated,
    conv,
    doubling,
    joined,
)

START = 2  # edge of the smallest map


class Decoder(nn.Module):
    """Five dense blocks, each twice as large as the one before, and two doublings.

    Attributes:
      growth: channels of each dense convolution.
      dtype: of the convolutions.
    """

    growth: int = 32
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, features: Float[jax.Array, "b f"]
    ) -> Float[jax.Array, "b 128 128 3"]:
        """RGB, about -1 to 1.

        Args:
          features: of all factors; their number must be a multiple of 4.
        """
        # Channels come first in the features, as in torch.
        x = features.reshape(len(features), -1, START, START).transpose(0, 2, 3, 1)
        for block in range(1, BLOCKS + 1):
            x = DenseBlock(self.growth, self.dtype, name=f"block{block}")(x)
            if block < BLOCKS:
                x = joined([activated(part) for part in x])
                x = doubling(x.shape[-1], self.dtype, f"up{block}")(x)
        return Head(self.growth, self.dtype, name="head")(joined(x))


class Head(nn.Module):
    """The last two doublings and the convolution to colours."""

    growth: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[jax.Array, "b h w c"]
    ) -> Float[jax.Array, "b height width 3"]:
        x = activated(doubling(4 * self.growth, self.dtype, "conv1")(x))
        x = activated(doubling(2 * self.growth, self.dtype, "conv2")(x))
        return conv(3, 3, self.dtype, "conv3")(x).astype(jnp.float32)
