"""Gaze from the iris: the geometry of an eyeball on the landmark mesh, no network.

An eyeball whose centre lies behind the middle of the eye's corners; the iris centre,
seen on its sphere, gives the direction. Both eyes are averaged first: what remains is
the gaze of one eye between the two, without vergence and without the angle between the
optical and the visual axis.

On rendered people (`gazehead evaluate-extraction`) yaw has .81 of the eye's range and .69
of a gaze that moves with the head, pitch .46 and .29. The constants below were not
corrected for it: with the iris at .9 and the eyeball .5 deep rendered yaw comes to .92 and
.87, but on 40 real clips the agreement with an appearance-based network falls (camera yaw
r .54 → .50), and the drawn lids hide too much of the iris to judge pitch.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float

from gazehead_jax.face_geometry import (
    LEFT_EYE,
    LEFT_IRIS,
    RIGHT_EYE,
    RIGHT_IRIS,
    HeadFit,
)
from gazehead_jax.gaze.estimator import FaceFrames
from gazehead_jax.motion import gaze_in_camera, vector_to_angles

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
# People turn their eyes 50° at most. A clip in which the iris strays farther has larger
# eyeballs than its irises tell (contact lenses, beauty filters): the radius gives way.
MOST_TURN = np.deg2rad(50.0)


@dataclasses.dataclass(frozen=True)
class IrisEstimator:
    """Estimator (a). Its radius of the eyeball is the person's, from the whole track."""

    name: str = "iris"
    licence: str = "Apache-2.0 (MediaPipe's face landmarks)"
    width: int = 12

    def measure(self, frames: FaceFrames) -> Float[np.ndarray, "n 12"]:
        """The head's 9 entries as seen, the iris's offset and its width."""
        fit = frames.fit
        seen = fit.seen.reshape(-1, 9)
        return np.column_stack([seen, iris_offset_cm(fit), iris_width_cm(fit)])

    def resolve(
        self,
        measured: Float[np.ndarray, "t 12"],
        head: Float[np.ndarray, "t 3"],
        open_eyes: Bool[np.ndarray, " t"],
    ) -> Float[np.ndarray, "t 2"]:
        """Gaze in the camera frame; NaN off the eyeball."""
        seen, offset, width = np.split(measured, [9, 11], axis=1)
        used = open_eyes if open_eyes.any() else ~open_eyes
        radius = eye_radius_cm(offset[used], width[used, 0])
        return gaze_in_camera(eye_in_head(offset, seen.reshape(-1, 3, 3), radius), head)


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
    offset: Float[np.ndarray, "t 2"],
    seen: Float[np.ndarray, "t 3 3"],
    radius_cm: float,
) -> Float[np.ndarray, "t 2"]:
    """(pitch, yaw) in radians of the eyes in the head; NaN off the eyeball.

    `seen` is `HeadFit.seen`.
    """
    across = offset / radius_cm
    depth = 1 - (across**2).sum(-1)
    look = np.concatenate([across, -np.sqrt(np.maximum(depth, 0))[:, None]], -1)
    eye = vector_to_angles(np.einsum("tji,tj->ti", seen, look))
    return np.where((depth > 0)[:, None], eye * np.array([PITCH_GAIN, 1.0]), np.nan)
