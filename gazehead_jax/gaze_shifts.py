"""Gaze shifts: saccades, found in the gaze alone, and the head movement of each.

All angles are radians in the camera frame, so `gaze` is eye and head together.
"""

import dataclasses
from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Float, Int

from gazehead_jax.motion import Array, Motion, angles_to_vector
from gazehead_jax.sequence_arithmetic import runs, without_turns

# Velocity is taken over a fixed time, not a frame: differences of single frames at
# 120 fps are all noise.
_BASE_S = 0.04
_MIN_SPEED = np.deg2rad(30.0)
_NOISE_FACTOR = 6.0  # Engbert & Kliegl 2003
_MERGE_S = 0.05
MIN_AMPLITUDE = np.deg2rad(2.0)
# In natural tasks the head often starts before the eye (Vision Res 41:3307).
_HEAD_LEAD_S = 0.1
_HEAD_WINDOW_S = 1.0
_HEAD_MIN_WINDOW_S = 0.3
_HEAD_STILL = np.deg2rad(3.0)
_POSE_S = 0.1


@dataclasses.dataclass(frozen=True, eq=False)
class Shifts:
    """Gaze shifts and the head movement of each; n shifts, axes (pitch, yaw).

    Attributes:
      onset, offset: first and last frame of the gaze's movement.
      gaze: Δgaze, radians.
      head: Δhead from shortly before onset until the next shift or 1 s, radians.
      peak_speed: greatest head speed meanwhile, radians per second.
      settled: the head came to rest before the next shift; only such shifts show how
        far the head meant to go.
    """

    onset: Int[np.ndarray, " n"]
    offset: Int[np.ndarray, " n"]
    gaze: Float[np.ndarray, "n 2"]
    head: Float[np.ndarray, "n 2"]
    peak_speed: Float[np.ndarray, "n 2"]
    settled: Bool[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.onset)

    @classmethod
    def join(cls, parts: Iterable["Shifts"]) -> "Shifts":
        """The shifts of several sequences together."""
        parts = [*parts, cls.none()]
        return cls(
            *(
                np.concatenate([getattr(part, field.name) for part in parts])
                for field in dataclasses.fields(cls)
            )
        )

    @classmethod
    def none(cls) -> "Shifts":
        """No shift at all."""
        index, angle = np.zeros(0, int), np.zeros((0, 2))
        return cls(index, index, angle, angle, angle, np.zeros(0, bool))


