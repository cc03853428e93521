"""Motion, and every convention of the project: units, signs, axes, frames.

Angles are radians everywhere inside. `gaze` is (pitch, yaw) and `head` is
(pitch, yaw, roll), both in the *camera* frame: x right, y down, z away from the
camera (OpenCV). A face that looks straight into the camera has all angles zero.

    pitch + is up
    yaw   + is towards the image's left (the subject's own right)
    roll  + is clockwise in the image

A direction is the unit vector

    v(pitch, yaw) = (-cos(pitch) sin(yaw), -sin(pitch), -cos(pitch) cos(yaw))

and a head turns by R = Ry(yaw) Rx(-pitch) Rz(roll), which takes the head's own axes
(those of the camera when all angles are zero) into the camera frame. The same signs
are used by ETH-XGaze, Gaze360's labels after its axis flip, and 300W-LP.

Nothing else in the project converts angles. All conversions take NumPy or JAX arrays
and return the same kind.
"""

import dataclasses
from collections.abc import Mapping

import jax
import numpy as np
from jaxtyping import Float
from scipy.interpolate import PchipInterpolator

from gazehead_jax.errors import GazeheadError, require

GAZE_CHANNELS = ("pitch", "yaw")
HEAD_CHANNELS = ("pitch", "yaw", "roll")
CONVENTION = "camera:x-right,y-down,z-forward;pitch+up,yaw+image-left,roll+clockwise"
FRAMES = ("camera",)

# Largest angle that a person and a camera can make; beyond it the unit is wrong.
PITCH_LIMIT = np.pi / 2 + 1e-3
TURN_LIMIT = np.pi + 1e-3

Array = np.ndarray | jax.Array


# --- angles, vectors, rotations ----------------------------------------------------


def angles_to_vector(angles: Float[Array, "*b 2"]) -> Float[Array, "*b 3"]:
    """Unit vectors in the camera frame of (pitch, yaw) in radians."""
    xp = angles.__array_namespace__()
    pitch, yaw = angles[..., 0], angles[..., 1]
    return xp.stack(
        [-xp.cos(pitch) * xp.sin(yaw), -xp.sin(pitch), -xp.cos(pitch) * xp.cos(yaw)],
        axis=-1,
    )


def vector_to_angles(vector: Float[Array, "*b 3"]) -> Float[Array, "*b 2"]:
    """(pitch, yaw) in radians of camera-frame directions of any positive length."""
    xp = vector.__array_namespace__()
    x, y, z = vector[..., 0], vector[..., 1], vector[..., 2]
    pitch = xp.arctan2(-y, xp.hypot(x, z))
    return xp.stack([pitch, xp.arctan2(-x, -z)], axis=-1)


def head_to_matrix(head: Float[Array, "*b 3"]) -> Float[Array, "*b 3 3"]:
    """Rotations head frame → camera frame of (pitch, yaw, roll) in radians."""
    xp = head.__array_namespace__()
    sp, sy, sr = (xp.sin(head[..., i]) for i in range(3))
    cp, cy, cr = (xp.cos(head[..., i]) for i in range(3))
    # R = Ry(yaw) Rx(-pitch) Rz(roll), written out.
    rows = [
        [cy * cr - sy * sp * sr, -cy * sr - sy * sp * cr, sy * cp],
        [cp * sr, cp * cr, sp],
        [-sy * cr - cy * sp * sr, sy * sr - cy * sp * cr, cy * cp],
    ]
    return xp.stack([xp.stack(row, axis=-1) for row in rows], axis=-2)


def matrix_to_head(rotation: Float[Array, "*b 3 3"]) -> Float[Array, "*b 3"]:
    """(pitch, yaw, roll) in radians of rotations head frame → camera frame.

    At |pitch| = 90° yaw and roll turn about the same axis; only their sum is defined.
    """
    xp = rotation.__array_namespace__()
    r = rotation
    pitch = xp.arctan2(r[..., 1, 2], xp.hypot(r[..., 1, 0], r[..., 1, 1]))
    yaw = xp.arctan2(r[..., 0, 2], r[..., 2, 2])
    roll = xp.arctan2(r[..., 1, 0], r[..., 1, 1])
    return xp.stack([pitch, yaw, roll], axis=-1)


def gaze_in_head(
    gaze: Float[Array, "*b 2"], head: Float[Array, "*b 3"]
) -> Float[Array, "*b 2"]:
    """Gaze seen from the head: (pitch, yaw) of the eye in its socket, by rotation.

    Subtracting head angles from gaze angles is wrong by several degrees as soon as
    the head is pitched or rolled; hence Rᵀ v.
    """
    xp = gaze.__array_namespace__()
    rotation = head_to_matrix(head)
    return vector_to_angles(
        xp.einsum("...ij,...i->...j", rotation, angles_to_vector(gaze))
    )


