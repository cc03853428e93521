"""S and R: small networks that nudge the keypoints.

Stitching keeps shoulders and outline where they were, so that the picture can be put back
whence it was cut. The two retargeting networks open and close lids and lips.
"""

import flax.linen as nn
import jax
from jaxtyping import Float


class Mlp(nn.Module):
    """Linear layers with ReLU between them.

    Attributes:
      widths: of all layers, the outputs' last.
    """

    widths: tuple[int, ...]

    @nn.compact
    def __call__(self, x: Float[jax.Array, "b i"]) -> Float[jax.Array, "b o"]:
        for i, width in enumerate(self.widths):
            x = nn.Dense(width, name=f"layer{i}")(nn.relu(x) if i else x)
        return x