def find_shifts(
    gaze: Float[Array, "t 2"],
    head: Float[Array, "t d"],
    valid: Bool[Array, " t"],
    fps: float,
) -> Shifts:
    """The gaze shifts of a sequence, found in the gaze alone, and their head movements.

    A shift is a stretch in which gaze is faster than 30°/s and than six times the
    noise of its speed (read off the median), from and to where it is a third of that,
    with gaps up to 50 ms closed; shifts under 2° are dropped. Good from 25 to 120 fps;
    slower gaze blurs neighbouring shifts.
    """
    gaze, head, valid = without_turns(gaze, head, valid)
    base = max(1, round(_BASE_S * fps))
    whole = runs(valid, base + 1)
    if not whole.any():
        return Shifts.none()
    speed = _speed(gaze, base, fps)
    # The median of a Rayleigh distribution is 1.18 standard deviations.
    noise = np.median(speed[whole]) / 1.1774
    peak_speed = max(_MIN_SPEED, _NOISE_FACTOR * noise)
    # A shift begins and ends at a lower speed than it takes to be one.
    moving = whole & (speed > peak_speed / 3)
    stretches = [
        (first, last)
        for first, last in _merged(_stretches(moving), round(_MERGE_S * fps), whole)
        if speed[first : last + 1].max() > peak_speed
    ]

    head = head[:, :2]
    head_velocity = (head[base:] - head[:-base]) * fps / base
    lead, window = round(_HEAD_LEAD_S * fps), round(_HEAD_WINDOW_S * fps)
    pose = max(1, round(_POSE_S * fps))
    still = max(_HEAD_STILL, 3 * _noise(head, valid) * np.sqrt(2 / pose) * fps / pose)
    found = []
    previous = 0
    for k, (first, last) in enumerate(stretches):
        onset, offset = first, last + base
        following = stretches[k + 1][0] if k + 1 < len(stretches) else len(valid) - 1
        # Gaze rests before and after: a few frames each, none of another shift.
        before = gaze[_back(valid, onset, max(previous, onset - pose + 1)) : onset + 1]
        end = _forward(valid, offset, max(offset, min(following, offset + pose - 1)))
        after = gaze[offset : end + 1]
        turn = np.median(after, axis=0) - np.median(before, axis=0)
        start = _back(valid, onset, max(previous, onset - lead))
        stop = _forward(valid, offset, max(offset, min(following, onset + window)))
        previous = offset
        if np.linalg.norm(turn) < MIN_AMPLITUDE:
            continue
        # Velocity i is that of frames i to i + base.
        velocity = head_velocity[start : stop - base + 1]
        # The head's pose at the end is the mean of a few frames, and it rests if the
        # pose just before is the same.
        enough = stop - offset >= max(_HEAD_MIN_WINDOW_S * fps, 2 * pose - 1)
        middle = stop + 1 - pose if enough else stop
        end_pose = head[middle : stop + 1].mean(0)
        drift = np.linalg.norm(end_pose - head[max(0, middle - pose) : middle].mean(0))
        peak = np.linalg.norm(velocity, axis=-1).max()
        found.append(
            (
                onset,
                offset,
                turn,
                end_pose - head[start],
                np.abs(velocity).max(0),
                enough and drift * fps / pose <= max(0.1 * peak, still),
            )
        )
    if not found:
        return Shifts.none()
    return Shifts(*(np.array(column) for column in zip(*found, strict=True)))


def shifts_of(motions: Iterable[Motion]) -> Shifts:
    """The shifts of several motions together, see `find_shifts`."""
    return Shifts.join(
        find_shifts(m.gaze, m.require_head(), m.valid, m.fps) for m in motions
    )


def _noise(angles: np.ndarray, valid: np.ndarray) -> float:
    """Standard deviation of frame noise, from the median second difference."""
    second = np.diff(angles, n=2, axis=0)[runs(valid, 3)]
    if not len(second):
        return 0.0
    return float(1.4826 * np.median(np.abs(second)) / np.sqrt(6))


def _speed(angles: np.ndarray, base: int, fps: float) -> np.ndarray:
    """`[t - base]` angular speed of a direction between frames i and i + base."""
    a, b = angles_to_vector(angles[:-base]), angles_to_vector(angles[base:])
    angle = np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), (a * b).sum(-1))
    return angle * fps / base


def _stretches(flags: np.ndarray) -> list[tuple[int, int]]:
    """First and last index of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))
    return [(int(a), int(b) - 1) for a, b in edges.reshape(-1, 2)]


def _merged(stretches, gap: int, whole: np.ndarray) -> list[tuple[int, int]]:
    out: list[tuple[int, int]] = []
    for first, last in stretches:
        if out and first - out[-1][1] - 1 <= gap and whole[out[-1][1] : first].all():
            out[-1] = (out[-1][0], last)
        else:
            out.append((first, last))
    return out


def _back(valid: np.ndarray, frame: int, least: int) -> int:
    """The earliest frame ≥ least from which all are valid up to `frame`."""
    bad = np.flatnonzero(~valid[least:frame])
    return least + int(bad[-1]) + 1 if len(bad) else least


def _forward(valid: np.ndarray, frame: int, most: int) -> int:
    bad = np.flatnonzero(~valid[frame : most + 1])
    return frame + int(bad[0]) - 1 if len(bad) else most
