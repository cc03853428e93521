"""Gaze to drive a model with for hours: recorded, made, at rest, extreme.

Every source is a loop of at most an hour, and many samples run through it at once, each
from a place of its own, so that in any minute they see all of it together. What a
recording happens to hold in one minute is then not taken for a change of the model.

Where two pieces meet gaze would jump. People blink when they look far away: the last
`JOINT_S` before a joint count as a blink.
"""

import dataclasses
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from gazehead_jax.errors import GazeheadError, require
from gazehead_jax.motion import Motion, resample, wrap
from gazehead_jax.simulator import sample_parameters, simulate

JOINT_S = 0.2
LONGEST_S = 3600.0
# The edge of what eyes and neck reach together without turning the body.
EDGE_DEG = (25.0, 75.0)
BEYOND_PITCH_DEG = 80.0

_UNITS = {"s": 1, "min": 60, "h": 3600}
_SACCADE_S = 0.05


def parse_duration(text: str) -> float:
    """Seconds of "90s", "10min", "1h".

    Raises:
      GazeheadError: another form, or not above zero.
    """
    match = re.fullmatch(r"\s*(-?\d+(?:\.\d+)?)\s*(s|min|h)\s*", text)
    seconds = float(match[1]) * _UNITS[match[2]] if match else 0.0
    require(
        seconds > 0,
        f"a duration must be a number above 0 and s, min or h, as in 90s, 10min or 1h, "
        f"got {text!r}.",
    )
    return seconds


