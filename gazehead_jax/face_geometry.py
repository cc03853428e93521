"""Head pose from face landmarks, by geometry alone (no network, no cv2).

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
"""

import dataclasses

import numpy as np
from jaxtyping import Float

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

# Hardly anyone is filmed from nearer than this.
NEAREST_CM = 60.0


@dataclasses.dataclass(frozen=True)
class Camera:
    """A pinhole camera with square pixels whose axis goes through the frame's middle.

    Attributes:
      width, height: of the full frame in pixels.
      focal_px: focal length in pixels.
    """

    width: int
    height: int
    focal_px: float

    @property
    def principal_point(self) -> tuple[float, float]:
        return self.width / 2, self.height / 2


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
    camera: Camera,
) -> HeadFit:
    """Lays the mean face onto landmarks in pixels.

    Args:
      landmarks: finite, in pixels of the full frame.
      camera: of the full frame. Its focal length only turns the off-centre faces: an
        error of 20 % at 15° off-centre is 3° of constant yaw.
    """
    aimed, towards = _aim(landmarks, camera)
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


def likely_camera(
    landmarks: Float[np.ndarray, "t 478 3"], size: tuple[int, int]
) -> Camera:
    """An unknown camera with frames of (width, height).

    Its focal length is the longer side (53° across it), or more if that would put the
    median face nearer than `NEAREST_CM`: such a video was cropped about the face. Too
    short a focal length makes a head that shifts seem to turn, and gaze with it.
    """
    width, height = size
    longer = float(max(size))
    fit = fit_head(landmarks, Camera(width, height, longer))
    focal_px = max(longer, NEAREST_CM * float(np.median(fit.pixels_per_cm)))
    return Camera(width, height, focal_px)


def _aim(landmarks, camera):
    """Landmarks as seen by the camera turned to the face, and `[t, 3, 3]` that turn.

    The landmark net sees a crop about the face, so depth already is along the ray.
    """
    focal_px = camera.focal_px
    slope = (landmarks[..., :2] - np.array(camera.principal_point)) / focal_px
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
