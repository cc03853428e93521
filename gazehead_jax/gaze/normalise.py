"""Pictures of faces as gaze networks were trained on them, and the way back.

Two spaces. `NormalisedSpace` is that of Zhang et al. 2018 (Revisiting Data Normalization
for Appearance-Based Gaze Estimation): a virtual camera that looks at the face's centre
from a fixed distance, turned so that the head has no roll. `SquareSpace` is a plain
crop. Both tell the homography from the full frame to the crop, and the rotation that
takes gaze as the network tells it back to the camera.

Published sizes: ETH-XGaze trained on 448 px with focal length 960 px from 300 mm,
shrunk to 224 px; its demo and UniGaze take 224 px with 960 px from 600 mm. Both are
1.6 px a mm: the same map.

Pixels are continuous: the first pixel reaches from 0 to 1. All is done without cv2: the
host cuts the face out of the frame, shrunk by a whole number where the crop is smaller
(so that it does not alias), and the device warps that with bilinear sampling.
"""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from gazehead_jax.face_geometry import (
    LEFT_EYE,
    RIGHT_EYE,
    RIGID_POINTS,
    RIGID_WEIGHTS,
    Camera,
    HeadFit,
)
from gazehead_jax.gaze.shrink import square_sums
from gazehead_jax.motion import angles_to_vector, vector_to_angles

EYE_CORNERS = (*RIGHT_EYE, *LEFT_EYE)
NOSE_WINGS = (98, 327)  # points 31 and 35 of the 68 of iBUG
# The published code fits ETH-XGaze's face model (mm) to these six points. Against that
# fit, on 116 frames of some 40 clips with cv2's solvePnP, our crops were 9 % too large for a
# mesh of 10.15 mm a cm (which is what lays the two models onto each other), hence 9.3
# (5 to 95 %: 8.8 to 9.9; the net's depth is flat, so HeadFit's scale is a bit small) ...
MM_PER_CM = 9.3
# ... and without this tilt: that model's x axis is not along its eyes. Published crops
# show faces 2.6° clockwise (1.6 to 3.6). Their line of sight was ours to .03°.
MODEL_X = np.array([np.cos(np.deg2rad(2.6)), -np.sin(np.deg2rad(2.6)), 0.0])
FACE = 468  # landmarks; the irises follow them

Landmarks = Float[np.ndarray, "n 478 3"]
Matrices = Float[np.ndarray, "n 3 3"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True)
class NormalisedSpace:
    """A virtual camera before the face, without roll of the head.

    Attributes:
      size: of the crops in pixels.
      focal_px, distance_mm: of the virtual camera.
    """

    size: int = 224
    focal_px: float = 960.0
    distance_mm: float = 600.0

    def place(
        self, fit: HeadFit, landmarks: Landmarks, camera: Camera
    ) -> tuple[Matrices, Matrices]:
        """Rotations camera frame → the crop's, and homographies full frame → crop.

        The face's centre is half way from the mean of the eyes to that of the nose.
        """
        eyes = position_mm(fit, camera, EYE_CORNERS)
        centre = (eyes + position_mm(fit, camera, NOSE_WINGS)) / 2
        rotation = look_at(centre, fit.rotation @ MODEL_X)
        k = np.array(
            [
                [self.focal_px, 0, self.size / 2],
                [0, self.focal_px, self.size / 2],
                [0, 0, 1],
            ]
        )
        x, y = camera.principal_point
        pixel_to_ray = np.array(
            [
                [1 / camera.focal_px, 0, -x / camera.focal_px],
                [0, 1 / camera.focal_px, -y / camera.focal_px],
                [0, 0, 1],
            ]
        )
        nearer = np.tile(np.eye(3), (len(centre), 1, 1))
        nearer[:, 2, 2] = self.distance_mm / np.linalg.norm(centre, axis=-1)
        return rotation, k @ nearer @ rotation @ pixel_to_ray


@dataclasses.dataclass(frozen=True)
class SquareSpace:
    """The square about the face mesh's bounding box, with the side of its longer one.

    The frame of its gaze is Gaze360's: it looks along the ray to the eyes, its x axis
    is horizontal.
    """

    size: int = 448

    def place(
        self, fit: HeadFit, landmarks: Landmarks, camera: Camera
    ) -> tuple[Matrices, Matrices]:
        """Rotations camera frame → the crop's, and homographies full frame → crop."""
        face = landmarks[:, :FACE, :2]
        low, high = face.min(1), face.max(1)
        scale = self.size / (high - low).max(-1)
        warp = np.tile(np.eye(3), (len(face), 1, 1))
        warp[:, 0, 0] = warp[:, 1, 1] = scale
        warp[:, :2, 2] = self.size / 2 - scale[:, None] * (low + high) / 2
        eyes = position_mm(fit, camera, EYE_CORNERS)
        level = np.stack([eyes[:, 2], 0 * eyes[:, 0], -eyes[:, 0]], -1)
        return look_at(eyes, level), warp


Space = NormalisedSpace | SquareSpace


def position_mm(
    fit: HeadFit, camera: Camera, points: Sequence[int]
) -> Float[np.ndarray, "n 3"]:
    """Where the mean of some landmarks is in the camera frame."""
    points = list(points)
    scale = fit.pixels_per_cm[:, None, None]
    middle = np.einsum("k,nk->n", RIGID_WEIGHTS, fit.landmarks[:, RIGID_POINTS, 2])
    depth = fit.landmarks[:, points, 2:] - middle[:, None, None] + camera.focal_px
    across = fit.landmarks[:, points, :2] * depth / camera.focal_px
    there = np.concatenate([across, depth], -1) / scale
    towards = fit.rotation @ fit.seen.swapaxes(-1, -2)
    return MM_PER_CM * np.einsum("nij,nj->ni", towards, there.mean(1))