@dataclasses.dataclass(frozen=True, eq=False)
class DrivingGaze:
    """A loop of gaze at the model's rate.

    Attributes:
      name, note: what it is, in a word and in a sentence.
      gaze: `[time, 2]` radians, one turn of the loop.
      valid: `[time]`.
      moves: whether a head that follows it must move.
      reachable: whether a head can follow it.
    """

    name: str
    note: str
    gaze: Float[np.ndarray, "t 2"]
    valid: Bool[np.ndarray, " t"]
    moves: bool = True
    reachable: bool = True

    def rows(
        self, num_rows: int, length: int
    ) -> tuple[Float[np.ndarray, "s n 2"], Bool[np.ndarray, "s n"]]:
        """`length` frames for each of `num_rows` samples, each from a place of its own
        in the loop, evenly spread. Views of one row: no memory of `num_rows` times it.
        """
        step = len(self.gaze) // num_rows
        total = length + step * (num_rows - 1)
        turns = -(-total // len(self.gaze))
        gaze = np.tile(self.gaze, (turns, 1))[:total]
        valid = np.tile(self.valid, turns)[:total]

        def view(x, shape, strides):
            return np.lib.stride_tricks.as_strided(x, shape, strides, writeable=False)

        (frame, axis), (mark,) = gaze.strides, valid.strides
        return (
            view(gaze, (num_rows, length, 2), (step * frame, frame, axis)),
            view(valid, (num_rows, length), (step * mark, mark)),
        )


def replayed(motions: Sequence[Motion], fps: float, seed: int = 0) -> DrivingGaze:
    """Recorded gaze, the sequences in random order until they make an hour.

    Raises:
      GazeheadError: there is no valid gaze at all.
    """
    order = np.random.default_rng(seed).permutation(len(motions))
    pieces = (motions[int(i)] for i in order)
    gaze, valid = _joined(pieces, fps)
    return DrivingGaze("replayed", "recorded gaze, joined behind blinks", gaze, valid)


def looped(driving: DrivingGaze, fps: float) -> DrivingGaze:
    """The first minute of a loop over and over: what changes is the model alone."""
    n = round(60 * fps)
    turns = -(-n // len(driving.gaze))
    gaze = np.tile(driving.gaze, (turns, 1))[:n]
    valid = np.tile(driving.valid, turns)[:n]
    valid[n - _frames(JOINT_S, fps) :] = False
    return DrivingGaze("looped", f"one minute of {driving.name} gaze", gaze, valid)


def synthetic(fps: float, seconds: float = LONGEST_S, seed: int = 0) -> DrivingGaze:
    """Gaze of simulated people, ten minutes each."""
    people = (
        simulate(
            min(600.0, seconds - start),
            fps,
            seed=seed + i,
            parameters=sample_parameters(np.random.default_rng((seed, i))),
        )
        for i, start in enumerate(np.arange(0, seconds, 600.0).tolist())
    )
    gaze, valid = _joined(people, fps)
    return DrivingGaze("synthetic", "gaze of simulated people", gaze, valid)


def conversational(folder: str | Path, fps: float) -> DrivingGaze:
    """Fixations of people in video calls: still gaze, and saccades between.

    Args:
      folder: with .npz files of `start` and `length` (samples of the eye tracker),
        `duration_ms`, `segment`, `x_deg` (to the viewer's right) and `y_deg` (up).
      fps: of the model.

    Raises:
      GazeheadError: no such files, or files without these fields.
    """
    files = sorted(Path(folder).glob("*.npz"))
    require(
        bool(files),
        f"{folder}: expected .npz files of fixations, found none.",
    )
    gaze, valid = _joined((m for file in files for m in _fixations(file, fps)), fps)
    note = "fixations of video calls, joined behind blinks"
    return DrivingGaze("conversational", note, gaze, valid)


def constant(fps: float) -> DrivingGaze:
    """A look straight into the camera."""
    return _held("constant", "straight into the camera", (0.0, 0.0), fps, True)


def saturated(fps: float) -> DrivingGaze:
    """A look that stays at the edge of what people reach."""
    pitch, yaw = EDGE_DEG
    note = f"held at the edge, {pitch:g}° up and {yaw:g}° to the side"
    return _held("saturated", note, EDGE_DEG, fps, True)


def out_of_range(fps: float) -> DrivingGaze:
    """Yaw round and round through ±180°, pitch up and down to 80°; one minute."""
    t = np.arange(round(60 * fps)) / fps
    pitch = np.deg2rad(BEYOND_PITCH_DEG) * np.sin(2 * np.pi * t / 15)
    gaze = np.stack([pitch, wrap(2 * np.pi * t / 20)], -1).astype(np.float32)
    return DrivingGaze(
        "out_of_range",
        f"yaw turns round and round, pitch swings to ±{BEYOND_PITCH_DEG:g}°",
        gaze,
        np.ones(len(gaze), bool),
        reachable=False,
    )


def _held(name, note, angles_deg, fps, reachable) -> DrivingGaze:
    n = round(60 * fps)
    gaze = np.tile(np.deg2rad(angles_deg), (n, 1)).astype(np.float32)
    return DrivingGaze(name, note, gaze, np.ones(n, bool), False, reachable)


def _joined(pieces: Iterable[Motion], fps: float):
    """Gaze and valid of pieces end to end, an hour at most; blinks at the joints."""
    blink, most = _frames(JOINT_S, fps), round(LONGEST_S * fps)
    gaze, valid, total = [], [], 0
    for piece in pieces:
        piece = resample(piece.replace(head=None), fps)
        shut = piece.valid.copy()
        shut[len(shut) - blink :] = False
        if not shut.any():
            continue
        gaze.append(piece.gaze)
        valid.append(shut)
        total += len(shut)
        if total >= most:
            break
    require(bool(gaze), "driving gaze: there is no valid gaze in what was given.")
    return np.concatenate(gaze)[:most], np.concatenate(valid)[:most]


def _frames(seconds: float, fps: float) -> int:
    return max(1, round(seconds * fps))


def _fixations(file: Path, fps: float) -> list[Motion]:
    """One motion for each uninterrupted segment of a file."""
    try:
        with np.load(file) as data:
            start, length, duration, segment, x, y = (
                np.asarray(data[k], np.float64)
                for k in ("start", "length", "duration_ms", "segment", "x_deg", "y_deg")
            )
    except (OSError, ValueError, KeyError) as error:
        raise GazeheadError(f"{file}: not a file of fixations ({error}).") from error
    rate = 1000 * length.sum() / duration.sum()
    parts = np.split(np.arange(len(segment)), np.flatnonzero(np.diff(segment) != 0) + 1)
    out = []
    for part in parts:
        begin = (start[part] - start[part[0]]) / rate
        end = begin + length[part] / rate
        n = int(end[-1] * fps)
        if n < 2:
            continue
        # A corner at each end of a fixation. Between two, gaze stays until a saccade
        # takes it over: pauses are longer than saccades.
        leave = np.clip(begin[1:] - _SACCADE_S, end[:-1], begin[1:])
        corners = np.append(np.stack([begin[:-1], leave], -1).ravel(), [begin[-1]])
        at = np.arange(n) / fps
        angles = [np.deg2rad(a[part]) for a in (y, x)]
        gaze = [
            np.interp(at, corners, np.append(np.repeat(a[:-1], 2), a[-1]))
            for a in angles
        ]
        out.append(Motion(np.stack(gaze, -1), None, fps, source=str(file)))
    return out
