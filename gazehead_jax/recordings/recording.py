"""From one eye-tracker recording to sequences: cut, re-timed, uniform, recentred."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from gazehead_jax.errors import require
from gazehead_jax.motion import Motion, gaze_in_camera, wrap

# Samples further apart than this have nothing known between them.
MAX_GAP_S = 0.1
# A blink is kept as invalid frames; a longer loss ends the sequence.
MAX_LOSS_S = 0.5
MIN_SECONDS = 3.0
MAX_SECONDS = 30.0
# Integrated angular velocity drifts: only short windows around their mean are kept.
MAX_DRIFTING_SECONDS = 10.0
MIN_VALID_SHARE = 0.5
# Furthest head or gaze yaw from the sequence's median head yaw: nothing wraps.
YAW_LIMIT = np.deg2rad(150)
# So near the vertical yaw and roll mean little.
STEEP = np.deg2rad(75)


class Rejected(Exception):
    """A recording that cannot be used although it is well formed; says why."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """A recording that was found but not read yet.

    Attributes:
      person: who was recorded, "<source>:<id>"; data are split by it.
      source: "<source>/<where in the copy>", unique.
      paths: the files it is read from.
      meta: what the reader must know beyond the files.
    """

    person: str
    source: str
    paths: tuple[Path, ...]
    meta: Mapping = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, eq=False)
class Recording:
    """Eye and head of one person as a tracker logged them, in this project's angles.

    Attributes:
      time: `[time]` seconds, increasing, of any spacing.
      head: `[time, 3]` radians, (pitch, yaw, roll) of `gazehead_jax.motion` seen by a
        camera that stands level before the person; yaw may turn without end; NaN where
        unknown.
      eye: `[time, 2]` radians, eye-in-head (pitch, yaw), as logged: late by `eye_lag_s`
        and off by a constant; NaN where unknown.
      valid: `[time]`, False where the eye was not tracked.
      person, source: as in `Entry`.
      fps: the uniform rate that suits the tracker, frames per second.
      eye_lag_s: the eye of time t is logged at t + eye_lag_s.
      drifts: the head is integrated angular velocity.
      meta: further facts, JSON-able.
    """

    time: Float[np.ndarray, " t"]
    head: Float[np.ndarray, "t 3"]
    eye: Float[np.ndarray, "t 2"]
    valid: Bool[np.ndarray, " t"]
    person: str
    source: str
    fps: float
    eye_lag_s: float = 0.0
    drifts: bool = False
    meta: Mapping = dataclasses.field(default_factory=dict)


def sequences(recording: Recording, fps: float | None = None) -> list[Motion]:
    """The sequences of a recording, at a uniform rate.

    The recording's median eye angles are subtracted (a headset sits a few degrees off).
    It is cut at gaps and long losses, brought to the frame rate with the eye taken at
    t + lag, and cut again so that no sequence is longer than 30 s (10 s if the head
    drifts) or turns further than 150° from its median heading. The world is turned
    about the vertical so that this median heading is yaw 0; a drifting head loses its
    mean in all angles. Gaze is head ∘ eye, by rotation. Frames with no eye, no head,
    or steeper than 75° are invalid.

    Args:
      recording: what to cut.
      fps: the rate of the sequences; the recording's own by default.

    Raises:
      GazeheadError: fps is not positive.
    """
    fps = recording.fps if fps is None else fps
    require(bool(np.isfinite(fps) and fps > 0), f"fps must be positive, got {fps}.")
    time, head, eye = recording.time, recording.head.copy(), recording.eye
    known = np.isfinite(head).all(-1)
    valid = recording.valid & known & np.isfinite(eye).all(-1)
    if not valid.any():
        return []
    head[known] = np.unwrap(head[known], axis=0)
    median = np.median(eye[valid], axis=0)
    eye = eye - median
    # What is integrated across an unknown stretch is another curve after it.
    broken = ~known if recording.drifts else np.zeros_like(known)
    seconds = MAX_DRIFTING_SECONDS if recording.drifts else MAX_SECONDS
    motions = []
    for lo, hi in _segments(time, valid, broken):
        part = slice(lo, hi)
        samples = time[part], head[part], known[part], eye[part], valid[part]
        windows = [samples]
        if recording.drifts:
            windows = _levelled(samples, seconds)
        for window in windows:
            motions += _motions(recording, window, fps, seconds)
    return [
        motion.replace(
            source=f"{recording.source}/{i:03d}",
            meta=motion.meta | {"eye_median_deg": np.rad2deg(median).round(3).tolist()},
        )
        for i, motion in enumerate(motions)
    ]


def _motions(recording, samples, fps, seconds):
    """The sequences of a gapless segment."""
    grid, head, eye, valid = _uniform(*samples, recording.eye_lag_s, fps)
    motions = []
    pieces = _pieces(head, eye, valid, round(seconds * fps), round(MIN_SECONDS * fps))
    for lo, hi in pieces:
        ok = valid[lo:hi]
        turned = head[lo:hi] - [0, np.median(head[lo:hi, 1][ok]), 0]
        turned[:, 1:] = wrap(turned[:, 1:])
        motions.append(
            Motion(
                gaze=gaze_in_camera(eye[lo:hi], turned),
                head=turned,
                valid=ok,
                fps=fps,
                subject=recording.person,
                meta={
                    **recording.meta,
                    "eye_lag_s": recording.eye_lag_s,
                    "start_s": round(float(grid[lo]), 3),
                },
            )
        )
    return motions


def _segments(time, valid, broken):
    """[lo, hi) that begin and end with a valid sample and have no gap inside."""
    known = np.flatnonzero(valid)
    gap = np.cumsum(np.append(False, np.diff(time) > MAX_GAP_S) | broken)
    ends = (np.diff(time[known]) > MAX_LOSS_S) | (np.diff(gap[known]) > 0)
    return [(s[0], s[-1] + 1) for s in np.split(known, np.flatnonzero(ends) + 1)]


def _levelled(samples, seconds):
    """Equal windows of at most `seconds`, each without its mean head."""
    time, head, *rest = samples
    parts = max(int(np.ceil((time[-1] - time[0]) / seconds)), 1)
    return [
        (t, h - h.mean(0), *others)
        for t, h, *others in zip(
            *(np.array_split(x, parts) for x in (time, head, *rest)), strict=True
        )
    ]


def _uniform(time, head, known, eye, valid, lag, fps):
    """Times, head, eye and validity of the uniform frames of a gapless segment."""
    count = int(np.floor(max(time[-1] - time[0] - lag, 0) * fps + 1e-6)) + 1
    grid = time[0] + np.arange(count) / fps
    head_out = _columns(grid, time[known], head[known])
    # A tracker slower than its log repeats itself: a line between updates is nearer
    # to the eye than stairs.
    update = valid & np.append(True, (np.diff(eye, axis=0) != 0).any(-1))
    knots = time[update]
    eye_out = _columns(grid + lag, knots, eye[update])
    left, right = _neighbours(knots, grid + lag)
    fresh = knots[right] - knots[left] <= MAX_GAP_S
    # A tracker that repeats itself to the end is not known to look there.
    fresh &= grid + lag <= knots[-1] + 1e-9
    ok = fresh & _both(time, valid, grid + lag) & _both(time, known, grid)
    gaze_pitch = gaze_in_camera(eye_out, head_out)[:, 0]
    ok &= (np.abs(head_out[:, 0]) < STEEP) & (np.abs(gaze_pitch) < STEEP)
    return grid, head_out, eye_out, ok


def _columns(at, time, values):
    return np.stack([np.interp(at, time, column) for column in values.T], axis=-1)


def _neighbours(time, at):
    """Indices of the samples on both sides of each moment; one sample if it is on it."""
    right = np.clip(np.searchsorted(time, at - 1e-9), 0, len(time) - 1)
    left = np.clip(np.searchsorted(time, at + 1e-9, "right") - 1, 0, None)
    return left, right


def _both(time, mask, at):
    """Whether the samples on both sides of each moment are in the mask."""
    left, right = _neighbours(time, at)
    return mask[left] & mask[right]


def _pieces(head, eye, valid, longest, shortest):
    """[lo, hi) that are short enough and turn little enough; halved until they are."""
    gaze_yaw = gaze_in_camera(eye, head)[:, 1]
    # The unwrapped gaze lies next to the unwrapped head.
    gaze_yaw = head[:, 1] + wrap(gaze_yaw - head[:, 1])

    def cut(lo, hi):
        inside = np.flatnonzero(valid[lo:hi])
        if len(inside) < max(MIN_VALID_SHARE * shortest, 1):
            return []
        lo, hi = lo + inside[0], lo + inside[-1] + 1
        parts = -(-(hi - lo) // longest)
        ok = valid[lo:hi]
        turn = head[lo:hi, 1] - np.median(head[lo:hi, 1][ok])
        gaze_turn = (gaze_yaw[lo:hi] - np.median(head[lo:hi, 1][ok]))[ok]
        if max(np.abs(turn).max(), np.abs(gaze_turn).max()) > YAW_LIMIT:
            parts = max(parts, 2)
        if parts > 1:
            edges = np.linspace(lo, hi, parts + 1).round().astype(int)
            return [
                p for a, b in zip(edges, edges[1:], strict=False) for p in cut(a, b)
            ]
        enough = hi - lo >= shortest and ok.mean() >= MIN_VALID_SHARE
        return [(lo, hi)] if enough else []

    return cut(0, len(head))
