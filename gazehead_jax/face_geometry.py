"""Head pose and gaze from face landmarks, by geometry alone (no network, no cv2).

Landmarks are those of MediaPipe's face mesh: 478 points, of which 468–477 are the
irises, here in *pixels* of the full frame: x right, y down, z away from the camera
with the scale of x. One clip shows one person.

Head. A rigid mean face is laid onto 33 landmarks that expressions move little
(weighted Procrustes, weak perspective). That is done as if the camera were turned to
the face, and then turned back: an off-centre face does not read as a turned one.
Landmark depth is used on purpose: on 19 clips, fitting the mesh to the 2-D points alone
let the jaw into pitch (median correlation of the frame-to-frame changes of pitch and
jaw opening .30, against .07) and agreed less with an independent head-pose network
(median correlation of pitch .52, against .71).

Gaze. An eyeball whose centre lies behind the middle of the eye's corners; the iris
centre, seen on its sphere, gives the direction. Both eyes are averaged first: what
remains is the gaze of one eye between the two, without vergence and without the angle
between the optical and the visual axis. The constants of the eye were set as told at
their definitions.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float

from gazehead_jax.motion import gaze_in_camera, matrix_to_head, vector_to_angles

LANDMARKS = 478
RIGHT_EYE = (33, 133)  # outer and inner corner of the subject's right eye
LEFT_EYE = (263, 362)
RIGHT_IRIS, LEFT_IRIS = 468, 473  # centre; the ring of four follows it

# The 33 most rigid vertices of MediaPipe's canonical face model (Apache-2.0), in cm,
# head frame, and their weights: index, index of the mirror image, x, y, z, weight.
# The origin lies inside the head, between and below the eyes.
_RIGID = (
    (4, 4, 0.0, 0.4632, -7.5866, 0.07091),
    (6, 6, 0.0, -2.4733, -5.7886, 0.0321),
    (10, 10, 0.0, -8.2618, -4.4815, 0.00845),
    (33, 263, -4.4459, -2.664, -3.1734, 0.05872),
    (54, 284, -6.2793, -6.6154, -1.4259, 0.00767),
    (67, 297, -3.524, -8.006, -3.7292, 0.00908),
    (117, 346, -5.2587, -0.9458, -2.9743, 0.00979),
    (119, 348, -3.3007, -0.8616, -3.8728, 0.01457),
    (121, 350, -1.8207, -1.468, -4.2241, 0.01859),
    (127, 356, -7.7431, -2.365, 2.0052, 0.0052),
    (129, 358, -1.7858, 0.9783, -4.8505, 0.12063),
    (132, 361, -7.2709, 2.8909, 2.2525, 0.00556),
    (133, 362, -1.8564, -2.5852, -3.7579, 0.05329),
    (136, 365, -5.0853, 7.1786, -0.7147, 0.06689),
    (143, 372, -6.4076, -2.236, -1.5608, 0.01482),
    (147, 376, -6.2349, 1.9444, -1.6635, 0.01426),
    (198, 420, -1.2468, -0.2303, -5.681, 0.02546),
    (205, 425, -3.8329, 1.5373, -4.1377, 0.04725),
)
_MIRRORED = [row for row in _RIGID if row[0] != row[1]]
RIGID_POINTS = np.array([r[0] for r in _RIGID] + [r[1] for r in _MIRRORED])
RIGID_XYZ_CM = np.array(
    [r[2:5] for r in _RIGID] + [(-r[2], r[3], r[4]) for r in _MIRRORED]
)
RIGID_WEIGHTS = np.array([r[5] for r in _RIGID] + [r[5] for r in _MIRRORED])
RIGID_WEIGHTS = RIGID_WEIGHTS / RIGID_WEIGHTS.sum()

# The iris is 11.7 mm wide in all adults (± .5) and lies 10.0 mm before the eyeball's
# centre of rotation. So the person's own iris gives the radius, whatever the scale.
# Check: on seven clips with averted eyes, eye-in-head yaw correlates by .86 to 1.00 with
# that of an appearance-based gaze network and spreads .83 to 1.23 times as far.
EYE_RADIUS_PER_IRIS = 10.0 / 11.7
# From the middle of the corners to the eyeball's centre, cm of the mean face. Depth:
# the slope of iris offset over head yaw of people who turn while they look into the
# camera (.33 to .76, median .44). Height: makes the median gaze of such people level.
EYE_CENTRE_CM = np.array([0.0, -0.24, 0.45])
# The landmark net moves the iris too little up and down (the lids follow the eye):
# against the same gaze network the spread of eye pitch is 1.1 to 2.6 times too small,
# median 1.75, and fixation of the camera under head pitch asks for 1.4 to 1.8.
PITCH_GAIN = 1.6
# Hardly anyone is filmed from nearer than this.
NEAREST_CM = 60.0
# People turn their eyes 50° at most. A clip in which the iris strays farther has larger
# eyeballs than its irises tell (contact lenses, beauty filters): the radius gives way.
MOST_TURN = np.deg2rad(50.0)


@dataclasses.dataclass(frozen=True, eq=False)
class HeadFit:
    """The mean face laid onto a clip.

    Attributes:
      rotation: `[t, 3, 3]` head frame → camera frame.
      seen: `[t, 3, 3]` head frame → frame of a camera that is turned to the face.
      landmarks: `[t, 478, 3]` as that camera sees them, in pixels about its middle.
      pixels_per_cm: `[t]` its scale at the face.
    """

    rotation: np.ndarray
    seen: np.ndarray
    landmarks: np.ndarray
    pixels_per_cm: np.ndarray


def fit_head(
    landmarks: Float[np.ndarray, "t 478 3"],
    principal_point: tuple[float, float],
    focal_px: float,
) -> HeadFit:
    """Lays the mean face onto landmarks in pixels.

    Args:
      landmarks: finite, in pixels of the full frame.
      principal_point: the camera's (x, y) in pixels, as a rule the frame's middle.
      focal_px: the focal length of the full frame in pixels. It only turns the
        off-centre faces: an error of 20 % at 15° off-centre is 3° of constant yaw.
    """
    aimed, towards = _aim(landmarks, principal_point, focal_px)
    points = aimed[:, RIGID_POINTS]
    points = points - np.einsum("n,tni->ti", RIGID_WEIGHTS, points)[:, None]
    face = RIGID_XYZ_CM - RIGID_WEIGHTS @ RIGID_XYZ_CM
    u, s, vt = np.linalg.svd(
        np.einsum("n,tni,nj->tij", RIGID_WEIGHTS, points, face, optimize=True)
    )
    sign = np.ones_like(s)
    sign[:, 2] = np.sign(np.linalg.det(u @ vt))  # a rotation, not a reflection
    seen = (u * sign[:, None, :]) @ vt
    scale = (s * sign).sum(-1) / np.einsum("n,ni,ni->", RIGID_WEIGHTS, face, face)
    return HeadFit(towards @ seen, seen, aimed, scale)


def likely_focal_px(
    landmarks: Float[np.ndarray, "t 478 3"], size: tuple[int, int]
) -> float:
    """The focal length in pixels of an unknown camera with frames of (width, height).

    The longer side (53° across it), or more if that would put the median face nearer
    than `NEAREST_CM`: such a video was cropped about the face. Too short a focal length
    makes a head that shifts seem to turn, and gaze with it.
    """
    width, height = size
    longer = float(max(size))
    fit = fit_head(landmarks, (width / 2, height / 2), longer)
    return max(longer, NEAREST_CM * float(np.median(fit.pixels_per_cm)))


def _aim(landmarks, principal_point, focal_px):
    """Landmarks as seen by the camera turned to the face, and `[t, 3, 3]` that turn.

    The landmark net sees a crop about the face, so depth already is along the ray.
    """
    slope = (landmarks[..., :2] - np.array(principal_point)) / focal_px
    towards = _towards(np.einsum("n,tni->ti", RIGID_WEIGHTS, slope[:, RIGID_POINTS]))
    rays = np.concatenate([slope, np.ones_like(slope[..., :1])], -1) @ towards
    across = focal_px * rays[..., :2] / rays[..., 2:]
    # The turned camera has the face farther away along its axis.
    depth = landmarks[..., 2:] * towards[:, None, 2:, 2]
    return np.concatenate([across, depth], -1), towards


def _towards(slope: Float[np.ndarray, "t 2"]) -> Float[np.ndarray, "t 3 3"]:
    """The smallest rotations that take the optical axis to rays (x/z, y/z)."""
    ray = np.concatenate([slope, np.ones((len(slope), 1))], -1)
    x, y, z = (ray / np.linalg.norm(ray, axis=-1, keepdims=True)).T
    # Rodrigues about (-y, x, 0), whose angle has cosine z.
    rows = [
        [1 - x * x / (1 + z), -x * y / (1 + z), x],
        [-x * y / (1 + z), 1 - y * y / (1 + z), y],
        [-x, -y, z],
    ]
    return np.moveaxis(np.array(rows), -1, 0)


def iris_offset_cm(fit: HeadFit) -> Float[np.ndarray, "t 2"]:
    """From the eyeball's centre to the iris's as seen (x right, y down), mean of both.

    In cm of the mean face. Only x and y of the eyes enter: their depth is poor.
    """
    points = fit.landmarks[..., :2]
    offsets = [
        points[:, iris] - points[:, corners].mean(1)
        for iris, corners in ((RIGHT_IRIS, RIGHT_EYE), (LEFT_IRIS, LEFT_EYE))
    ]
    offset = np.mean(offsets, axis=0) / fit.pixels_per_cm[:, None]
    return offset - (fit.seen @ EYE_CENTRE_CM)[:, :2]


def iris_width_cm(fit: HeadFit) -> Float[np.ndarray, " t"]:
    """Horizontal width of the irises, mean of both, in cm of the mean face."""
    points = fit.landmarks[..., :2]
    widths = [
        np.linalg.norm(points[:, iris + 1] - points[:, iris + 3], axis=-1)
        for iris in (RIGHT_IRIS, LEFT_IRIS)
    ]
    return np.mean(widths, axis=0) / fit.pixels_per_cm


def eye_radius_cm(
    offset: Float[np.ndarray, "t 2"], iris_width: Float[np.ndarray, " t"]
) -> float:
    """From the eyeball's centre to the iris: one number for the open eyes of a clip."""
    reach = np.percentile(np.linalg.norm(offset, axis=-1), 99)
    return float(
        max(EYE_RADIUS_PER_IRIS * np.median(iris_width), reach / np.sin(MOST_TURN))
    )


