"""What is kept of one person in one shot: a few numbers a frame, no pictures."""

import dataclasses

import numpy as np

from gazehead_jax.extraction.tracks import centre_and_width
from gazehead_jax.face_geometry import (
    RIGID_POINTS,
    RIGID_WEIGHTS,
    RIGID_XYZ_CM,
    Camera,
    HeadFit,
    fit_head,
)
from gazehead_jax.gaze.estimator import FaceFrames, FaceMeter
from gazehead_jax.motion import matrix_to_head

# Upper and lower lid, of both eyes.
_LIDS = ((159, 158, 160, 386, 385, 387), (145, 153, 144, 374, 380, 373))
# Skin that sunglasses cover: upper lids and below the eyes; and skin that they do not:
# cheeks, nose, forehead.
_COVERED = np.array([27, 28, 29, 228, 229, 230, 231, 257, 258, 259, 448, 449, 450, 451])
_BARE = np.array([205, 425, 50, 280, 5, 4, 151, 108, 337])


@dataclasses.dataclass(frozen=True, eq=False)
class Track:
    """One person in one shot, on the frames where a face was found.

    Attributes:
      shot: which shot of the video, from 0.
      camera: of the full frame.
      frame: `[t]` index of the frame in the video.
      time_s: `[t]` its time.
      head: `[t, 3]` in the camera frame, radians.
      measured: name of an estimator, or another meter, → `[t, k]`, what it keeps of a frame.
      openness: `[t]` gap between the lids in cm of the mean face, both eyes.
      residual_cm: `[t]` how far the landmarks are from a rigid face, in its cm.
      shade: `[t]` brightness of the skin about the eyes over that of other skin.
      centre: `[t, 2]` middle of the face in pixels.
      width_px: `[t]` size of the face.
      still: `[t]` bool, the picture is the one before again.
      outline: `[t, n, 2]` float32 landmarks to draw, in pixels; n = 0 if not asked for.
    """

    shot: int
    camera: Camera
    frame: np.ndarray
    time_s: np.ndarray
    head: np.ndarray
    measured: dict[str, np.ndarray]
    openness: np.ndarray
    residual_cm: np.ndarray
    shade: np.ndarray
    centre: np.ndarray
    width_px: np.ndarray
    still: np.ndarray
    outline: np.ndarray

    def __len__(self) -> int:
        return len(self.frame)


def observe(
    shot: int,
    camera: Camera,
    frame: np.ndarray,
    time_s: np.ndarray,
    still: np.ndarray,
    images: list[np.ndarray],
    landmarks: np.ndarray,
    meters: list[FaceMeter],
    outline: np.ndarray,
) -> Track:
    """Measures a few frames of one face; the track of these frames.

    Args:
      landmarks: `[n, 478, 3]` in pixels, finite.
      outline: indices of the landmarks to keep for drawing.
    """
    fit = fit_head(landmarks, camera)
    head = matrix_to_head(fit.rotation)
    frames = FaceFrames(images, landmarks, fit, head, camera)
    centre, width = centre_and_width(landmarks)
    return Track(
        shot=shot,
        camera=camera,
        frame=frame,
        time_s=time_s,
        head=head,
        measured={meter.name: meter.measure(frames) for meter in meters},
        openness=_openness(fit),
        residual_cm=_residual_cm(fit),
        shade=np.array(
            [_shade(*one) for one in zip(images, landmarks, width, strict=True)]
        ),
        centre=centre,
        width_px=width,
        still=still,
        outline=landmarks[:, outline, :2].astype(np.float32),
    )


def join(parts: list[Track]) -> Track:
    """Successive parts of one track as one."""
    first = parts[0]
    arrays = {
        field.name: np.concatenate([getattr(p, field.name) for p in parts])
        for field in dataclasses.fields(Track)
        if field.name not in ("shot", "camera", "measured")
    }
    measured = {
        name: np.concatenate([p.measured[name] for p in parts])
        for name in first.measured
    }
    return Track(shot=first.shot, camera=first.camera, measured=measured, **arrays)


def _openness(fit: HeadFit) -> np.ndarray:
    upper, lower = (fit.landmarks[:, list(side), :2] for side in _LIDS)
    gap = np.linalg.norm(upper - lower, axis=-1).mean(1)
    return gap / fit.pixels_per_cm


def _residual_cm(fit: HeadFit) -> np.ndarray:
    points = fit.landmarks[:, RIGID_POINTS]
    points = points - np.einsum("n,tni->ti", RIGID_WEIGHTS, points)[:, None]
    face = RIGID_XYZ_CM - RIGID_WEIGHTS @ RIGID_XYZ_CM
    rest = points / fit.pixels_per_cm[:, None, None] - np.einsum(
        "tij,nj->tni", fit.seen, face
    )
    return np.sqrt(np.einsum("n,tni->t", RIGID_WEIGHTS, rest**2))


def _shade(image: np.ndarray, landmarks: np.ndarray, width: float) -> float:
    """NaN when the face is cut off by the frame."""
    reach = max(1, round(width / 100))
    covered, bare = (
        _brightness(image, landmarks[which, :2], reach) for which in (_COVERED, _BARE)
    )
    return covered / max(bare, 1.0)


def _brightness(image: np.ndarray, points: np.ndarray, reach: int) -> float:
    """Median over points of the mean grey about them, of those inside the picture."""
    height, width = image.shape[:2]
    greys = []
    for x, y in np.round(points).astype(int):
        if reach <= x < width - reach and reach <= y < height - reach:
            patch = image[y - reach : y + reach + 1, x - reach : x + reach + 1]
            greys.append(patch.mean())
    return float(np.median(greys)) if greys else float("nan")
