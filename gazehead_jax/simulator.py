"""A seeded simulator of gaze and head whose true parameters are known.

It makes training data where none may be shared, and known answers for the metrics.
Gaze jumps between targets in saccades of the main sequence, rests, and sometimes
pursues. After a lag the head follows with minimum-jerk turns whose size is a soft
hinge of the size of the gaze shift, and catches up later in slower turns. Gaze stays
on its target while the head turns (the vestibulo-ocular reflex): eye-in-head is what
is left over, by true rotation, and never leaves the oculomotor range.

Everything that moves is a closed-form function of time, so a seed gives the same
movements at any frame rate; only sway and noise are drawn frame by frame.
"""

import dataclasses
import math

import numpy as np
from jaxtyping import Float
from scipy.signal import lfilter

from gazehead_jax.errors import require
from gazehead_jax.motion import Motion, gaze_in_camera, gaze_in_head
from gazehead_jax.simulator_parameters import (
    SimulatorParameters as SimulatorParameters,
)
from gazehead_jax.simulator_parameters import (
    sample_parameters as sample_parameters,
)


@dataclasses.dataclass(frozen=True, eq=False)
class GazeShifts:
    """What truly happened, one row a gaze shift (saccades only, no pursuit).

    Attributes:
      onset_s: `[shifts]`, when gaze leaves.
      duration_s: `[shifts]`, of the planned saccade.
      gaze_delta: `[shifts, 2]`, (pitch, yaw) change of gaze.
      head_onset_s: `[shifts]`, when the head leaves.
      head_delta: `[shifts, 2]`, (pitch, yaw) turn of the head that belongs to it.
    """

    onset_s: np.ndarray
    duration_s: np.ndarray
    gaze_delta: np.ndarray
    head_onset_s: np.ndarray
    head_delta: np.ndarray

    def __len__(self) -> int:
        return len(self.onset_s)

    @property
    def amplitude(self) -> np.ndarray:
        """`[shifts]` size of the gaze shifts, rad."""
        return np.hypot(*self.gaze_delta.T)

    @property
    def head_amplitude(self) -> np.ndarray:
        """`[shifts]` size of the head's turns, rad."""
        return np.hypot(*self.head_delta.T)


def simulate(
    seconds: float | int,
    fps: float | int = 25.0,
    *,
    seed: int = 0,
    parameters: SimulatorParameters | None = None,
    subject: str = "",
) -> Motion:
    """A person's gaze and head for `round(seconds · fps)` frames.

    `meta["simulator"]` holds the true parameters, `meta["seed"]` the seed and
    `meta["velocity_lag_s"]` the lag that `velocity_lag` finds; the onset lag is the
    parameter `head_lag_s`.

    Args:
      seconds: how long.
      fps: frames per second.
      seed: everything random follows from it.
      parameters: the person; the average one when left out.
      subject: name of the person.

    Raises:
      GazeheadError: fewer than one frame, or an fps that is not positive.
    """
    return simulate_with_shifts(
        seconds, fps, seed=seed, parameters=parameters, subject=subject
    )[0]


def simulate_with_shifts(
    seconds: float | int,
    fps: float | int = 25.0,
    *,
    seed: int = 0,
    parameters: SimulatorParameters | None = None,
    subject: str = "",
) -> tuple[Motion, GazeShifts]:
    """`simulate`, and the gaze shifts that were made."""
    p = SimulatorParameters() if parameters is None else parameters
    require(
        math.isfinite(fps) and fps > 0,
        f"simulator: fps must be a positive number, got {fps}.",
    )
    num_frames = round(seconds * fps) if math.isfinite(seconds) else 0
    require(
        num_frames >= 1,
        f"simulator: at least one frame is needed, got {seconds} s at {fps} fps.",
    )
    # A stream each: switching noise off leaves the movements as they are.
    movement, sway, blinks, noise = (
        np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(4)
    )
    plan = _Plan(num_frames, fps, p, movement)
    plan.run(seconds)
    shifts = plan.shifts()

    head = np.zeros((num_frames, 3)) + p.posture
    head[:, :2] = plan.head.angles()
    head[:, 2] += p.roll_coupling * (head[:, 1] - p.posture[1])
    head += _slow_noise(sway, num_frames, fps, p.sway_s, p.sway_std)
    gaze = _reachable_gaze(plan.gaze.angles(), head, p.eye_limit)

    valid = np.ones(num_frames, bool)
    lid = _blinks(blinks, num_frames, fps, p, valid)
    white = noise.standard_normal((num_frames, 5))
    gaze = gaze + p.gaze_noise * white[:, :2]
    gaze += _slow_noise(noise, num_frames, fps, p.bias_s, (p.gaze_bias,) * 2)
    head = head + p.head_noise * white[:, 2:]
    head += _slow_noise(noise, num_frames, fps, p.bias_s, (p.head_bias,) * 3)
    # A falling lid looks like a fall of gaze, and there is no gaze behind it.
    gaze[:, 0] -= lid * np.deg2rad(20)
    gaze[~valid] += noise.normal(0, np.deg2rad(8), (int((~valid).sum()), 2))
    gaze[:, 0] = np.clip(gaze[:, 0], -np.pi / 2, np.pi / 2)
    motion = Motion(
        gaze=gaze,
        head=head,
        fps=fps,
        valid=valid,
        source="simulator",
        subject=subject,
        meta={
            "simulator": p.to_dict(),
            "seed": int(seed),
            "velocity_lag_s": velocity_lag(shifts, p),
        },
    )
    return motion, shifts