def eye_in_head(
    offset: Float[np.ndarray, "t 2"], fit: HeadFit, radius_cm: float
) -> Float[np.ndarray, "t 2"]:
    """(pitch, yaw) in radians of the eyes in the head; NaN off the eyeball."""
    across = offset / radius_cm
    depth = 1 - (across**2).sum(-1)
    seen = np.concatenate([across, -np.sqrt(np.maximum(depth, 0))[:, None]], -1)
    eye = vector_to_angles(np.einsum("tji,tj->ti", fit.seen, seen))
    return np.where((depth > 0)[:, None], eye * np.array([PITCH_GAIN, 1.0]), np.nan)


def gaze_and_head(
    landmarks: Float[np.ndarray, "t 478 3"],
    open_eyes: Bool[np.ndarray, " t"],
    principal_point: tuple[float, float],
    focal_px: float,
) -> tuple[Float[np.ndarray, "t 2"], Float[np.ndarray, "t 3"]]:
    """Gaze (pitch, yaw) and head (pitch, yaw, roll) of a clip, camera frame, radians.

    Gaze is NaN where no iris can be. `open_eyes` says which frames give the person's
    eyeball; see `fit_head` for the rest.
    """
    fit = fit_head(landmarks, principal_point, focal_px)
    offset = iris_offset_cm(fit)
    used = open_eyes if open_eyes.any() else ~open_eyes
    radius = eye_radius_cm(offset[used], iris_width_cm(fit)[used])
    head = matrix_to_head(fit.rotation)
    return gaze_in_camera(eye_in_head(offset, fit, radius), head), head
