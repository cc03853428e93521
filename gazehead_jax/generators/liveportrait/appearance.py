"""F: what a face looks like, as a volume of features."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Float

from gazehead_jax.generators.liveportrait.architecture import PUBLISHED, Architecture
from gazehead_jax.generators.liveportrait.layers import Conv3d, conv, halve, to_volume


class ResBlock3d(nn.Module):
    """Two 3-D convolutions beside a shortcut; the first norm comes before them."""

    dtype: Any

    @nn.compact
    def __call__(self, x):
        features = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (features,))
        shift = self.param("shift", nn.initializers.zeros, (features,))
        lift = lambda a: a.reshape(1, 1, 1, 1, -1).astype(self.dtype)
        y = nn.relu(x * lift(scale) + lift(shift))
        y = nn.relu(Conv3d(features, dtype=self.dtype, name="conv1")(y))
        return x + Conv3d(features, dtype=self.dtype, name="conv2")(y)


class AppearanceExtractor(nn.Module):
    """A picture, RGB in 0 to 1, to a feature volume a quarter as high and wide."""

    architecture: Architecture = PUBLISHED
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, image: Float[jax.Array, "b s s 3"]
    ) -> Float[jax.Array, "b d h w c"]:
        net, dtype = self.architecture, self.dtype
        x = nn.relu(conv(net.width, 3, dtype, "first")(image))
        for i in range(2):
            x = conv(net.width * 2 ** (i + 1), 3, dtype, f"down{i}")(x)
            x = halve(nn.relu(x))
        x = conv(net.channels, 1, dtype, "second")(x)
        x = to_volume(x, net.depth)
        for i in range(net.resblocks):
            x = ResBlock3d(dtype, name=f"block{i}")(x)
        return x.astype(jnp.float32)
