"""The encoder: a picture of a face to factors and their angles."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Float

from gazehead_jax.generators.sted.blocks import (
    BLOCKS,
    DenseBlock,
    activated,
    conv,
    joined,
)
from gazehead_jax.generators.sted.latents import Latents

HIDDEN = 96  # between the picture's features and its angles


class Encoder(nn.Module):
    """Two strided convolutions, five dense blocks, two small perceptrons.

    Attributes:
      growth: channels of each dense convolution.
      latents: what comes out.
    """

    growth: int = 32
    latents: Latents = Latents()

    @nn.compact
    def __call__(
        self, pictures: Float[jax.Array, "b 128 128 3"]
    ) -> tuple[Float[jax.Array, "b f"], Float[jax.Array, "b a"]]:
        """Features and angles (radians, within ±π/2) of all factors.

        Args:
          pictures: RGB from -1 to 1, see `patch`.
        """
        x = Trunk(self.growth, name="trunk")(pictures)
        x = x.reshape(len(x), -1)
        angles = nn.leaky_relu(nn.Dense(HIDDEN, name="angles1")(x))
        angles = nn.Dense(self.latents.angles, name="angles2")(angles)
        features = nn.leaky_relu(nn.Dense(x.shape[-1], name="features1")(x))
        features = nn.Dense(self.latents.features, name="features2")(features)
        return features, jnp.pi / 2 * jnp.tanh(angles)


class Trunk(nn.Module):
    """The encoder's convolutions: 128² pixels to 2² with 24 × growth channels."""

    growth: int

    @nn.compact
    def __call__(
        self, x: Float[jax.Array, "b h w 3"]
    ) -> Float[jax.Array, "b height width c"]:
        x = activated(conv(2 * self.growth, 3, jnp.float32, "conv1", stride=2)(x))
        x = conv(4 * self.growth, 3, jnp.float32, "conv2", stride=2)(x)
        for block in range(1, BLOCKS + 1):
            x = joined(DenseBlock(self.growth, name=f"block{block}")(x))
            if block < BLOCKS:
                # The original takes means after the 1×1 convolution: the same, slower.
                x = nn.avg_pool(activated(x), (2, 2), (2, 2))
                x = conv(x.shape[-1], 1, jnp.float32, f"down{block}")(x)
        return x
