"""Do a motion's numbers make sense? Signs, ranges, swapped axes, frame of the gaze.

The bounds below were set on sequences known to be right: the shipped faces and
eye-tracker recordings, simulated people (60 s) and 80 VR recordings; and once more on 24
other face clips, of which too many sounded wrong at first: people who look into the
camera move their gaze less than the head, and four seconds are too short. Then they were
tried on 159 other VR recordings, 60 other simulated people and 199 sequences of SGaze.
Not one of the 657 right sequences gives a finding. Deliberate errors do, in % of the
sequences:

                                    eye tracker  simulated  VR     VR   simulated  SGaze
    error                  faces 15          60         60  80  new 159    new 60    199
    gaze or head yaw negated      0          85         50 100       99        52     87
    gaze or head pitch negated    0          95         20  96       97        18     46
    pitch and yaw swapped         7          75         53 100       99        60     79
    eyes in head as gaze         47          80         73  92       92        80     44
    radians as degrees, both     80         100        100  55       53       100     67
    radians as degrees, gaze     80         100        100 100      100       100     75
    degrees as radians          100         100        100 100      100       100    100

(the last one is refused by `Motion` itself). Errors of sign and axis can be told only
where gaze and head go together, which they hardly do in who keeps looking into the
camera; then the check says that it cannot tell, as of 7 of 15 faces. An error made to
gaze and head alike is a mirror image, and is not found.
"""

import dataclasses

import numpy as np

from gazehead_jax.motion import Motion
from gazehead_jax.sequence_arithmetic import runs, unwrap_turns

OK, SUSPICIOUS, WRONG = "ok", "suspicious", "wrong"

# Eyes turn 50° at most, and 95 % of true frames stay within 8° to 48°.
EYE_SUSPICIOUS, EYE_WRONG = np.deg2rad(55.0), np.deg2rad(65.0)
# Necks pitch up to 70° or so and roll up to 50°; yaw is free, as bodies turn.
HEAD_PITCH, HEAD_ROLL = np.deg2rad(80.0), np.deg2rad(60.0)
# Fastest true head: 402°/s.
HEAD_SPEED = np.deg2rad(1000.0)
# Spread (standard deviation over both axes) of true gaze is at least 2.1°; of true heads
# .69°, and .021 of that of gaze.
GAZE_STILL, HEAD_STILL = np.deg2rad(0.9), np.deg2rad(0.25)
HEAD_PART, GAZE_PART = 0.018, 0.04