def velocity_lag(shifts: GazeShifts, parameters: SimulatorParameters) -> float | None:
    """argmax over τ of corr(gaze velocity(t), head velocity(t + τ)), in yaw, seconds.

    The onset lag alone is not what a correlation of velocities finds: a turn of the
    head is fastest half a turn after its onset. From the shifts in closed form (a
    saccade counts as an impulse at its middle), in steps of 1 ms; None if no shift
    turned the head.
    """
    weight = shifts.gaze_delta[:, 1] * shifts.head_delta[:, 1]
    if not np.any(weight):
        return None
    turn = parameters.head_turn_s
    start = shifts.head_onset_s - shifts.onset_s - shifts.duration_s / 2
    lags = np.arange(start.min(), start.max() + turn, 1e-3)
    total = np.zeros_like(lags)
    for begin, w in zip(start, weight, strict=True):
        x = np.clip((lags - begin) / turn, 0, 1)
        total += w * (x * (1 - x)) ** 2
    return round(float(lags[np.argmax(total)]), 4)


def _min_jerk(x: np.ndarray) -> np.ndarray:
    """Progress 0 → 1 of a minimum-jerk movement at the share x of its time."""
    return x**3 * (10 - 15 * x + 6 * x**2)


class _Plan:
    """The planned gaze and the head's turns, event by event."""

    def __init__(self, num_frames, fps, parameters, rng):
        self.p, self.rng = parameters, rng
        self.gaze_now = self._next_target(np.array(parameters.gaze_mean))
        # Start at rest, aligned.
        posture = np.array(parameters.posture[:2])
        self.head_now = posture + parameters.alignment * (self.gaze_now - posture)
        self.gaze = _Track(num_frames, fps, self.gaze_now)
        self.head = _Track(num_frames, fps, self.head_now)
        self.rows = []

    def run(self, seconds):
        p, rng, now = self.p, self.rng, 0.0
        while True:
            rest = p.fixation_s * math.exp(p.fixation_spread * rng.standard_normal())
            self._catch_up(now, rest)
            now += max(rest, 0.12)
            if now >= seconds:
                return
            now += self._shift(now)
            # Drawn even if unused, so that parameters do not shift the draws.
            chance, length, sweep = (
                rng.random(),
                rng.uniform(0.8, 2),
                rng.normal(size=2),
            )
            if chance < p.pursuit:
                now += self._pursue(now, length, sweep)

    def shifts(self) -> GazeShifts:
        rows = np.array(self.rows, np.float64).reshape(-1, 7)
        return GazeShifts(rows[:, 0], rows[:, 1], rows[:, 2:4], rows[:, 4], rows[:, 5:])

    def _next_target(self, current):
        p, rng = self.p, self.rng
        mean, std = np.array(p.gaze_mean), np.array(p.gaze_std)
        draw, back = rng.standard_normal(2), rng.random() < p.look_back
        if back:
            return mean + p.look_back_std * draw
        r = p.gaze_persistence
        target = mean + r * (current - mean) + math.sqrt(1 - r**2) * std * draw
        return np.clip(target, [-1.2, -1.7], [1.2, 1.7])

    def _shift(self, onset) -> float:
        """A saccade to the next target and the head's turn with it; its duration."""
        p, rng = self.p, self.rng
        target = self._next_target(self.gaze_now)
        delta = target - self.gaze_now
        amplitude = math.hypot(*delta)
        duration = p.saccade_duration(amplitude)
        self.gaze.add(onset, duration, delta)
        self.gaze_now = target

        variation = max(1 + p.share_std * rng.standard_normal(), 0)
        lag = max(p.head_lag_s + p.head_lag_std_s * rng.standard_normal(), 0)
        share = variation * p.head_share(amplitude) / max(amplitude, 1e-9)
        turn = share * delta * [p.pitch_share, 1]
        # The least turn that keeps the eye comfortable in its socket.
        eye = target - (self.head_now + turn)
        turn = turn + eye - np.clip(eye, -np.array(p.eye_comfort), p.eye_comfort)
        self._turn(onset + lag, p.head_turn_s, turn)
        self.rows.append([onset, duration, *delta, onset + lag, *turn])
        return duration

    def _pursue(self, onset, length, sweep) -> float:
        """Gaze follows something smooth, and the head with it."""
        p = self.p
        delta = np.clip(
            np.array(p.gaze_mean) + sweep * p.gaze_std - self.gaze_now, -0.5, 0.5
        )
        self.gaze.add(onset, length, delta)
        self.gaze_now = self.gaze_now + delta
        self._turn(onset + p.head_lag_s, length, p.alignment * delta)
        return length

    def _catch_up(self, onset, rest):
        """In a long fixation the head slowly goes where it likes to be."""
        p, rng = self.p, self.rng
        share, wait, length = rng.uniform([0.3, 0.2, 0.8], [0.8, 0.5, 1.6])
        if rest < 0.6 or not p.alignment:
            return
        posture = np.array(p.posture[:2])
        liked = posture + p.alignment * (self.gaze_now - posture)
        self._turn(onset + wait, length, share * (liked - self.head_now))

    def _turn(self, onset, duration, delta):
        self.head.add(onset, duration, delta)
        self.head_now = self.head_now + delta


