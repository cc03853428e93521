"""A portrait and angles to pictures: all networks together, jitted.

What depends on the portrait alone is computed once (`Animation.source`).
"""

from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from gazehead_jax.generators.liveportrait.appearance import AppearanceExtractor
from gazehead_jax.generators.liveportrait.architecture import PUBLISHED, Architecture
from gazehead_jax.generators.liveportrait.crop import Face
from gazehead_jax.generators.liveportrait.keypoints import (
    UNITS_PER_DEGREE,
    expected_degrees,
    eyes_moved,
    place,
    rotation_from_degrees,
)
from gazehead_jax.generators.liveportrait.layout import mlp_widths
from gazehead_jax.generators.liveportrait.motion_extractor import MotionExtractor
from gazehead_jax.generators.liveportrait.spade import SpadeGenerator
from gazehead_jax.generators.liveportrait.stitching import Mlp
from gazehead_jax.generators.liveportrait.warping import Warping
from gazehead_jax.motion import gaze_in_head, head_to_matrix, matrix_to_head

# A mouth that is open wider is shut first, as the authors do.
OPEN_MOUTH = 0.03


class Source(NamedTuple):
    """What the networks know of a portrait; the first axis of all is 1.

    Attributes:
      volume: `[1, d, h, w, c]` what it looks like.
      canonical, expression: `[1, k, 3]`, scale `[1, 1]`, translation `[1, 3]`: see
        `keypoints.place`.
      rotation: `[1, 3, 3]` head → camera.
      keypoints: `[1, k, 3]` where they are in the portrait.
      eyes: `[1, 2]` how open the eyes are.
      mouth: `[1, k, 3]` what shuts the mouth.
    """

    volume: jax.Array
    canonical: jax.Array
    expression: jax.Array
    scale: jax.Array
    translation: jax.Array
    rotation: jax.Array
    keypoints: jax.Array
    eyes: jax.Array
    mouth: jax.Array


