"""M: head pose, expression and canonical keypoints of a face: ConvNeXt V2 tiny.

Woo et al. 2023 (ConvNeXt V2) with one linear head for each quantity.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Float

from gazehead_jax.generators.liveportrait.architecture import PUBLISHED, Architecture

_EPSILON = 1e-6


class GlobalResponseNorm(nn.Module):
    """Channels weighed by their share of the energy in the picture."""

    @nn.compact
    def __call__(self, x):
        gamma = self.param("gamma", nn.initializers.zeros, (x.shape[-1],))
        beta = self.param("beta", nn.initializers.zeros, (x.shape[-1],))
        energy = jnp.sqrt(jnp.square(x).sum((1, 2), keepdims=True))
        share = energy / (energy.mean(-1, keepdims=True) + _EPSILON)
        lift = lambda a: a.reshape(1, 1, 1, -1)
        return lift(gamma) * x * share + lift(beta) + x


class Block(nn.Module):
    """A depthwise 7×7 convolution and two linear layers beside a shortcut."""

    @nn.compact
    def __call__(self, x):
        n = x.shape[-1]
        y = nn.Conv(n, (7, 7), padding=3, feature_group_count=n, name="depthwise")(x)
        y = _layer_norm("norm")(y)
        y = nn.gelu(nn.Dense(4 * n, name="expand")(y), approximate=False)
        y = GlobalResponseNorm(name="response")(y)
        return x + nn.Dense(n, name="project")(y)


class MotionExtractor(nn.Module):
    """A picture, RGB in 0 to 1, to what moves in it.

    Returns:
      `pitch`, `yaw`, `roll` `[b, bins]` logits; `t` `[b, 3]`; `scale` `[b, 1]`; `exp`
      and `kp` `[b, 3 × keypoints]`.
    """

    architecture: Architecture = PUBLISHED

    @nn.compact
    def __call__(self, image: Float[jax.Array, "b s s 3"]) -> dict[str, jax.Array]:
        net, x = self.architecture, image
        for stage, (width, blocks) in enumerate(
            zip(net.stages, net.blocks, strict=True)
        ):
            step = 2 if stage else 4
            down = nn.Conv(width, (step, step), (step, step), name=f"down{stage}")
            norm = _layer_norm(f"down_norm{stage}")
            x = down(norm(x)) if stage else norm(down(x))
            for block in range(blocks):
                x = Block(name=f"stage{stage}_{block}")(x)
        x = _layer_norm("norm")(x.mean((1, 2)))
        return {
            name: nn.Dense(outputs, name=name)(x)
            for name, outputs in head_sizes(net).items()
        }


def head_sizes(net: Architecture) -> dict[str, int]:
    """Outputs of each linear head."""
    points = 3 * net.keypoints
    angles = dict.fromkeys(("pitch", "yaw", "roll"), net.bins)
    return {"kp": points, "scale": 1, **angles, "t": 3, "exp": points}


def _layer_norm(name: str) -> nn.LayerNorm:
    return nn.LayerNorm(_EPSILON, use_fast_variance=False, name=name)
