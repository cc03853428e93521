"""W: the feature volume pulled to where the keypoints went, and folded flat.

A hourglass sees the features once for each keypoint, moved as that one moved, and decides
for each cell whom to follow. Only the driving keypoints' distance from the source's
enters: there is no rotation of the features.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Float

from gazehead_jax.generators.liveportrait.architecture import PUBLISHED, Architecture
from gazehead_jax.generators.liveportrait.layers import (
    Conv3d,
    conv,
    halve,
    to_channels,
    upsample,
)
from gazehead_jax.generators.liveportrait.sampling import axis, sample, shifted

VARIANCE = 0.01  # of the heatmaps' Gaussians


class DenseMotion(nn.Module):
    """Keypoints and features to a flow for each cell and what is occluded.

    Returns:
      The grid to sample, `[b, d, h, w, 3]` (x, y, z), and the occlusion map
      `[b, h, w, 1]`, 0 where nothing is to be seen.
    """

    architecture: Architecture = PUBLISHED
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, volume, driving, source):
        net, dtype = self.architecture, self.dtype
        features = nn.relu(Conv3d(net.compress, 1, dtype, name="compress")(volume))
        # One that stays, then one for each keypoint.
        shift = jnp.pad(source - driving, ((0, 0), (1, 0), (0, 0)))
        moved = shifted(features.astype(jnp.float32), shift)
        heat = heatmap(driving, volume.shape[1:4]) - heatmap(source, volume.shape[1:4])
        heat = jnp.pad(heat, (*[(0, 0)] * 4, (1, 0)))
        x = jnp.concatenate([heat[..., None], moved], -1)
        x = x.reshape(*x.shape[:4], net.flow_inputs).astype(dtype)
        x = Hourglass(net, dtype, name="hourglass")(x)
        mask = Conv3d(net.keypoints + 1, 7, dtype, name="mask")(x)
        mask = nn.softmax(mask.astype(jnp.float32))
        flow = jnp.einsum("bdhwk,bkc->bdhwc", mask, shift)
        occlusion = conv(1, 7, dtype, "occlusion")(to_channels(x))
        occlusion = nn.sigmoid(occlusion.astype(jnp.float32))
        return flow + grid(volume.shape[1:4])[None], occlusion


class Hourglass(nn.Module):
    """Halves height and width again and again and back, keeping what it saw on the way.

    The depth stays.
    """

    architecture: Architecture
    dtype: Any

    @nn.compact
    def __call__(self, x):
        net = self.architecture
        seen = [x]
        for i in range(net.flow_levels):
            x = Conv3d(net.flow_channels(i + 1), dtype=self.dtype, name=f"down{i}")(x)
            x = halve(nn.relu(x))
            seen.append(x)
        seen.pop()
        for i in range(net.flow_levels):
            features = net.flow_channels(net.flow_levels - 1 - i)
            x = Conv3d(features, dtype=self.dtype, name=f"up{i}")(upsample(x))
            x = jnp.concatenate([nn.relu(x), seen.pop()], -1)
        return nn.relu(Conv3d(net.flow_outputs, dtype=self.dtype, name="last")(x))


class Warping(nn.Module):
    """The warped features for the generator.

    Returns:
      The features `[b, h, w, n]`; the sampled grid and the occlusion map of
      `DenseMotion`.
    """

    architecture: Architecture = PUBLISHED
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        volume: Float[jax.Array, "b d h w c"],
        driving: Float[jax.Array, "b k 3"],
        source: Float[jax.Array, "b k 3"],
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        net, dtype = self.architecture, self.dtype
        where, occlusion = DenseMotion(net, dtype, name="flow")(volume, driving, source)
        x = to_channels(sample(volume, where)).astype(dtype)
        x = nn.leaky_relu(conv(net.warped, 3, dtype, "third")(x), 0.01)
        x = conv(net.warped, 1, dtype, "fourth")(x)
        return x.astype(jnp.float32) * occlusion, where, occlusion


def grid(cells: tuple[int, int, int]) -> Float[jax.Array, "d h w 3"]:
    """Coordinates (x, y, z) of the cells of a volume `cells` = (d, h, w)."""
    z, y, x = jnp.meshgrid(*map(axis, cells), indexing="ij")
    return jnp.stack([x, y, z], -1)


def heatmap(
    points: Float[jax.Array, "b k 3"], cells: tuple[int, int, int]
) -> Float[jax.Array, "b d h w k"]:
    """A Gaussian about each keypoint: a product, as all axes have one variance."""
    z, y, x = (
        jnp.exp(
            -0.5 * jnp.square(axis(n)[None, :, None] - points[:, None, :, i]) / VARIANCE
        )
        for n, i in zip(cells, (2, 1, 0), strict=True)
    )
    return z[:, :, None, None] * y[:, None, :, None] * x[:, None, None]
