"""The face patch that ST-ED was trained on, and its angles, in this project's terms.

The authors' preparation (github.com/swook/faze_preprocess, create_hdf_files_for_sted.py)
places a virtual camera without roll of the head before the face: 128 px, focal length
500 px, 600 mm from a point 30 mm below the middle of the eyes. Brightness is then
equalised over the patch, and so it is in what the network draws.

Their angles have the signs of `motion`, in that camera's frame: gaze is (asin -y,
atan2(-x, -z)) of its direction, the head (asin R₁₂, atan2(R₀₂, R₂₂)) of its rotation,
which has no roll there. Only their face model stands otherwise, see `HEAD_TILT`.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from gazehead_jax.errors import require
from gazehead_jax.face_geometry import LANDMARKS, fit_head, likely_camera
from gazehead_jax.gaze.normalise import (
    EYE_CORNERS,
    FACE,
    IMAGENET_MEAN,
    IMAGENET_STD,
    MM_PER_CM,
    cut,
    look_at,
    position_mm,
    sample,
)

SIZE = 128
FOCAL_PX = 500.0
DISTANCE_MM = 600.0
# Their face model, laid onto ours over 13 points that both have (nose, eye corners; 2.6 mm
# rms), looks up by 4.5° when ours looks straight; fitted to those points as the authors
# did, with cv2's solvePnP in pictures of 23 people, by 3.3° in the median.
HEAD_TILT = float(np.deg2rad(4.0))
# By the same fits: patches are as large as theirs (.97 to 1.05 of the size for 8 of 10
# people), and in the same place within 1.4 px, with these.
MODEL_MM_PER_CM = 10.2
# From the middle of the eyes to the middle of the patch, head frame.
CENTRE_CM = np.array([0.0, 2.92, -0.36])


def to_labels(
    gaze: Float[np.ndarray, "n 2"], head: Float[np.ndarray, "n 3"]
) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, "n 2"]]:
    """Gaze and head (pitch, yaw) as the network was told them; roll is dropped."""
    # Without roll, a head pitched further is one with its own axes pitched first.
    return gaze, head[:, :2] + np.array([HEAD_TILT, 0.0], head.dtype)


def from_labels(
    gaze: Float[np.ndarray, "n 2"], head: Float[np.ndarray, "n 2"]
) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, "n 3"]]:
    """The inverse of `to_labels`, with a roll of 0."""
    roll = np.zeros_like(head[:, :1])
    return gaze, np.concatenate(
        [head - np.array([HEAD_TILT, 0.0], head.dtype), roll], 1
    )


def cut_out(
    picture: UInt8[np.ndarray, "h w 3"], landmarks: Float[np.ndarray, "faces 478 3"]
) -> UInt8[np.ndarray, "128 128 3"]:
    """The face of a picture as the virtual camera sees it, before equalisation.

    Args:
      picture: RGB.
      landmarks: of all faces in it, as `extraction.landmarks` finds them, in pixels.

    Raises:
      GazeheadError: there is not one face, or it is not wholly in the picture.
    """
    height, width, _ = picture.shape
    require(
        len(landmarks) == 1,
        f"a portrait must show one face, got {len(landmarks) or 'none'}; crop it to one.",
    )
    require(
        landmarks.shape[1] == LANDMARKS and bool(np.isfinite(landmarks).all()),
        f"landmarks must be {LANDMARKS} finite points, got shape {landmarks.shape[1:]}.",
    )
    face = landmarks[0, :FACE, :2]
    require(
        bool((face >= 0).all() and (face <= (width, height)).all()),
        f"the face must lie wholly within the portrait, but of {width} × {height} pixels "
        f"it takes columns {face[:, 0].min():.0f} to {face[:, 0].max():.0f} and rows "
        f"{face[:, 1].min():.0f} to {face[:, 1].max():.0f}; give a wider picture.",
    )
    camera = likely_camera(landmarks, (width, height))
    fit = fit_head(landmarks, camera)
    eyes = position_mm(fit, camera, EYE_CORNERS) * (MODEL_MM_PER_CM / MM_PER_CM)
    centre = eyes + MODEL_MM_PER_CM * fit.rotation @ CENTRE_CM
    rotation = look_at(centre, fit.rotation[..., 0])[0]
    patch_camera = _intrinsics(FOCAL_PX, SIZE / 2, SIZE / 2)
    nearer = np.diag([1.0, 1.0, DISTANCE_MM / np.linalg.norm(centre)])
    seen_by = _intrinsics(camera.focal_px, *camera.principal_point)
    warp = patch_camera @ nearer @ rotation @ np.linalg.inv(seen_by)
    part, back = cut(picture, warp, SIZE)
    crop = sample(jnp.asarray(part)[None], jnp.asarray(back, jnp.float32)[None], SIZE)[
        0
    ]
    colours = np.asarray(crop) * np.array(IMAGENET_STD) + np.array(IMAGENET_MEAN)
    return np.rint(255 * colours).clip(0, 255).astype(np.uint8)


def equalised(patch: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """The patch with its brightness (Y of YCrCb, ITU-R BT.601) spread over 0 to 255.

    To the last bit what OpenCV's cvtColor and equalizeHist make of it, in whole numbers
    of 1/16384.
    """
    r, g, b = np.moveaxis(patch.astype(np.int64), -1, 0)
    y = _rounded(4899 * r + 9617 * g + 1868 * b)
    cr = np.clip(_rounded(11682 * (r - y)) + 128, 0, 255) - 128
    cb = np.clip(_rounded(9241 * (b - y)) + 128, 0, 255) - 128
    y = _spread(y)[y]
    colours = (
        y + _rounded(22987 * cr),
        y + _rounded(-11698 * cr - 5636 * cb),
        y + _rounded(29049 * cb),
    )
    return np.stack(colours, -1).clip(0, 255).astype(np.uint8)


def as_input(patch: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w 3"]:
    """An equalised patch from -1 to 1."""
    return np.float32(2 / 255) * patch.astype(np.float32) - 1


def _intrinsics(focal_px: float, x: float, y: float) -> np.ndarray:
    return np.array([[focal_px, 0, x], [0, focal_px, y], [0, 0, 1]])


def _rounded(value: np.ndarray) -> np.ndarray:
    return (value + 8192) >> 14


def _spread(values: np.ndarray) -> np.ndarray:
    """What each of 256 values becomes; a picture of one value stays as it is."""
    count = np.bincount(values.ravel(), minlength=256)
    first = int(values.min())
    rest = values.size - count[first]
    if not rest:
        return np.arange(256)
    count[: first + 1] = 0
    scale = np.float32(255) / np.float32(rest)
    return np.rint(np.cumsum(count).astype(np.float32) * scale).astype(np.int64)
