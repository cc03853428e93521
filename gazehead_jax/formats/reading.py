"""What a format's reader hands over, and how that becomes a `Motion`."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from gazehead_jax import timing
from gazehead_jax.errors import require
from gazehead_jax.formats.repair import check_names, repaired
from gazehead_jax.motion import Motion, gaze_in_camera

UNITS = {"radians": 1.0, "degrees": np.pi / 180, "half-turns": np.pi}
# Eyes are shut when this much of the lid shapes is reached.
BLINK = 0.5


@dataclasses.dataclass(frozen=True)
class Options:
    """What a file does not tell about itself, or tells wrongly.

    Attributes:
      fps: frames per second of the recording; overrides the times in the file.
      units: one of `UNITS`: what its angles are in.
      face: which person, as the file's face column names them.
      gaze_frame: "camera" or "head": what its gaze angles are relative to.
      negate, swap: see `repair`.
    """

    fps: float | int | None = None
    units: str | None = None
    face: str | None = None
    gaze_frame: str | None = None
    negate: tuple[str, ...] = ()
    swap: tuple[str, ...] = ()

    def __post_init__(self):
        require(
            self.fps is None or 0 < self.fps < np.inf,
            f"the frame rate of the source must be positive, got {self.fps}.",
        )
        require(
            self.units is None or self.units in UNITS,
            f"units must be one of {', '.join(UNITS)}, got {self.units!r}.",
        )
        check_names(self.negate, self.swap, self.gaze_frame)

    def radians(self, usual: str) -> float:
        """What one unit of the file's angles is, where `usual` is the format's unit."""
        return UNITS[self.units or usual]


@dataclasses.dataclass(frozen=True, eq=False)
class Reading:
    """One person's rows of a file, in the project's convention but at their own times.

    Attributes:
      time_s: `[rows]` seconds, increasing.
      gaze: `[rows, 2]` (pitch, yaw) in radians; NaN where unknown.
      head: `[rows, 3]` (pitch, yaw, roll) in radians, camera frame; or None.
      valid: `[rows]` what the file says about each row.
      gaze_frame: "camera", or "head" for eye-in-head.
      notes: what was assumed or worked out, for the user to read.
      meta: further facts, JSON-able.
    """

    time_s: Float[np.ndarray, " n"]
    gaze: Float[np.ndarray, "n 2"]
    head: Float[np.ndarray, "n 3"] | None
    valid: Bool[np.ndarray, " n"]
    gaze_frame: str = "camera"
    notes: tuple[str, ...] = ()
    meta: Mapping = dataclasses.field(default_factory=dict)


def to_motion(
    path: Path, reading: Reading, format_name: str, options: Options
) -> Motion:
    """The motion of a reading: repaired, in the camera frame, at a uniform rate.

    Raises:
      GazeheadError: the times do not increase, no row is usable, eye-in-head without a
        head, or angles that cannot be radians.
    """
    # Before eyes in the head are turned with the head.
    gaze, head = repaired(reading.gaze, reading.head, options.negate, options.swap)
    if reading.gaze_frame == "head":
        require(
            head is not None,
            f"{path}: its gaze is relative to the head, and the file has no head; "
            "gaze in the camera frame cannot be known. Write the head's columns too.",
        )
        gaze = gaze_in_camera(gaze, head)
    angles = gaze if head is None else np.concatenate([gaze, head], axis=1)
    valid = reading.valid & np.isfinite(angles).all(-1)
    require(
        bool(valid.any()),
        f"{path}: none of its {len(valid)} rows has gaze"
        f"{'' if head is None else ' and head'} that was tracked.",
    )
    fps, angles, valid = uniform(path, reading.time_s, angles, valid)
    return Motion(
        gaze=angles[:, :2],
        head=None if head is None else angles[:, 2:],
        fps=fps,
        valid=valid,
        source=path.stem,
        meta={"format": format_name, **reading.meta, "notes": list(reading.notes)},
    )


def uniform(
    path: Path,
    time_s: Float[np.ndarray, " n"],
    angles: Float[np.ndarray, "n d"],
    valid: Bool[np.ndarray, " n"],
) -> tuple[float, Float[np.ndarray, "t d"], Bool[np.ndarray, " t"]]:
    """fps, angles and valid on a uniform time grid.

    Times that lie on a grid (rounded, or with frames left out) put each row at its
    frame; frames without a row are invalid. Other times (a camera whose rate varies)
    are interpolated between neighbours, and are valid where both are, less than 2.5
    usual steps apart.

    Raises:
      GazeheadError: fewer than two rows, or times that do not increase.
    """
    require(
        len(time_s) > 1,
        f"{path}: the frame rate is read off the times, which takes at least two rows, "
        f"got {len(time_s)}.",
    )
    step = np.diff(time_s)
    bad = np.flatnonzero(~(step > 0))
    require(
        not len(bad),
        f"{path}: times must be numbers and increase from row to row, got "
        + (
            f"{time_s[bad[0]]:.6g} s and then {time_s[bad[0] + 1]:.6g} s at rows "
            f"{bad[0] + 1} and {bad[0] + 2}"
            if len(bad)
            else ""
        )
        + "; are there several faces or two recordings in it?",
    )
    usual = float(np.median(step))
    frames = np.concatenate([[0.0], np.cumsum(np.maximum(1, np.round(step / usual)))])
    require(
        bool(frames[-1] < 20 * len(time_s) + 1000),
        f"{path}: its times jump: {len(time_s)} rows {usual:.3g} s apart span "
        f"{time_s[-1] - time_s[0]:.6g} s; cut it where the recording was stopped.",
    )
    # The median of rounded steps drifts away over a long file; the line through all
    # of them does not.
    slope, start = np.polyfit(frames, time_s - time_s[0], 1)
    off = np.abs(time_s - time_s[0] - start - slope * frames).max()
    span = float(time_s[-1] - time_s[0])
    # Times rounded to milliseconds are uniform enough.
    if off <= max(2e-3, 0.1 * usual):
        at = frames.astype(int)
        out = np.zeros((at[-1] + 1, angles.shape[1]))
        kept = np.zeros(len(out), bool)
        out[at], kept[at] = angles, valid
        return timing.near_whole(1 / slope, span), out, kept
    fps = timing.near_whole(1 / usual, span)
    return fps, *timing.uniform(time_s, angles, valid, fps)


def times(path: Path, given: np.ndarray | None, frames: np.ndarray, options: Options):
    """Seconds of the rows: `given`, unless the user named the rate of the source.

    Raises:
      GazeheadError: the file tells no time and no rate was named.
    """
    if options.fps is not None:
        return frames / options.fps
    require(
        given is not None,
        f"{path}: the file tells no times; name the frame rate of its video with "
        "--source-fps.",
    )
    return given