class _Track:
    """Angles `[time, 2]` as a start and a sum of minimum-jerk movements."""

    def __init__(self, num_frames, fps, start):
        self.fps = fps
        self.moving = np.zeros((num_frames, 2))
        # What is over by a frame, as steps: an hour of movements stays linear work.
        self.steps = np.zeros((num_frames, 2))
        self.steps[0] = start

    def add(self, onset, duration, delta):
        length = len(self.steps)
        first = min(math.ceil(onset * self.fps), length)
        last = min(math.ceil((onset + duration) * self.fps), length)
        x = (np.arange(first, last) / self.fps - onset) / duration
        self.moving[first:last] += _min_jerk(x)[:, None] * delta
        if last < length:
            self.steps[last] += delta

    def angles(self) -> np.ndarray:
        return np.cumsum(self.steps, axis=0) + self.moving


def _reachable_gaze(
    gaze: Float[np.ndarray, "t 2"], head: Float[np.ndarray, "t 3"], limit: float
) -> Float[np.ndarray, "t 2"]:
    """The planned gaze, held at the edge of the oculomotor range where it is beyond."""
    eye = gaze_in_head(gaze, head)
    away = np.hypot(eye[:, 0], eye[:, 1])
    beyond = away > limit
    # Elsewhere the plan itself, so that a fixation is still to the last bit.
    held = gaze.copy()
    held[beyond] = gaze_in_camera(
        eye[beyond] * (limit / away[beyond])[:, None], head[beyond]
    )
    return held


def _slow_noise(rng, num_frames, fps, time_constant, std):
    """Mean-reverting noise `[time, len(std)]` without corners: an Ornstein-Uhlenbeck
    process, twice smoothed over a tenth of its time constant."""
    std = np.asarray(std, np.float64)
    warm_up = math.ceil(5 * time_constant * fps)
    x = rng.standard_normal((warm_up + num_frames, len(std)))
    poles = [math.exp(-1 / (fps * tau * time_constant)) for tau in (1, 0.1, 0.1)]
    for a in poles:
        x = lfilter([1 - a], [1, -a], x, axis=0)
    # Divided by the standard deviation of the filter's impulse response.
    impulse = np.zeros(warm_up)
    impulse[0] = 1
    for a in poles:
        impulse = lfilter([1 - a], [1, -a], impulse)
    return x[warm_up:] / math.sqrt(np.sum(impulse**2)) * std


def _blinks(rng, num_frames, fps, p, valid):
    """How far the lid is down, `[time]` in 0..1; frames of a shut eye become invalid
    in `valid`, in place. The lid's way down and up shows as wrong but valid gaze."""
    lid = np.zeros(num_frames)
    time = np.arange(num_frames) / fps
    count = rng.poisson(p.blinks_per_s * num_frames / fps)
    middles = rng.uniform(0, num_frames / fps, count)
    lengths = p.blink_s * rng.uniform(0.5, 1.5, count)
    for middle, length in zip(middles, lengths, strict=True):
        half = 0.65 * length
        first = max(math.ceil((middle - half) * fps), 0)
        frames = slice(first, math.ceil((middle + half) * fps))
        x = (time[frames] - middle) / half
        lid[frames] = np.maximum(lid[frames], np.cos(np.pi * x / 2) ** 2)
        valid[frames] &= np.abs(x) * half > length / 2
    return lid
