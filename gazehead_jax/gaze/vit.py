"""Vision transformers for gaze in Flax, and UniGaze's published checkpoints.

UniGaze (Qin, Zhang, Sugano, WACV 2026, github.com/ut-vision/UniGaze) is the encoder of
a masked autoencoder (ViT-B/16, L/16, H/14 in timm's layout: `vit.*`), normalised; its
class token goes through `gaze_fc` to (pitch, yaw). `vit.head` is ImageNet's classifier
of timm's class, which the forward pass leaves out. The published configurations all
take the class token; the variant with a pooled `fc_norm` is not one of them.

The names and shapes are those that the published source code creates (`unigaze` 0.1.3
loads them strictly); the published checkpoints themselves were not at hand.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from gazehead_jax.torch_file import check_layout

SIZE = 224  # of the pictures
_EPSILON = 1e-6  # of its layer norms


@dataclasses.dataclass(frozen=True)
class Architecture:
    """Sizes of a vision transformer for square pictures of `size` pixels."""

    patch: int
    features: int
    depth: int
    heads: int
    size: int = SIZE

    @property
    def tokens(self) -> int:
        """Patches and the class token."""
        return (self.size // self.patch) ** 2 + 1


UNIGAZE = {
    "b": Architecture(16, 768, 12, 12),
    "l": Architecture(16, 1024, 24, 16),
    "h": Architecture(14, 1280, 32, 16),
}


class Block(nn.Module):
    """Attention and a perceptron, each behind a layer norm and about a shortcut."""

    heads: int
    dtype: Any

    @nn.compact
    def __call__(self, x):
        b, t, f = x.shape
        y = _norm("norm1")(x).astype(self.dtype)
        qkv = nn.Dense(3 * f, dtype=self.dtype, name="qkv")(y)
        q, k, v = jnp.moveaxis(qkv.reshape(b, t, 3, self.heads, f // self.heads), 2, 0)
        y = jax.nn.dot_product_attention(q, k, v).reshape(b, t, f)
        x = x + nn.Dense(f, dtype=self.dtype, name="proj")(y)
        y = _norm("norm2")(x).astype(self.dtype)
        y = nn.Dense(4 * f, dtype=self.dtype, name="fc1")(y)
        y = nn.gelu(y, approximate=False)
        return x + nn.Dense(f, dtype=self.dtype, name="fc2")(y)


class ViTGaze(nn.Module):
    """A vision transformer whose class token tells (pitch, yaw).

    Attributes:
      architecture: its sizes.
      dtype: of the matrix products; norms, shortcuts and the head are float32.
    """

    architecture: Architecture
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: Float[jax.Array, "b h w 3"]) -> Float[jax.Array, "b 2"]:
        sizes = self.architecture
        x = nn.Conv(
            sizes.features,
            (sizes.patch, sizes.patch),
            sizes.patch,
            padding="VALID",
            dtype=self.dtype,
            name="patches",
        )(images)
        x = x.reshape(len(x), -1, sizes.features).astype(jnp.float32)
        zeros = nn.initializers.zeros
        token = self.param("class", zeros, (1, 1, sizes.features))
        token = jnp.broadcast_to(token, (len(x), 1, sizes.features))
        places = self.param("places", zeros, (1, sizes.tokens, sizes.features))
        x = jnp.concatenate([token, x], 1) + places
        for i in range(sizes.depth):
            x = Block(sizes.heads, self.dtype, name=f"block{i}")(x)
        return nn.Dense(2, name="head")(_norm("norm")(x[:, 0]))


def _norm(name: str) -> nn.LayerNorm:
    return nn.LayerNorm(epsilon=_EPSILON, name=name)


def unigaze_from_torch(
    state: Mapping[str, np.ndarray], sizes: Architecture
) -> dict[str, Any]:
    """Parameters of `ViTGaze(sizes)` from UniGaze's `model_state` or safetensors.

    Raises:
      GazeheadError: these are not the tensors of that network.
    """
    n = sizes.features
    # torch's name, path of parameters, torch's shape of the weight or of the tensor
    layers = [
        ("vit.patch_embed.proj", ("patches",), (n, 3, sizes.patch, sizes.patch)),
        ("vit.norm", ("norm",), (n,)),
        ("gaze_fc", ("head",), (2, n)),
    ]
    for i in range(sizes.depth):
        layers += [
            (f"vit.blocks.{i}.{name}", (f"block{i}", name.split(".")[-1]), shape)
            for name, shape in (
                ("norm1", (n,)),
                ("attn.qkv", (3 * n, n)),
                ("attn.proj", (n, n)),
                ("norm2", (n,)),
                ("mlp.fc1", (4 * n, n)),
                ("mlp.fc2", (n, 4 * n)),
            )
        ]
    shapes = {"vit.cls_token": (1, 1, n), "vit.pos_embed": (1, sizes.tokens, n)}
    for name, _, shape in layers:
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    unused = {"vit.head.weight": (1000, n), "vit.head.bias": (1000,)}
    model = f"UniGaze ViT with {n} features and patches of {sizes.patch}"
    check_layout(state, shapes, unused, model)

    params = {
        "class": np.asarray(state["vit.cls_token"], np.float32),
        "places": np.asarray(state["vit.pos_embed"], np.float32),
    }
    for name, path, shape in layers:
        weight = np.asarray(state[f"{name}.weight"], np.float32)
        kind = "scale" if len(shape) == 1 else "kernel"
        # A norm's scale, a Dense's [out, in], a Conv's [out, in, y, x].
        weight = weight.transpose({1: (0,), 2: (1, 0), 4: (2, 3, 1, 0)}[len(shape)])
        within = params
        for part in path[:-1]:
            within = within.setdefault(part, {})
        bias = np.asarray(state[f"{name}.bias"], np.float32)
        within[path[-1]] = {kind: weight, "bias": bias}
    return params