def look_at(
    centre: Float[np.ndarray, "n 3"], right: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, "n 3 3"]:
    """Rotations camera frame → frame of a camera turned to `centre`.

    Its x axis is `right`, as far as that is across the line of sight.
    """
    forward = centre / np.linalg.norm(centre, axis=-1, keepdims=True)
    down = np.cross(forward, right)
    down /= np.linalg.norm(down, axis=-1, keepdims=True)
    return np.stack([np.cross(down, forward), down, forward], axis=-2)


def to_camera(
    gaze: Float[np.ndarray, "n 2"], rotation: Matrices
) -> Float[np.ndarray, "n 2"]:
    """Gaze (pitch, yaw) in the camera frame of that in a crop's frame, radians."""
    return vector_to_angles(np.einsum("nji,nj->ni", rotation, angles_to_vector(gaze)))


def cut(
    image: UInt8[np.ndarray, "h w 3"], warp: Float[np.ndarray, "3 3"], size: int
) -> tuple[UInt8[np.ndarray, "p p 3"], Float[np.ndarray, "3 3"]]:
    """The part of a frame that a crop shows, in a picture of fixed size p = 2 × size.

    It is shrunk by a whole number where the crop has fewer pixels than the frame; what
    lies outside the frame is black.

    Returns:
      The picture, and the homography crop → that picture, in pixels.
    """
    height, width, _ = image.shape
    back = np.linalg.inv(warp)
    corners = back @ np.array([[0, size, size, 0], [0, 0, size, size], [1, 1, 1, 1]])
    x, y = corners[:2] / corners[2]
    # Frame pixels per crop pixel, by the shoelace formula.
    area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
    shrink = max(1, round(np.sqrt(area) / size))
    room = 2 * size
    while True:  # a turned crop takes a larger box
        left, right = _span(x, shrink, width)
        top, bottom = _span(y, shrink, height)
        longest = -(-max(right - left, bottom - top) // shrink)
        if longest <= room:
            break
        shrink = max(shrink + 1, -(-longest * shrink // room))
    picture = np.zeros((room, room, 3), np.uint8)
    if right > left and bottom > top:
        part = _shrunk(image[top:bottom, left:right], shrink)
        picture[: part.shape[0], : part.shape[1]] = part
    to_picture = np.array(
        [[1 / shrink, 0, -left / shrink], [0, 1 / shrink, -top / shrink], [0, 0, 1]]
    )
    return picture, to_picture @ back


def _span(values: np.ndarray, margin: int, end: int) -> tuple[int, int]:
    """Whole pixels about `values` and a margin, within the frame."""
    low = int(np.clip(np.floor(values.min()) - margin, 0, end))
    return low, int(np.clip(np.ceil(values.max()) + margin, low, end))


def _shrunk(part: UInt8[np.ndarray, "h w 3"], by: int) -> UInt8[np.ndarray, "*hw 3"]:
    """Means over squares of `by` pixels; the last ones repeat the edge."""
    if by == 1:
        return part
    height, width, _ = part.shape
    part = np.pad(part, ((0, -height % by), (0, -width % by), (0, 0)), mode="edge")
    return ((square_sums(part, by) + by * by // 2) // (by * by)).astype(np.uint8)


def sample(
    pictures: UInt8[jax.Array, "n p p 3"], maps: Float[jax.Array, "n 3 3"], size: int
) -> Float[jax.Array, "n {size} {size} 3"]:
    """Crops out of pictures, bilinearly, for jit; `face_crops.sample` is for the host.

    Args:
      pictures, maps: of `cut`.
      size: of the crops.

    Returns:
      RGB normalised as ImageNet's, the networks' input.
    """
    middle = jnp.arange(size, dtype=jnp.float32) + 0.5
    v, u = (axis.ravel() for axis in jnp.meshgrid(middle, middle, indexing="ij"))
    room = pictures.shape[1]

    def one(picture, m):
        # Written out: a matrix product would round to bfloat16 on some accelerators.
        depth = m[2, 0] * u + m[2, 1] * v + m[2, 2]
        x = (m[0, 0] * u + m[0, 1] * v + m[0, 2]) / depth - 0.5
        y = (m[1, 0] * u + m[1, 1] * v + m[1, 2]) / depth - 0.5
        left, top = jnp.floor(x), jnp.floor(y)
        pixels = picture.reshape(-1, 3)
        total = 0.0
        for dy in (0, 1):
            for dx in (0, 1):
                i, j = (top + dy).astype(jnp.int32), (left + dx).astype(jnp.int32)
                inside = (i >= 0) & (i < room) & (j >= 0) & (j < room)
                weight = (1 - jnp.abs(y - i)) * (1 - jnp.abs(x - j)) * inside
                index = jnp.clip(i, 0, room - 1) * room + jnp.clip(j, 0, room - 1)
                total += weight[:, None] * pixels[index]
        return total.reshape(size, size, 3)

    crops = jax.vmap(one)(pictures, maps) / 255
    mean, std = (jnp.array(x)[None, None, None] for x in (IMAGENET_MEAN, IMAGENET_STD))
    return (crops - mean) / std