def gaze_in_camera(
    eye: Float[Array, "*b 2"], head: Float[Array, "*b 3"]
) -> Float[Array, "*b 2"]:
    """Gaze in the camera frame of eye-in-head (pitch, yaw): the inverse of
    `gaze_in_head`."""
    xp = eye.__array_namespace__()
    rotation = head_to_matrix(head)
    return vector_to_angles(
        xp.einsum("...ij,...j->...i", rotation, angles_to_vector(eye))
    )


def wrap(angle: Float[Array, "*b"]) -> Float[Array, "*b"]:
    """Angles brought into [-π, π)."""
    return (angle + np.pi) % (2 * np.pi) - np.pi


# --- Motion ------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Motion:
    """A synchronised gaze and head sequence of one person.

    Attributes:
      gaze: `[time, 2]` float32, (pitch, yaw) in radians, camera frame.
      head: `[time, 3]` float32, (pitch, yaw, roll) in radians, camera frame; `None`
        for a gaze recording that has no head (input to sampling).
      fps: frames per second, uniform.
      valid: `[time]` bool; False where the numbers must not be used (blink, loss).
        All True when left out. Non-finite numbers at invalid frames become 0.
      frame: the frame of reference, "camera".
      source: where the sequence comes from, free text.
      subject: who was recorded; data are split by it.
      meta: further facts, JSON-able.

    Raises:
      GazeheadError: wrong shapes, no frame, NaN or infinity at a valid frame, angles
        that cannot be radians, an fps that is not positive, or an unknown frame.
    """

    gaze: np.ndarray
    head: np.ndarray | None
    fps: float | int
    valid: np.ndarray | None = None
    frame: str = "camera"
    source: str = ""
    subject: str = ""
    meta: Mapping = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        name = f"motion {self.source!r}" if self.source else "motion"
        gaze = np.asarray(self.gaze, np.float32)
        require(
            gaze.ndim == 2 and gaze.shape[1] == 2,
            f"{name}: gaze must be [time, 2] (pitch, yaw), got shape {gaze.shape}.",
        )
        require(len(gaze) > 0, f"{name}: a motion needs at least one frame, got none.")
        valid = self.valid
        valid = np.ones(len(gaze), bool) if valid is None else np.asarray(valid, bool)
        require(
            valid.shape == (len(gaze),),
            f"{name}: valid must be [time] = ({len(gaze)},), got {valid.shape}.",
        )
        require(
            0 < self.fps < np.inf,
            f"{name}: fps must be a positive number, got {self.fps}.",
        )
        require(
            self.frame in FRAMES,
            f"{name}: frame must be one of {FRAMES}, got {self.frame!r}; convert it "
            "first (normalised-space gaze beside camera-frame head fakes a coupling).",
        )
        head = self.head
        if head is not None:
            head = np.asarray(head, np.float32)
            require(
                head.shape == (len(gaze), 3),
                f"{name}: head must be [time, 3] (pitch, yaw, roll) with "
                f"{len(gaze)} frames as gaze has, got shape {head.shape}.",
            )
            head = _checked_angles(head, valid, f"{name}: head")
        gaze = _checked_angles(gaze, valid, f"{name}: gaze")
        for field, value in (("gaze", gaze), ("head", head), ("valid", valid)):
            object.__setattr__(self, field, value)
        object.__setattr__(self, "fps", float(self.fps))

    def __len__(self) -> int:
        return len(self.gaze)

    @property
    def duration_s(self) -> float:
        return len(self) / self.fps

    @property
    def gaze_in_head(self) -> np.ndarray:
        """`[time, 2]` eye-in-head (pitch, yaw) in radians."""
        return gaze_in_head(self.gaze, self.require_head())

    def require_head(self) -> np.ndarray:
        """The head `[time, 3]`.

        Raises:
          GazeheadError: the motion has gaze only.
        """
        if self.head is None:
            raise GazeheadError(
                f"motion {self.source!r} has gaze but no head, and this step needs "
                "both; sample a head for it first."
            )
        return self.head

    def replace(self, **changes) -> "Motion":
        return dataclasses.replace(self, **changes)

    def __getitem__(self, frames: slice) -> "Motion":
        """The motion of a slice of frames with step 1."""
        require(frames.step in (None, 1), "a motion is sliced with step 1 only.")
        return self.replace(
            gaze=self.gaze[frames],
            head=None if self.head is None else self.head[frames],
            valid=self.valid[frames],
        )