# Relations are judged where the head moves at all, over a fixed time.
_BASE_S = 0.2
_LEAST_SPREAD = np.deg2rad([2.5, 4.0])  # pitch, yaw
_LEAST_STEP = np.deg2rad(1.0)
_LEAST_STEPS = 60
_LEAST_S = 7.0
# Who keeps looking at one place while the head moves has gaze that hardly moves, and its
# errors alone go with the head: signs and axes are not judged then. (Gaze spreads .84 to
# 2.6 times as far as the head in eye-tracker recordings, .4 times in many a talking face.)
_GAZE_OVER_HEAD = 0.8
# Correlation of gaze and head along an axis: true ones are above -.48.
_SIGN_SUSPICIOUS, _SIGN_WRONG = -0.55, -0.7
# Correlations across the axes (gaze pitch with head yaw and the reverse) over those along.
_CROSS_ONE, _CROSS_SUM = 0.66, 0.9
_CROSS_SUSPICIOUS, _CROSS_WRONG = 0.35, 0.8
_ALONG_LEAST = -0.6  # below, it is signs rather than axes
# Change of gaze per change of head. Gaze in the camera frame rests while the head turns
# (0, the vestibulo-ocular reflex) or goes along; eyes in the head counter-rotate (-1).
# True slopes are above -.27.
_SLOPE_SUSPICIOUS, _SLOPE_WRONG = -0.35, -0.6
_SLOPE_SPREAD = np.deg2rad(4.0)


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
      severity: "ok", "suspicious" or "wrong".
      what: was looked at.
      got: what was found.
      expected: what a right file has.
      advice: what to do; empty if nothing.
    """

    severity: str
    what: str
    got: str
    expected: str
    advice: str = ""

    def __str__(self) -> str:
        text = (
            f"{self.severity:>10}  {self.what}: {self.got} (expected {self.expected})"
        )
        return f"{text}. {self.advice}" if self.advice else text


def check(motion: Motion) -> list[Finding]:
    """What is right and wrong with a motion's numbers, one finding per check.

    `any(f.severity == "wrong" for f in check(motion))` is what
    `gazehead convert --check` exits with 2 for.
    """
    findings = [_frames(motion), _rate(motion)]
    if motion.valid.sum() < 2:
        return findings
    gaze, head = _unwrapped(motion)
    findings += [_moves("gaze", gaze, motion.valid)]
    if head is None:
        return findings
    findings += [_moves("head", head, motion.valid)]
    if motion.valid.sum() >= _LEAST_S * motion.fps:
        # Anyone may hold still for a moment.
        findings += [_scale(gaze[motion.valid], head[motion.valid])]
    relation = _relation(gaze, head, motion)
    findings += [_eye_range(motion, relation), _head_range(head[motion.valid])]
    findings += [_head_speed(head, motion), relation]
    return findings


def _unwrapped(motion: Motion) -> tuple[np.ndarray, np.ndarray | None]:
    gaze = unwrap_turns(motion.gaze.astype(np.float64), motion.valid)
    if motion.head is None:
        return gaze, None
    return gaze, unwrap_turns(motion.head.astype(np.float64), motion.valid)


def _graded(value, suspicious, wrong) -> str:
    """The severity of a value that grows worse upwards."""
    return WRONG if value > wrong else SUSPICIOUS if value > suspicious else OK


def _frames(motion: Motion) -> Finding:
    part = float(motion.valid.mean())
    severity = WRONG if motion.valid.sum() < 2 else SUSPICIOUS if part < 0.5 else OK
    return Finding(
        severity,
        "frames",
        f"{part:.0%} of {len(motion)} are valid",
        "at least half",
        "" if severity == OK else "the tracker lost the face; use another recording",
    )


def _rate(motion: Motion) -> Finding:
    severity = OK if 4 <= motion.fps <= 500 else SUSPICIOUS
    advice = "" if severity == OK else "name the rate of the source with --source-fps"
    return Finding(
        severity, "frame rate", f"{motion.fps:g} fps", "4 to 500 fps", advice
    )


def _moves(part: str, angles: np.ndarray, valid: np.ndarray) -> Finding:
    names = ("pitch", "yaw", "roll")[: angles.shape[1]]
    still = [n for n, x in zip(names, angles[valid].T, strict=True) if np.ptp(x) < 1e-6]
    # Some sources have no roll; a clip of one gaze has no change at all.
    severity = SUSPICIOUS if {"pitch", "yaw"} & set(still) else OK
    got = f"{', '.join(still)} never change{'s' if len(still) == 1 else ''}"
    return Finding(
        severity,
        f"{part} channels",
        got if still else "all change",
        "all change",
        "" if severity == OK else "is the column filled in?",
    )


def _scale(gaze: np.ndarray, head: np.ndarray) -> Finding:
    g, h = (float(np.hypot(*x[:, :2].std(0))) for x in (gaze, head))
    small = [
        name
        for name, size, least in (
            ("gaze", g, max(GAZE_STILL, GAZE_PART * h)),
            ("head", h, max(HEAD_STILL, HEAD_PART * g)),
        )
        if size < least
    ]
    return Finding(
        SUSPICIOUS if small else OK,
        "scale",
        f"gaze spreads {np.rad2deg(g):.2g}° and head {np.rad2deg(h):.2g}°",
        f"at least {np.rad2deg(GAZE_STILL):.2g}° and {np.rad2deg(HEAD_STILL):.2g}°, and "
        "not a fiftieth of each other",
        f"{' and '.join(small)} may be radians in columns of degrees: --units radians "
        "reads both as such"
        if small
        else "",
    )


def _eye_range(motion: Motion, relation: Finding) -> Finding:
    reach = _reach(motion.gaze_in_head[motion.valid])
    severity = _graded(reach, EYE_SUSPICIOUS, EYE_WRONG)
    advice = "gaze and head are not of one frame, sign or unit"
    if relation.severity != OK:
        advice += f"; see {relation.what}"
    elif _reach(motion.gaze[motion.valid]) < EYE_SUSPICIOUS:
        advice += "; its gaze would do as eyes in the head: --gaze-frame head"
    return Finding(
        severity,
        "eye in head",
        f"95 % within {np.rad2deg(reach):.0f}°",
        f"within {np.rad2deg(EYE_SUSPICIOUS):.0f}°",
        "" if severity == OK else advice,
    )


def _reach(angles: np.ndarray) -> float:
    """How far from straight ahead 95 % of directions (pitch, yaw) stay, radians."""
    away = np.arccos(np.clip(np.cos(angles[:, 0]) * np.cos(angles[:, 1]), -1, 1))
    return float(np.percentile(away, 95))


def _head_range(head: np.ndarray) -> Finding:
    pitch, roll = (float(np.percentile(np.abs(head[:, i]), 95)) for i in (0, 2))
    wide = [
        name
        for name, got, most in (("pitch", pitch, HEAD_PITCH), ("roll", roll, HEAD_ROLL))
        if got > most
    ]
    return Finding(
        SUSPICIOUS if wide else OK,
        "head range",
        f"95 % within {np.rad2deg(pitch):.0f}° of pitch and {np.rad2deg(roll):.0f}° of "
        "roll",
        f"within {np.rad2deg(HEAD_PITCH):.0f}° and {np.rad2deg(HEAD_ROLL):.0f}°",
        "the head's axes may be swapped (--swap head) or its unit another (--units)"
        if wide
        else "",
    )


def _head_speed(head: np.ndarray, motion: Motion) -> Finding:
    change = _changes(head, motion, 0.1)
    fastest = float(np.abs(change).max()) / 0.1 if len(change) else 0.0
    severity = SUSPICIOUS if fastest > HEAD_SPEED else OK
    return Finding(
        severity,
        "head speed",
        f"up to {np.rad2deg(fastest):.0f}°/s",
        f"below {np.rad2deg(HEAD_SPEED):.0f}°/s",
        "" if severity == OK else "the track jumps; mark such frames invalid",
    )


def _changes(angles: np.ndarray, motion: Motion, base_s: float) -> np.ndarray:
    """Changes over about `base_s`, scaled to it, across valid frames only."""
    base = max(1, round(base_s * motion.fps))
    whole = runs(motion.valid, base + 1)
    if not whole.any():
        return np.zeros((0, angles.shape[1]))
    return (angles[base:] - angles[:-base])[whole] * (base_s * motion.fps / base)


def _relation(gaze: np.ndarray, head: np.ndarray, motion: Motion) -> Finding:
    """Sign, axes and frame of gaze against head: the likeliest error, if any."""
    what, head = "gaze against head", head[:, :2]
    known_head = head[motion.valid]
    change = _changes(np.concatenate([gaze, head], 1), motion, _BASE_S)
    turns = np.abs(change[:, 2:])
    # The faster half of the head's changes along each axis.
    moving = (
        turns > np.maximum(_LEAST_STEP, np.median(turns, 0)) if len(turns) else turns
    )
    spread = known_head.std(0)
    if (
        (spread < _LEAST_SPREAD).all()
        or moving.sum() < _LEAST_STEPS
        or motion.valid.sum() < _LEAST_S * motion.fps
    ):
        return Finding(
            OK,
            what,
            f"the head moves too little or too briefly to tell "
            f"({np.rad2deg(spread[0]):.1f}° of pitch, {np.rad2deg(spread[1]):.1f}° of "
            f"yaw, {motion.duration_s:.0f} s)",
            "a head that turns with gaze",
        )
    with np.errstate(invalid="ignore", divide="ignore"):
        r = np.nan_to_num(np.corrcoef(gaze[motion.valid].T, known_head.T)[:2, 2:])
    slope = _weighted_median(
        change[:, :2][moving] / change[:, 2:][moving], turns[moving]
    )
    got = f"r = {r[0, 0]:.2f} in pitch and {r[1, 1]:.2f} in yaw, slope {slope:.2f}"
    expected = "r > -.55, slope > -.35"

    across, along = r[0, 1] + r[1, 0], r[0, 0] + r[1, 1]
    looks = gaze[motion.valid].std(0)
    around = np.hypot(*looks) >= _GAZE_OVER_HEAD * np.hypot(*spread)
    crossed = max(r[0, 1], r[1, 0]) > _CROSS_ONE or (
        across > _CROSS_SUM and along > _ALONG_LEAST
    )
    if around and crossed and across - along > _CROSS_SUSPICIOUS:
        severity = _graded(across - along, _CROSS_SUSPICIOUS, _CROSS_WRONG)
        likely = _steepness(gaze[motion.valid]) > _steepness(known_head)
        first, second = ("gaze", "head") if likely else ("head", "gaze")
        return Finding(
            severity,
            what,
            f"pitch of one goes with yaw of the other (r = {r[0, 1]:.2f} and "
            f"{r[1, 0]:.2f}; along the axes {r[0, 0]:.2f} and {r[1, 1]:.2f})",
            "pitch with pitch and yaw with yaw",
            f"pitch and yaw are swapped in one of them: --swap {first}, or less likely "
            f"--swap {second}",
        )
    told = (spread >= _LEAST_SPREAD) & (looks >= _GAZE_OVER_HEAD * spread)
    bad = [i for i in (0, 1) if told[i] and r[i, i] < _SIGN_SUSPICIOUS]
    if bad:
        axis = " and ".join(("pitch", "yaw")[i] for i in bad)
        severity = _graded(max(-r[i, i] for i in bad), -_SIGN_SUSPICIOUS, -_SIGN_WRONG)
        either = " or ".join(
            " ".join(f"--negate {part}_{('pitch', 'yaw')[i]}" for i in bad)
            for part in ("gaze", "head")
        )
        return Finding(
            severity,
            what,
            got,
            expected,
            f"gaze and head have opposite signs in {axis}: {either}, whichever is "
            "against the source's documentation",
        )
    severity = OK
    if spread.max() > _SLOPE_SPREAD:
        severity = _graded(-slope, -_SLOPE_SUSPICIOUS, -_SLOPE_WRONG)
    advice = (
        ""
        if severity == OK
        else ("gaze turns against the head, as eyes in the head do: --gaze-frame head")
    )
    return Finding(severity, what, got, expected, advice)


def _steepness(angles: np.ndarray) -> float:
    """How much of the spread is pitch; people look around more than up and down."""
    pitch, yaw = angles.std(0)
    return float(pitch / (pitch + yaw)) if pitch + yaw > 0 else 0.5


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])
