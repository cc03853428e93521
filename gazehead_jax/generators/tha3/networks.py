"""THA3's five networks, as far as the picture needs them.

Pictures are linear RGB and alpha in [-1, 1], channels last. The three networks of the
face see the pose only in their middle: what comes before is there as `encode`, to be
computed once for a picture. What the original puts out but does not show is left out.
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Float

from gazehead_jax.generators.tha3.blocks import Residual, Separable, double, warp

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class Body:
    """Sizes of what all five have: halvings, residual blocks, doublings.

    Attributes:
      start: channels at full size; every halving doubles them.
      blocks: residual blocks at the smallest size.
      slope: of the leaky ReLU.
      halvings: how many.
    """

    start: int
    blocks: int
    slope: float
    halvings: int = 3

    def channels(self, level: int) -> int:
        """After so many halvings."""
        return self.start * 2**level


# As in the original's poser/modes/separable_float.py.
FACE = Body(start=64, blocks=5, slope=0.0)
ROTATOR = Body(start=64, blocks=6, slope=0.1)
EDITOR = Body(start=32, blocks=6, slope=0.1)
EYEBROW_POSE, FACE_POSE, ROTATION_POSE = 12, 27, 6


class Encoder(nn.Module):
    """Features at every size, the largest first."""

    body: Body
    first_size: int = 3

    @nn.compact
    def __call__(self, *parts):
        body = self.body
        first = Separable(
            body.start,
            body.slope,
            ("same",) * len(parts),
            self.first_size,
            name="first",
        )
        features = [first(*parts)]
        for level in range(1, body.halvings + 1):
            block = Separable(
                body.channels(level),
                body.slope,
                ("halving",),
                4,
                name=f"halving_{level}",
            )
            features.append(block(features[-1]))
        return features


class Blocks(nn.Module):
    """The residual blocks at the smallest size."""

    body: Body

    @nn.compact
    def __call__(self, x):
        for i in range(self.body.blocks):
            x = Residual(self.body.slope, name=f"block_{i}")(x)
        return x


class Doublings(nn.Module):
    """Back to the full size.

    Attributes:
      kind, size: of the depthwise convolution.
    """

    body: Body
    kind: str
    size: int

    @nn.compact
    def __call__(self, x, skipped=()):
        """`skipped`: features that join, one for each doubling, the smallest first."""
        skipped = skipped or [()] * self.body.halvings
        levels = reversed(range(self.body.halvings))
        for level, joining in zip(levels, skipped, strict=True):
            parts = [x, *joining]
            x = Separable(
                self.body.channels(level),
                self.body.slope,
                (self.kind, "same")[: len(parts)],
                self.size,
                name=f"doubling_{level}",
            )(*parts)
        return x


class Heads(nn.Module):
    """3 × 3 convolutions of the same features, computed as one.

    Attributes:
      sizes: (name, channels) of each.
    """

    sizes: tuple[tuple[str, int], ...]

    @nn.compact
    def __call__(self, x):
        x = nn.Conv(sum(size for _, size in self.sizes), (3, 3), padding=1, name="all")(
            x
        )
        parts, start = {}, 0
        for name, size in self.sizes:
            parts[name] = x[..., start : start + size]
            start += size
        return parts


class _FaceNetwork(nn.Module):
    """What the three networks of the face share."""

    body: Body = FACE
    # Set by each: outputs, and whether a pose joins.
    sizes = ()
    posed = True

    def setup(self):
        self.encoder = Encoder(self.body)
        self.join = Separable(
            self.body.channels(self.body.halvings),
            self.body.slope,
            ("same", "same") if self.posed else ("same",),
        )
        self.blocks = Blocks(self.body)
        self.doublings = Doublings(self.body, "doubling", 4)
        self.heads = Heads(self.sizes)

    def encode(self, picture: Float[Array, "b h w c"]) -> Float[Array, "b s s m"]:
        """All that does not depend on the pose."""
        return self.encoder(picture)[-1]

    def _outputs(self, features, *pose):
        return self.heads(self.doublings(self.blocks(self.join(features, *pose))))


class EyebrowDecomposer(_FaceNetwork):
    """Takes the eyebrows off a face, 128²."""

    sizes = (
        ("background_alpha", 1),
        ("background_colour", 4),
        ("eyebrow_alpha", 1),
        ("eyebrow_colour", 4),
    )
    posed = False

    def __call__(
        self, face: Float[Array, "b h w 4"]
    ) -> tuple[Float[Array, "b h w 4"], Float[Array, "b h w 4"]]:
        """(face without eyebrows, eyebrows)."""
        out = self._outputs(self.encode(face))
        background = _mixed(
            nn.sigmoid(out["background_alpha"]),
            face,
            jnp.tanh(out["background_colour"]),
        )
        eyebrows = _mixed(
            nn.sigmoid(out["eyebrow_alpha"]), jnp.tanh(out["eyebrow_colour"]), face
        )
        return background, eyebrows


class EyebrowCombiner(_FaceNetwork):
    """Moves the eyebrows and puts them back on, 128²."""

    sizes = (("shift", 2), ("alpha", 1), ("colour", 4))

    def __call__(
        self,
        features: Float[Array, "b s s m"],
        background: Float[Array, "b h w 4"],
        eyebrows: Float[Array, "b h w 4"],
        pose: Float[Array, "b p"],
    ) -> Float[Array, "b h w 4"]:
        """A face; `features` are those of background and eyebrows joined."""
        out = self._outputs(features, pose)
        moved = warp(eyebrows, out["shift"])
        moved = _mixed(nn.sigmoid(out["alpha"]), moved, jnp.tanh(out["colour"]))
        rgb = _mixed((moved[..., 3:] + 1) / 2, background[..., :3], moved[..., :3])
        return jnp.concatenate([rgb, background[..., 3:]], -1)


class FaceMorpher(_FaceNetwork):
    """Moves irises and mouth, then draws the lids, 192²."""

    sizes = (
        ("shift", 2),
        ("iris_mouth_colour", 4),
        ("iris_mouth_alpha", 1),
        ("eye_colour", 4),
        ("eye_alpha", 1),
    )

    def __call__(
        self,
        features: Float[Array, "b s s m"],
        face: Float[Array, "b h w 4"],
        pose: Float[Array, "b p"],
    ) -> Float[Array, "b h w 4"]:
        """A face; `features` are its own."""
        out = self._outputs(features, pose)
        moved = warp(face, out["shift"])
        for part in ("iris_mouth", "eye"):
            alpha = nn.sigmoid(out[f"{part}_alpha"])
            moved = _mixed(alpha, moved, jnp.tanh(out[f"{part}_colour"]))
        return moved

    def shift(
        self, features: Float[Array, "b s s m"], pose: Float[Array, "b p"]
    ) -> Float[Array, "b h w 2"]:
        """By what irises and mouth are moved, as `warp` takes it."""
        return self._outputs(features, pose)["shift"]


class Rotator(nn.Module):
    """How each pixel of the half-size picture, 256², moves with head and body."""

    body: Body = ROTATOR

    @nn.compact
    def __call__(
        self, picture: Float[Array, "b h w 4"], pose: Float[Array, "b p"]
    ) -> Float[Array, "b h w 2"]:
        x = Encoder(self.body, 7, name="encoder")(picture, pose)[-1]
        x = Blocks(self.body, name="blocks")(x)
        x = Doublings(self.body, "doubled", 3, name="doublings")(x)
        return Heads((("shift", 2),), name="heads")(x)["shift"]


class Editor(nn.Module):
    """Makes the picture of full size, 512², out of what the rotator found."""

    body: Body = EDITOR

    @nn.compact
    def __call__(
        self,
        picture: Float[Array, "b h w 4"],
        half: Float[Array, "b half_h half_w 4"],
        half_shift: Float[Array, "b half_h half_w 2"],
        pose: Float[Array, "b p"],
    ) -> Float[Array, "b h w 4"]:
        """
        Args:
          picture: to be moved.
          half: the same at half the size.
          half_shift: from the rotator.
        """
        warped = double(jnp.concatenate([warp(half, half_shift), half_shift], -1))
        features = Encoder(self.body, name="encoder")(
            jnp.concatenate([picture, warped], -1), pose
        )
        x = Blocks(self.body, name="blocks")(features[-1])
        x = Doublings(self.body, "doubled", 3, name="doublings")(
            x, [[feature] for feature in features[-2::-1]]
        )
        sizes = (("colour", 4), ("alpha", 4), ("shift", 2))
        out = Heads(sizes, name="heads")(x)
        moved = warp(picture, warped[..., 4:] + out["shift"])
        return _mixed(nn.sigmoid(out["alpha"]), moved, jnp.tanh(out["colour"]))


def _mixed(alpha, below, above):
    return above * alpha + below * (1 - alpha)