def _checked_angles(angles: np.ndarray, valid: np.ndarray, what: str) -> np.ndarray:
    finite = np.isfinite(angles).all(-1)
    bad = np.flatnonzero(valid & ~finite)
    require(
        not len(bad),
        f"{what} must be finite where valid, got NaN or infinity at "
        f"{len(bad)} valid frame(s), the first at {bad[0] if len(bad) else 0}; mark "
        "such frames invalid.",
    )
    limits = np.array([PITCH_LIMIT, TURN_LIMIT, TURN_LIMIT])[: angles.shape[1]]
    extreme = np.abs(np.where(valid[:, None], angles, 0)).max(0)
    if (extreme > limits).any():
        channel = HEAD_CHANNELS[int(np.argmax(extreme / limits))]
        raise GazeheadError(
            f"{what} must be in radians (|pitch| ≤ π/2, |yaw|, |roll| ≤ π), got "
            f"|{channel}| up to {extreme[np.argmax(extreme / limits)]:.4g}: this looks "
            "like degrees; convert with numpy.deg2rad, or write a .csv with _deg "
            "columns."
        )
    return np.where(valid[:, None] | finite[:, None], angles, 0).astype(np.float32)


# --- changes of a motion -----------------------------------------------------------


def mirror(motion: Motion) -> Motion:
    """Left and right swapped: yaw and roll change sign, pitch stays."""
    head = None if motion.head is None else motion.head * np.float32([1, -1, -1])
    return motion.replace(gaze=motion.gaze * np.float32([1, -1]), head=head)


def as_seen_from(motion: Motion, towards: Float[np.ndarray, "2"]) -> Motion:
    """The motion for a camera that stands in another direction from the person.

    Eyes and head keep their relation; the world is turned about the person so that the
    direction `towards`, (pitch, yaw) in radians, becomes (0, 0).
    """
    turn = head_to_matrix(np.append(towards, 0.0)).T
    gaze = vector_to_angles(angles_to_vector(motion.gaze) @ turn.T)
    head = motion.head
    if head is not None:
        head = matrix_to_head(turn @ head_to_matrix(head))
    return motion.replace(gaze=gaze, head=head)


def resample(motion: Motion, fps: float | int, *, smooth: bool = False) -> Motion:
    """The motion at another frame rate; the first frame keeps its time.

    To half the rate and below, a frame is the mean of the valid frames nearest to it
    (so that a saccade between two slow frames is not lost; for an even ratio their middle
    is half a fast frame early), and is valid if at least half of them are. Otherwise it is
    interpolated between its two neighbours, and is valid if both are. Invalid frames never
    enter a valid one.

    Args:
      motion: what to resample.
      fps: the new rate, frames per second.
      smooth: interpolate with a monotone cubic (PCHIP) instead of lines: for showing a
        slow trajectory at video rate.

    Raises:
      GazeheadError: fps is not positive.
    """
    require(0 < fps < np.inf, f"fps must be positive, got {fps}.")
    ratio = motion.fps / fps
    if abs(ratio - 1) < 1e-9:
        return motion
    length = int(np.floor((len(motion) - 1) / ratio + 1e-6)) + 1
    position = np.arange(length) * ratio
    channels = [motion.gaze] if motion.head is None else [motion.gaze, motion.head]
    values = np.concatenate(channels, axis=1).astype(np.float64)
    valid = motion.valid
    if valid.any():
        # Unwrapped so that the mean of +179° and -179° is not 0°.
        values[valid] = np.unwrap(values[valid], axis=0)
    if ratio >= 2:
        values, valid = _box_mean(values, valid, position, ratio)
    else:
        values, valid = _interpolate(values, valid, position, smooth)
    # Pitch never wraps; the other channels may have left [-π, π) while unwrapped.
    turning = [1, 3, 4][: 1 if motion.head is None else 3]
    values[:, turning] = wrap(values[:, turning])
    return motion.replace(
        gaze=values[:, :2],
        head=None if motion.head is None else values[:, 2:],
        valid=valid,
        fps=float(fps),
    )


def _box_mean(values, valid, position, ratio):
    edges = np.clip(
        np.ceil(np.append(position, position[-1] + ratio) - ratio / 2), 0, len(values)
    ).astype(int)
    lo, hi = edges[:-1], edges[1:]
    total = np.cumsum(np.where(valid[:, None], values, 0), axis=0)
    total = np.concatenate([np.zeros((1, values.shape[1])), total])
    count = np.concatenate([[0], np.cumsum(valid)])
    kept = count[hi] - count[lo]
    mean = (total[hi] - total[lo]) / np.maximum(kept, 1)[:, None]
    return mean, (kept > 0) & (2 * kept >= hi - lo)


def _interpolate(values, valid, position, smooth):
    left = np.floor(position + 1e-6).astype(int)
    right = np.minimum(np.ceil(position - 1e-6).astype(int), len(values) - 1)
    known = np.flatnonzero(valid)
    if smooth and len(known) > 1:
        curve = PchipInterpolator(known, values[known])
        out = curve(np.clip(position, known[0], known[-1]))
    elif len(known):
        out = np.stack(
            [
                np.interp(position, known, values[known, i])
                for i in range(values.shape[1])
            ],
            axis=-1,
        )
    else:
        out = np.zeros((len(position), values.shape[1]))
    return out, valid[left] & valid[right]