class Animation:
    """LivePortrait's networks with their parameters.

    Args:
      params: of `conversion.read_networks`.
      net: their sizes.
      units_per_degree: of `keypoints.eyes_moved` for a degree of (pitch, yaw).
      dtype: of the convolutions that are run for each frame.
    """

    def __init__(
        self,
        params: dict[str, Any],
        net: Architecture = PUBLISHED,
        *,
        units_per_degree: tuple[float, float] = UNITS_PER_DEGREE,
        dtype: Any = jnp.float32,
    ):
        self._params = jax.device_put(params)
        self._net, self._units, self._dtype = net, units_per_degree, dtype
        self._source = jax.jit(self._see)
        self._points = jax.jit(self._move)
        self._pictures = jax.jit(self._draw)

    def source(self, face: Face) -> Source:
        """Everything that depends on the portrait alone."""
        return self._source(
            self._params,
            jnp.asarray(face.picture)[None],
            jnp.asarray(face.eyes)[None],
            jnp.full((1, 1), face.mouth, jnp.float32),
        )

    def pictures(
        self,
        source: Source,
        gaze: Float[np.ndarray, "b 2"],
        head: Float[np.ndarray, "b 3"],
        shut: Float[np.ndarray, " b"],
        looking: Float[np.ndarray, "2"],
    ) -> Float[jax.Array, "b s s 3"]:
        """RGB in 0 to 1.

        Args:
          gaze, head: in the camera frame, radians.
          shut: how far the lids are shut: 0 as in the portrait, 1 wholly.
          looking: gaze (pitch, yaw) of the portrait in the camera frame, radians.
        """
        points = self.points(source, gaze, head, shut, looking)
        return self._pictures(self._params, source, points)

    def points(
        self,
        source: Source,
        gaze: Float[np.ndarray, "b 2"],
        head: Float[np.ndarray, "b 3"],
        shut: Float[np.ndarray, " b"],
        looking: Float[np.ndarray, "2"],
    ) -> Float[jax.Array, "b k 3"]:
        """Where the keypoints go, stitched; the arguments are those of `pictures`."""
        f32 = partial(jnp.asarray, dtype=jnp.float32)
        return self._points(
            self._params, source, f32(gaze), f32(head), f32(shut), f32(looking)
        )

    def _see(self, params, picture, eyes, mouth) -> Source:
        net = self._net
        volume = _run(AppearanceExtractor(net), params["appearance"], picture)
        seen = _run(MotionExtractor(net), params["motion"], picture)
        canonical, expression = (
            seen[name].reshape(-1, net.keypoints, 3) for name in ("kp", "exp")
        )
        degrees = [expected_degrees(seen[name]) for name in ("pitch", "yaw", "roll")]
        rotation = rotation_from_degrees(jnp.stack(degrees, -1))
        keypoints = place(canonical, rotation, expression, seen["scale"], seen["t"])
        shutting = self._nudge(
            params,
            "lip",
            keypoints,
            jnp.concatenate([mouth, jnp.zeros_like(mouth)], -1),
        )
        shutting = jnp.where(mouth[..., None] >= OPEN_MOUTH, shutting, 0)
        return Source(
            volume,
            canonical,
            expression,
            seen["scale"],
            seen["t"],
            rotation,
            keypoints,
            eyes,
            shutting,
        )

    def _move(self, params, source: Source, gaze, head, shut, looking):
        b = len(head)
        source = jax.tree.map(lambda a: jnp.repeat(a, b, axis=0), source)
        looked = gaze_in_head(
            jnp.repeat(looking[None], b, axis=0), matrix_to_head(source.rotation)
        )
        turned = jnp.rad2deg(gaze_in_head(gaze, head) - looked)
        up, left = turned[:, 0] * self._units[0], turned[:, 1] * self._units[1]
        points = place(
            source.canonical,
            head_to_matrix(head),
            source.expression + eyes_moved(-left, up, self._net.keypoints),
            source.scale,
            source.translation,
        )
        points = points + self._lids(params, source, shut)
        return self._stitched(params, source.keypoints, points) + source.mouth

    def _draw(self, params, source: Source, points):
        repeat = lambda a: jnp.repeat(a, len(points), axis=0)
        warped, _, _ = _run(
            Warping(self._net, self._dtype),
            params["warping"],
            repeat(source.volume),
            points,
            repeat(source.keypoints),
        )
        return _run(SpadeGenerator(self._net, self._dtype), params["generator"], warped)

    def _lids(self, params, source: Source, shut):
        """What shuts the lids; nothing at all where `shut` is 0.

        The network is told how open the eyes are and how open they shall be.
        """
        now = source.eyes.mean(-1, keepdims=True)
        wanted = now * (1 - shut[:, None])
        told = lambda aim: jnp.concatenate([source.eyes, aim], -1)
        nudge = partial(self._nudge, params, "eye", source.keypoints)
        return nudge(told(wanted)) - nudge(told(now))

    def _stitched(self, params, before, after):
        b, k, _ = after.shape
        seen = jnp.concatenate([before.reshape(b, -1), after.reshape(b, -1)], -1)
        out = self._small(params, "stitching", seen)
        moved = jnp.pad(out[:, None, 3 * k :], ((0, 0), (0, 0), (0, 1)))
        return after + out[:, : 3 * k].reshape(b, k, 3) + moved

    def _nudge(self, params, name: str, keypoints, told):
        b, k, _ = keypoints.shape
        seen = jnp.concatenate([keypoints.reshape(b, -1), told], -1)
        return self._small(params, name, seen).reshape(b, k, 3)

    def _small(self, params, name: str, seen):
        return _run(Mlp(mlp_widths(self._net, name)), params["retargeting"][name], seen)


def _run(network: nn.Module, params, *inputs):
    return network.apply({"params": params}, *inputs)
