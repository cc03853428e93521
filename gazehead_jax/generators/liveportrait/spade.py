"""G: warped features to the picture.

Park et al. 2019 (SPADE): what the features say scales and shifts every pixel of every
channel after it has been normalised.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Float

from gazehead_jax.generators.liveportrait.architecture import PUBLISHED, Architecture
from gazehead_jax.generators.liveportrait.layers import (
    UpsampledConv,
    conv,
    instance_norm,
    upsample,
)


class Spade(nn.Module):
    """Normalises channels, then scales and shifts them by the features."""

    hidden: int
    dtype: Any

    @nn.compact
    def __call__(self, x, features):
        factor = x.shape[1] // features.shape[1]
        shared = UpsampledConv(self.hidden, factor, self.dtype, name="shared")
        inner = nn.relu(shared(features))
        # Scale and shift see the same, so they are one convolution.
        both = conv(2 * x.shape[-1], 3, self.dtype, "modulation")(inner)
        gamma, beta = jnp.split(both, 2, -1)
        return instance_norm(x).astype(self.dtype) * (1 + gamma) + beta


class SpadeBlock(nn.Module):
    """Two convolutions, each after a SPADE, beside a shortcut."""

    outputs: int
    hidden: int
    dtype: Any

    @nn.compact
    def __call__(self, x, features):
        inputs, dtype = x.shape[-1], self.dtype
        norm = lambda name: Spade(self.hidden, dtype, name=name)
        y = nn.leaky_relu(norm("norm0")(x, features), 0.2)
        y = conv(min(inputs, self.outputs), 3, dtype, "conv0")(y)
        y = nn.leaky_relu(norm("norm1")(y, features), 0.2)
        y = conv(self.outputs, 3, dtype, "conv1")(y)
        if inputs != self.outputs:
            x = norm("norm_shortcut")(x, features)
            x = conv(self.outputs, 1, dtype, "shortcut", bias=False)(x)
        return x + y


class SpadeGenerator(nn.Module):
    """Warped features to RGB in 0 to 1, eight times as high and wide."""

    architecture: Architecture = PUBLISHED
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, features: Float[jax.Array, "b h w n"]
    ) -> Float[jax.Array, "b s s 3"]:
        net, dtype = self.architecture, self.dtype
        features = features.astype(dtype)
        block = lambda outputs, name: SpadeBlock(outputs, net.hidden, dtype, name=name)
        x = conv(2 * net.warped, 3, dtype, "first")(features)
        for i in range(6):
            x = block(2 * net.warped, f"middle{i}")(x, features)
        x = block(net.warped, "up0")(upsample(x), features)
        x = block(net.width, "up1")(upsample(x), features)
        x = conv(12, 3, dtype, "image")(nn.leaky_relu(x, 0.2))
        return nn.sigmoid(_unfold(x).astype(jnp.float32))


def _unfold(x: Float[jax.Array, "b h w 12"]) -> jax.Array:
    """torch's PixelShuffle(2): channel 4c + 2i + j to row i, column j of channel c."""
    b, h, w, n = x.shape
    x = x.reshape(b, h, w, n // 4, 2, 2).transpose(0, 1, 4, 2, 5, 3)
    return x.reshape(b, 2 * h, 2 * w, n // 4)
