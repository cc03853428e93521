"""The person that the simulator plays: every number, where it comes from, and people
drawn at random.

Sources of the numbers:
  main sequence and head lag: J-STAGE jibi 24:559 (292°/s at 10°, 398°/s at 20°; 139 ms
    at 10° to 50 ms at 40°; head speed proportional to angle);
  oculomotor range: Guitton & Volle 1987;
  head share: Stahl 1999, Freedman 2008, Hu 2026 (arXiv 2602.06164);
  how much of gaze the head carries in conversation: Stiefelhagen & Zhu 2002.
"""

import dataclasses
import math
from collections.abc import Mapping

import numpy as np

from gazehead_jax.errors import require

_DEG = math.pi / 180
# Peak over mean speed of a minimum-jerk movement.
MIN_JERK_PEAK = 1.875


@dataclasses.dataclass(frozen=True, kw_only=True)
class SimulatorParameters:
    """One person. Angles are radians, times seconds, pairs (pitch, yaw), triples
    (pitch, yaw, roll).

    Attributes:
      fixation_s: median time on a target; log-normal with spread `fixation_spread`.
      gaze_mean, gaze_std: where targets lie, a first-order mean-reverting sequence
        with correlation `gaze_persistence` between successive targets.
      look_back: chance that the next target is `gaze_mean` itself (the partner or the
        camera) up to `look_back_std`.
      pursuit: chance that a fixation is followed by a smooth pursuit.
      saccade_speed, saccade_scale: main sequence, peak speed = saccade_speed ·
        (1 - exp(-amplitude / saccade_scale)).
      head_lag_s: onset of the head's turn after the onset of gaze; each turn varies by
        `head_lag_std_s`.
      head_turn_s: duration of a turn. It does not depend on its size, hence peak head
        speed is 1.875 · size / head_turn_s.
      theta0, slope, hinge_width: head share curve, size of turn = slope · softplus of
        (amplitude - theta0) over hinge_width. Small theta0 and large slope make a
        head-mover, the reverse an eye-mover.
      share_std: relative variation of the turns' sizes.
      pitch_share: how much of the share curve holds in pitch.
      posture: where the head rests.
      alignment: share of (gaze - posture) that the head takes in the end, by catch-up
        turns during long fixations; 0 switches catch-up off.
      eye_comfort: (up or down, sideways), beyond which the head turns further at once.
      eye_limit: the oculomotor range; gaze waits there for the head.
      roll_coupling: head roll per head yaw.
      sway_std, sway_s: idle sway, its size and its time constant.
      blinks_per_s, blink_s: rate and mean duration of blinks, which are invalid frames.
      gaze_noise, head_noise: white noise of the estimator, per frame.
      gaze_bias, head_bias, bias_s: slow bias of the estimator, its time constant.

    Raises:
      GazeheadError: a number is not finite, or out of its range.
    """

    fixation_s: float = 0.9
    fixation_spread: float = 0.6
    gaze_mean: tuple[float, float] = (0.0, 0.0)
    gaze_std: tuple[float, float] = (6 * _DEG, 14 * _DEG)
    gaze_persistence: float = 0.3
    look_back: float = 0.35
    look_back_std: float = 1.5 * _DEG
    pursuit: float = 0.06
    saccade_speed: float = 458 * _DEG
    saccade_scale: float = 9.87 * _DEG
    head_lag_s: float = 0.09
    head_lag_std_s: float = 0.015
    head_turn_s: float = 0.55
    theta0: float = 15 * _DEG
    slope: float = 0.77
    hinge_width: float = 3 * _DEG
    share_std: float = 0.15
    pitch_share: float = 0.7
    posture: tuple[float, float, float] = (0.0, 0.0, 0.0)
    alignment: float = 0.6
    eye_comfort: tuple[float, float] = (20 * _DEG, 35 * _DEG)
    eye_limit: float = 50 * _DEG
    roll_coupling: float = -0.08
    sway_std: tuple[float, float, float] = (1.3 * _DEG, 1.6 * _DEG, 1.2 * _DEG)
    sway_s: float = 3.0
    blinks_per_s: float = 0.28
    blink_s: float = 0.16
    gaze_noise: float = 0.8 * _DEG
    head_noise: float = 0.15 * _DEG
    gaze_bias: float = 1.5 * _DEG
    head_bias: float = 0.5 * _DEG
    bias_s: float = 15.0

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            numbers = np.asarray(value, np.float64)
            require(
                bool(np.isfinite(numbers).all()),
                f"simulator: {field.name} must be finite, got {value}.",
            )
            free = field.name in ("gaze_mean", "posture", "roll_coupling")
            require(
                free or bool((numbers >= 0).all()),
                f"simulator: {field.name} must not be negative, got {value}.",
            )
            # NumPy scalars become plain floats, for JSON.
            plain = tuple(numbers.tolist()) if numbers.ndim else float(numbers)
            object.__setattr__(self, field.name, plain)
        for name in (
            "fixation_s saccade_speed saccade_scale head_turn_s hinge_width sway_s "
            "blink_s bias_s eye_limit"
        ).split():
            require(
                getattr(self, name) > 0,
                f"simulator: {name} must be positive, got {getattr(self, name)}.",
            )
        for name in ("gaze_persistence", "look_back", "pursuit", "alignment"):
            require(
                getattr(self, name) <= 1,
                f"simulator: {name} must be in [0, 1], got {getattr(self, name)}.",
            )

    def clean(self) -> "SimulatorParameters":
        """The same person seen by a perfect estimator: no noise, bias or blink."""
        return dataclasses.replace(
            self,
            blinks_per_s=0.0,
            gaze_noise=0.0,
            head_noise=0.0,
            gaze_bias=0.0,
            head_bias=0.0,
        )

    def to_dict(self) -> dict:
        """JSON-able, for a motion's meta."""
        values = dataclasses.asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping) -> "SimulatorParameters":
        """The person of a motion's `meta["simulator"]`."""
        return cls(
            **{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        )

    def saccade_peak_speed(self, amplitude: float) -> float:
        """Peak speed, rad/s, of a gaze shift of `amplitude` rad."""
        return self.saccade_speed * -math.expm1(-amplitude / self.saccade_scale)

    def saccade_duration(self, amplitude: float) -> float:
        """Seconds that a minimum-jerk saccade with that peak speed takes."""
        # The limit for small amplitudes keeps 0/0 away.
        amplitude = max(amplitude, 1e-6)
        return MIN_JERK_PEAK * amplitude / self.saccade_peak_speed(amplitude)

    def head_share(self, amplitude: float) -> float:
        """Size, rad, of the head's turn in a gaze shift of `amplitude` rad, without
        its variation: the soft hinge."""

        def soft(x):
            return self.hinge_width * np.logaddexp(0, x / self.hinge_width)

        # Nothing for nothing: the softplus alone is not quite 0 at 0.
        return float(self.slope * (soft(amplitude - self.theta0) - soft(-self.theta0)))


def sample_parameters(rng: np.random.Generator) -> SimulatorParameters:
    """A person at random: the eye-mover to head-mover spectrum and everything else
    that differs between people, at talking-head ranges."""
    trait = rng.standard_normal()  # + is a head-mover.
    default = SimulatorParameters()

    def log_normal(median: float, spread: float) -> float:
        return float(median * np.exp(spread * np.clip(rng.standard_normal(), -2, 2)))

    def normal(*std_deg: float) -> tuple[float, ...]:
        draw = np.clip(rng.standard_normal(len(std_deg)), -2, 2)
        return tuple(float(x) for x in draw * np.deg2rad(std_deg))

    gaze_scale = log_normal(1.0, 0.25)
    sway_scale = log_normal(1.0, 0.35)
    return SimulatorParameters(
        fixation_s=log_normal(default.fixation_s, 0.3),
        gaze_mean=normal(2.5, 3.0),
        gaze_std=tuple(gaze_scale * x for x in default.gaze_std),
        gaze_persistence=rng.uniform(0.1, 0.5),
        look_back=rng.uniform(0.2, 0.55),
        pursuit=rng.uniform(0.02, 0.1),
        head_lag_s=rng.uniform(0.05, 0.139),
        head_turn_s=log_normal(default.head_turn_s, 0.15),
        theta0=np.clip(default.theta0 * np.exp(-0.5 * trait), 3 * _DEG, 38 * _DEG),
        slope=np.clip(0.77 + 0.1 * trait + 0.06 * rng.standard_normal(), 0.4, 1),
        pitch_share=rng.uniform(0.5, 0.9),
        posture=normal(5.0, 6.0, 2.5),
        alignment=np.clip(0.6 + 0.12 * trait + 0.06 * rng.standard_normal(), 0.2, 0.9),
        roll_coupling=rng.normal(-0.08, 0.06),
        sway_std=tuple(sway_scale * x for x in default.sway_std),
        blinks_per_s=log_normal(default.blinks_per_s, 0.4),
        gaze_noise=log_normal(default.gaze_noise, 0.2),
    )
