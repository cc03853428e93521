"""The square about a face that LivePortrait sees, by its authors' rule from our landmarks.

Their rule: turn the picture until the line from the eyes to the mouth is upright, take the
square about the landmarks, 2.3 times as large, and move it up by an eighth of its side.

They apply it to the 106 points of InsightFace's detector, whose models are for research
only, and refine these to 203 of their own. Here it is applied to those of MediaPipe's 478
that go the same way round: jaw from ear to ear, brows, eyes, nose and mouth, not the
forehead. How much the two squares differ was not measured. Openness of eyes and mouth, which
they take from the 203 points, comes from the same places of the mesh.
"""

import dataclasses

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from gazehead_jax.errors import require
from gazehead_jax.face_geometry import LANDMARKS
from gazehead_jax.gaze.normalise import IMAGENET_MEAN, IMAGENET_STD, cut, sample

SCALE = 2.3
UP = 0.125

JAW = (
    *(127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152),
    *(377, 400, 378, 379, 365, 397, 288, 361, 323, 454, 356),
)
BROWS = (70, 63, 105, 66, 107, 336, 296, 334, 293, 300)
NOSE = (168, 6, 197, 195, 4, 98, 2, 327)
# Outer and inner corner, upper and lower lid of the eye at the left in the image (the
# subject's right one), and of the other.
EYES = ((33, 133, 159, 145), (263, 362, 386, 374))
# Corners of the mouth, and the middle of each lip's inner edge.
MOUTH = (61, 291, 13, 14)
OUTLINE = (*JAW, *BROWS, *NOSE, *EYES[0], *EYES[1], *MOUTH)


@dataclasses.dataclass(frozen=True, eq=False)
class Face:
    """What is known of a portrait before any network sees it.

    Attributes:
      picture: `[size, size, 3]` RGB in 0 to 1.
      eyes: `[2]` how open the eyes are, left and right in the image: lid to lid over
        corner to corner.
      mouth: the same of the mouth.
    """

    picture: np.ndarray
    eyes: np.ndarray
    mouth: float


def cut_out(
    picture: UInt8[np.ndarray, "h w 3"],
    landmarks: Float[np.ndarray, "faces 478 3"],
    size: int,
) -> Face:
    """The face of a portrait; what lies outside the picture is black.

    Args:
      picture: RGB.
      landmarks: of all faces in it, as `extraction.landmarks` finds them, in pixels.
      size: edge of the crop.

    Raises:
      GazeheadError: there is not one face.
    """
    require(
        len(landmarks) == 1,
        f"a portrait must show one face, got {len(landmarks) or 'none'}; crop it to one.",
    )
    require(
        bool(np.isfinite(landmarks).all()),
        f"landmarks must be {LANDMARKS} finite points, got NaN or infinity; find them "
        "again.",
    )
    points = landmarks[0, :, :2].astype(np.float64)
    eyes = points[list(EYES[0] + EYES[1])].mean(0)
    lips = points[list(MOUTH[:2])].mean(0)
    # Cut twice as large and shrunk, as they do: more of the picture enters each pixel.
    warp = similarity(points[list(OUTLINE)], eyes, lips, 2 * size)
    part, back = cut(picture, warp, 2 * size)
    crop = sample(jnp.asarray(part)[None], jnp.float32(back)[None], 2 * size)[0]
    colours = np.asarray(crop) * np.array(IMAGENET_STD) + np.array(IMAGENET_MEAN)
    colours = colours.reshape(size, 2, size, 2, 3).mean((1, 3)).clip(0, 1)
    return Face(
        colours.astype(np.float32),
        np.array([openness(points, *eye) for eye in EYES], np.float32),
        openness(points, *MOUTH),
    )


def similarity(
    points: Float[np.ndarray, "n 2"],
    eyes: Float[np.ndarray, "2"],
    lips: Float[np.ndarray, "2"],
    size: int,
) -> Float[np.ndarray, "3 3"]:
    """The map picture → crop of edge `size`, in pixels.

    Args:
      points: that the square is to hold.
      eyes, lips: the middle of the eyes and of the mouth.
    """
    down = lips - eyes
    length = np.linalg.norm(down)
    down = down / length if length > 1e-3 else np.array([0.0, 1.0])
    turn = np.array([[down[1], -down[0]], down])  # rows: the crop's x and y axes
    upright = points @ turn.T
    low, high = upright.min(0), upright.max(0)
    side = SCALE * (high - low).max()
    centre = (low + high) / 2 - np.array([0.0, UP * side])
    warp = np.eye(3)
    warp[:2, :2] = size / side * turn
    warp[:2, 2] = size / 2 - size / side * centre
    return warp


def openness(
    points: Float[np.ndarray, "n 2"], outer: int, inner: int, upper: int, lower: int
) -> float:
    """Height over width of an eye or a mouth."""
    width = np.linalg.norm(points[outer] - points[inner])
    return float(np.linalg.norm(points[upper] - points[lower]) / (width + 1e-6))
