"""One model under one gaze for hours, in a few numbers a minute.

Only a minute's heads are ever in memory.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from gazehead_jax.drift_features import (
    QUANTITIES,
    deviation,
    frechet,
    frechet_noise,
    mean,
    minute_features,
    minute_values,
    moments,
)
from gazehead_jax.driving_gaze import DrivingGaze
from gazehead_jax.errors import require
from gazehead_jax.motion import HEAD_CHANNELS, angles_to_vector

# (gaze [s, t, 2], valid [s, t]) -> heads [s, n, 3], chunk by chunk
Roll = Callable[[np.ndarray, np.ndarray], Iterator[np.ndarray]]

TOLERANCE = 0.1
ERRORS = 3.0
BLOCKS = 10
MIN_MINUTES = 3

# A head whose variance is a hundredth of what is usual, for minutes on end, is stuck.
STUCK_SHARE = 0.01
STUCK_MINUTES = 3
STUCK = np.deg2rad(0.05) ** 2
# No neck bends this far (pitch, roll), and no one looks that far off their nose for a
# minute.
LIMITS = np.deg2rad([85.0, 90.0])
ASTRAY = np.pi / 2

# Changes of a head that hardly moves are not blown up: half a degree is the least unit.
STILL = np.deg2rad(0.5)


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
    """What a model did under one gaze.

    Attributes:
      note: what the gaze was.
      reference: quantity → value in minute 1: `mean_A_deg`, `variance_A_deg2`,
        `jerk_deg_s3`, `correlation_A`; A is pitch, yaw or roll. NaN if undefined.
      minutes: `[m]` number of each later minute.
      change: quantity → `[m]` change against minute 1, in the units that `drift` tells.
      error: quantity → `[m]` its standard error.
      blocks: quantity → (change, what is certain of it) of each block of minutes.
      stuck, diverged: number of such samples.
      first_fault: minute in which the first of them was found, or None.
    """

    note: str
    reference: Mapping[str, float]
    minutes: list[int]
    change: Mapping[str, list[float]]
    error: Mapping[str, list[float]]
    blocks: Mapping[str, list[tuple[float, float]]]
    stuck: int
    diverged: int
    first_fault: int | None

    def worst(self, quantity: str) -> float:
        """The largest change of any block, with its sign; NaN if undefined."""
        changes = [c for c, _ in self.blocks[quantity] if math.isfinite(c)]
        return max(changes, key=abs, default=math.nan)

    def verdict(self, quantity: str) -> str:
        """ "steady", "unclear" or "drifts"; "–" where it is undefined."""
        if math.isnan(self.worst(quantity)):
            return "–"
        if any(certain > TOLERANCE for _, certain in self.blocks[quantity]):
            return "drifts"
        return "unclear" if abs(self.worst(quantity)) > TOLERANCE else "steady"

    @property
    def verdicts(self) -> dict[str, str]:
        return {quantity: self.verdict(quantity) for quantity in self.blocks}

    @property
    def holds(self) -> bool:
        """No quantity drifts and no sample is stuck or diverges."""
        return not (self.stuck or self.diverged or "drifts" in self.verdicts.values())


def follow(
    roll: Roll, gaze: DrivingGaze, fps: float, seconds: float | int, num_samples: int
) -> Curve:
    """Runs anything that turns gaze into heads along one gaze.

    Raises:
      GazeheadError: less than three minutes, or too few samples.
    """
    minutes = int(seconds // 60)
    require(
        minutes >= MIN_MINUTES,
        f"drift needs at least {MIN_MINUTES} minutes (one to settle, one as the "
        f"reference, one to compare), got {seconds:g} s.",
    )
    require(
        num_samples >= 4,
        f"drift compares samples with each other and needs at least 4, got "
        f"{num_samples}.",
    )
    length = round(60 * fps)
    driving, valid = gaze.rows(num_samples, minutes * length)
    record = _Record(gaze, fps, minutes, num_samples)
    heads, filled, minute = np.empty((num_samples, length, 3), np.float32), 0, 0
    for chunk in roll(driving, valid):
        while chunk.shape[1]:
            n = min(chunk.shape[1], length - filled)
            heads[:, filled : filled + n] = chunk[:, :n]
            chunk, filled = chunk[:, n:], filled + n
            if filled == length:
                now = slice(minute * length, (minute + 1) * length)
                record.add(minute, driving[:, now], valid[:, now], heads)
                filled, minute = 0, minute + 1
    return record.curve()


def block_minutes(minutes: int) -> int:
    """Minutes that are averaged before they are judged."""
    return -(-(minutes - 2) // BLOCKS)


class _Record:
    """Minute by minute, what is needed for a `Curve`."""

    def __init__(self, gaze: DrivingGaze, fps: float, minutes: int, samples: int):
        self.gaze, self.fps = gaze, fps
        self.per_block, self.last = block_minutes(minutes), minutes - 1
        self.needed = min(STUCK_MINUTES, minutes - 1)
        self.still = np.zeros(samples, int)
        self.stuck, self.diverged = np.zeros(samples, bool), np.zeros(samples, bool)
        self.first_fault = None
        self.minutes, self.change, self.error = [], [], []
        self.blocks, self.block = [], []

    def add(self, minute, gaze, valid, heads) -> None:
        finite = np.isfinite(heads).all((1, 2))
        heads = np.where(finite[:, None, None], heads, 0).astype(np.float64)
        self._faults(minute, gaze, valid, heads, finite)
        if minute == 0:
            return
        if minute == 1:
            # Yaw is counted from the mean direction then: ±180° must not lie within.
            yaw = heads[finite][..., 1]
            self.centre = float(np.arctan2(np.sin(yaw).sum(), np.cos(yaw).sum()))
        values = minute_values(gaze, valid, heads, self.centre)
        values[~finite] = np.nan
        features = minute_features(gaze, valid, heads, self.centre, self.fps)[finite]
        self._stillness(minute, values)
        if minute == 1:
            self._refer(values, features)
        else:
            self._compare(minute, values, features)

    def _faults(self, minute, gaze, valid, heads, finite) -> None:
        pitch, roll = np.abs(heads[..., 0]).max(1), np.abs(heads[..., 2]).max(1)
        gone = ~finite | (pitch > LIMITS[0]) | (roll > LIMITS[1])
        if self.gaze.reachable:
            few = slice(None, None, max(1, round(self.fps / 5)))
            gaze, valid, heads = gaze[:, few], valid[:, few], heads[:, few, :2]
            cosine = (angles_to_vector(gaze) * angles_to_vector(heads)).sum(-1)
            apart = np.where(valid, np.arccos(np.clip(cosine, -1, 1)), 0)
            gone |= apart.sum(1) > ASTRAY * np.maximum(valid.sum(1), 1)
        self.diverged |= gone
        self._note_fault(minute, gone)

    def _stillness(self, minute, values) -> None:
        variance = values[:, [3, 4]].sum(1)
        if minute == 1:
            known = variance[np.isfinite(variance)]
            usual = np.median(known) if len(known) else 0.0
            self.threshold = max(STUCK_SHARE * usual, STUCK if self.gaze.moves else 0.0)
        self.still = np.where(variance < self.threshold, self.still + 1, 0)
        stuck = (self.still >= self.needed) & ~self.diverged
        self.stuck |= stuck
        self._note_fault(minute, stuck)

    def _note_fault(self, minute, found) -> None:
        if found.any() and self.first_fault is None:
            self.first_fault = minute

    def _refer(self, values, features) -> None:
        self.values = values
        average = mean(values)
        variance = average[3:6]
        spread = np.sqrt(variance + deviation(values[:, :3]) ** 2)
        self.scale = np.concatenate(
            [
                np.maximum(spread, STILL),
                np.maximum(variance, STILL**2),
                [np.maximum(average[6], np.deg2rad(1e-4))],
                [1.0, 1.0],
            ]
        )
        self.mean = average + np.eye(len(average))[1] * self.centre
        flat = features.reshape(-1, features.shape[-1])
        spread = flat.std(0) if len(flat) else np.zeros(flat.shape[-1])
        self.unit = np.maximum(spread, STILL)
        self.reference = moments(features, self.unit)
        self.noise = frechet_noise(features, self.unit)

    def _compare(self, minute, values, features) -> None:
        self.minutes.append(minute)
        distance = frechet(self.reference, moments(features, self.unit))
        distance /= features.shape[-1]
        self.block.append((values, distance))
        change, error = self._change(values)
        self.change.append([*change, self._excess(distance, 1)])
        self.error.append([*error, math.sqrt(self.noise)])
        if len(self.block) == self.per_block or minute == self.last:
            block, distances = zip(*self.block, strict=True)
            change, error = self._change(np.mean(block, axis=0))
            certain = np.maximum(np.abs(change) - ERRORS * error, 0)
            distance = float(np.mean(distances))
            self.blocks.append(
                [
                    *zip(change, certain, strict=True),
                    (self._excess(distance, 1), self._excess(distance, ERRORS)),
                ]
            )
            self.block = []

    def _change(self, values):
        """Change and its standard error over samples, in the reference's scale."""
        difference = values - self.values
        count = np.maximum(np.isfinite(difference).sum(0), 1)
        error = deviation(difference) / np.sqrt(count)
        return mean(difference) / self.scale, error / self.scale

    def _excess(self, distance: float, times: float | int) -> float:
        """What of a Fréchet distance is not chance, as a share."""
        over = distance - times * self.noise
        return math.sqrt(max(over, 0)) if math.isfinite(over) else math.nan

    def curve(self) -> Curve:
        degrees = np.rad2deg(1.0)
        unit = [degrees] * 3 + [degrees**2] * 3 + [degrees * self.fps**3, 1, 1]
        names = [f"mean_{a}_deg" for a in HEAD_CHANNELS] + [
            f"variance_{a}_deg2" for a in HEAD_CHANNELS
        ]
        names += ["jerk_deg_s3", *QUANTITIES[7:]]
        columns = (*QUANTITIES, "frechet")
        by_name = lambda table: {
            q: [float(row[i]) for row in table] for i, q in enumerate(columns)
        }
        blocks = {
            q: [tuple(map(float, row[i])) for row in self.blocks]
            for i, q in enumerate(columns)
        }
        return Curve(
            note=self.gaze.note,
            reference=dict(zip(names, (self.mean * unit).tolist(), strict=True)),
            minutes=self.minutes,
            change=by_name(self.change),
            error=by_name(self.error),
            blocks=blocks,
            stuck=int(self.stuck.sum()),
            diverged=int(self.diverged.sum()),
            first_fault=self.first_fault,
        )
