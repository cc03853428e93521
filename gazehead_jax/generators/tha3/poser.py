"""The five networks one after another, and what of their work can be kept."""

from collections.abc import Callable, Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from gazehead_jax.generators.tha3 import networks
from gazehead_jax.generators.tha3.blocks import halve
from gazehead_jax.generators.tha3.networks import EYEBROW_POSE, FACE_POSE

# Where the networks of the face look, in a picture of 512²: (row, column, size).
_EYEBROWS, _FACE = (64, 192, 128), (32, 160, 192)
_EYEBROWS_IN_FACE = (32, 32, 128)

Array = jax.Array


class Poser:
    """A picture in poses.

    The eyebrows are separated once. Eyebrows are drawn anew only when their parameters
    change, and the face only when those of eyes, irises and mouth do.

    Args:
      params: from `conversion.read_params`.
      picture: linear RGB and alpha in [-1, 1].
    """

    def __init__(self, params: Mapping, picture: Float[np.ndarray, "512 512 4"]):
        self._params = jax.device_put(dict(params))
        self._picture = jnp.asarray(picture, jnp.float32)[None]
        self._layers = _separate(self._params, self._picture)
        self._eyebrows = _Last(partial(_draw_eyebrows, self._params, self._layers))
        self._face = _Last(self._draw_face)

    def __call__(self, poses: Float[np.ndarray, "b 45"]) -> Float[Array, "b 512 512 4"]:
        """Linear RGB and alpha in about [-1, 1]; `poses` as in `pose.NAMES`."""
        poses = np.asarray(poses, np.float32)
        return _draw(
            self._params,
            self._picture,
            self._face(poses[:, : EYEBROW_POSE + FACE_POSE]),
            poses[:, EYEBROW_POSE + FACE_POSE :],
        )

    def face_shift(
        self, poses: Float[np.ndarray, "b 45"]
    ) -> Float[np.ndarray, "b 512 512 2"]:
        """(x, y) in pixels by which irises and mouth are moved before all else."""
        poses = np.asarray(poses, np.float32)
        _, features = self._eyebrows(poses[:, :EYEBROW_POSE])
        pose = poses[:, EYEBROW_POSE : EYEBROW_POSE + FACE_POSE]
        row, column, size = _FACE
        shift = np.zeros((len(poses), *self._picture.shape[1:3], 2), np.float32)
        # The network says whence a pixel comes, in halves of the face's size.
        found = -size / 2 * np.asarray(_shift_face(self._params, features, pose))
        shift[:, row : row + size, column : column + size] = found
        return shift

    def _draw_face(self, poses):
        face, features = self._eyebrows(poses[:, :EYEBROW_POSE])
        return _draw_face(self._params, face, features, poses[:, EYEBROW_POSE:])


class _Last:
    """A function of poses that keeps its last result, and draws equal poses once."""

    def __init__(self, draw: Callable):
        self._draw = draw
        self._kept = None

    def __call__(self, poses: np.ndarray):
        if (poses == poses[:1]).all():
            poses = poses[:1]
        # Read and set as a whole: batches are drawn in several threads.
        kept = self._kept
        if kept is None or not np.array_equal(poses, kept[0]):
            kept = self._kept = poses, self._draw(poses)
        return kept[1]


@jax.jit
def _separate(params, picture):
    """(face without eyebrows, eyebrows, what the combiner sees in them)."""
    decomposer, combiner = networks.EyebrowDecomposer(), networks.EyebrowCombiner()
    layers = decomposer.apply(
        {"params": params["eyebrow_decomposer"]}, _cut(picture, _EYEBROWS)
    )
    features = combiner.apply(
        {"params": params["eyebrow_morphing_combiner"]},
        jnp.concatenate(layers, -1),
        method="encode",
    )
    return picture, *layers, features


@jax.jit
def _draw_eyebrows(params, layers, poses):
    """(face, what the morpher sees in it)."""
    picture, background, eyebrows, features = layers
    combiner, morpher = networks.EyebrowCombiner(), networks.FaceMorpher()
    drawn = combiner.apply(
        {"params": params["eyebrow_morphing_combiner"]},
        *_alike(len(poses), features, background, eyebrows),
        poses,
    )
    (face,) = _alike(len(poses), _cut(picture, _FACE))
    face = _pasted(face, drawn, _EYEBROWS_IN_FACE)
    features = morpher.apply({"params": params["face_morpher"]}, face, method="encode")
    return face, features


@jax.jit
def _draw_face(params, face, features, poses):
    face, features = _alike(len(poses), face, features)
    return networks.FaceMorpher().apply(
        {"params": params["face_morpher"]}, features, face, poses
    )


@jax.jit
def _shift_face(params, features, poses):
    (features,) = _alike(len(poses), features)
    return networks.FaceMorpher().apply(
        {"params": params["face_morpher"]}, features, poses, method="shift"
    )


@jax.jit
def _draw(params, picture, face, poses):
    face, picture = _alike(len(poses), face, picture)
    picture = _pasted(picture, face, _FACE)
    half = halve(picture)
    shift = networks.Rotator().apply(
        {"params": params["two_algo_face_body_rotator"]}, half, poses
    )
    return networks.Editor().apply(
        {"params": params["editor"]}, picture, half, shift, poses
    )


def _alike(batch: int, *arrays):
    return [jnp.broadcast_to(a, (batch, *a.shape[1:])) for a in arrays]


def _cut(picture, where):
    row, column, size = where
    return picture[:, row : row + size, column : column + size]


def _pasted(picture, part, where):
    row, column, size = where
    return picture.at[:, row : row + size, column : column + size].set(part)
