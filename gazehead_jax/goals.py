"""The goals of the scorecard: what is asked of a model, and whether it is met.

`scorecard` says how each is measured.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from gazehead_jax import averages, bands
from gazehead_jax.evaluation import MIN_PEOPLE
from gazehead_jax.motion import HEAD_CHANNELS
from gazehead_jax.two_sample import TwoSample

MARGIN = 0.25
RATIO = (0.8, 1.25)
COVERAGE = (0.85, 0.95)
ACCURACY = 0.60
TOO_SLOW = "the frame rate is too low to see it"


@dataclasses.dataclass(frozen=True)
class Goal:
    """One line of the card.

    Attributes:
      name: what is asked.
      value: what was found; NaN if it is not defined (as for a head that never moves).
      interval: 95 %, over people; None if there is none.
      wanted: in words.
      verdict: "met", "missed" or "open": it cannot be told, and `note` says why.
      note: what else there is to know.
    """

    name: str
    value: float
    interval: tuple[float, float] | None
    wanted: str
    verdict: str
    note: str = ""


def with_margins(
    scores: Sequence[Mapping[str, float]], d: int
) -> list[dict[str, float]]:
    """Scores of windows, with `margin_*`: each correlation less its control."""
    names = [
        f"{kind}correlation_{axis}"
        for kind in ("", "velocity_")
        for axis in HEAD_CHANNELS[:d]
    ]
    return [
        s | {f"margin_{name}": s[name] - s[f"{name}_shuffled"] for name in names}
        for s in scores
    ]


def energy(
    name: str,
    scores: Mapping[str, Sequence[Mapping[str, float]]],
    people: Sequence[str],
) -> Goal:
    """Whether a method's energy score is below that of every other.

    Windows are paired: what is averaged is rival minus own, window by window. The
    hardest rival is the one whose interval reaches lowest.

    Args:
      name: the method.
      scores: of each method, those of each window.
      people: whose each window is.
    """
    rivals = {
        rival: [
            other["energy_score_deg"] - own["energy_score_deg"]
            for own, other in zip(scores[name], scores[rival], strict=True)
        ]
        for rival in scores
        if rival != name
    }
    title, wanted = "energy score: lead over the hardest rival (°)", "> 0 at 95 %"
    lead = {rival: float(np.mean(v)) for rival, v in rivals.items()}
    if len(set(people)) < MIN_PEOPLE:
        nearest = min(lead, key=lead.get)
        return Goal(title, lead[nearest], None, wanted, *_too_few(people, nearest))
    table = [
        dict(zip(rivals, v, strict=True)) for v in zip(*rivals.values(), strict=True)
    ]
    found = averages.bootstrap(table, people)
    nearest = min(found, key=lambda rival: found[rival][0])
    verdict = "met" if found[nearest][0] > 0 else "missed"
    return Goal(title, lead[nearest], found[nearest], wanted, verdict, nearest)


def _too_few(people, note="") -> tuple[str, str]:
    text = f"{len(set(people))} people: too few for an interval"
    return "open", f"{note}; {text}" if note else text


def windows(row: Mapping, intervals: Mapping, d: int) -> list[Goal]:
    """Correlation, jerk, variance and coverage of the first d channels."""
    out = []

    def add(title, key, low, high, wanted):
        value = float(row[key])
        verdict = "met" if low <= value <= high else "missed"
        note = "" if np.isfinite(value) else "not defined"
        out.append(Goal(title, value, intervals.get(key), wanted, verdict, note))

    for kind, title in (("", "correlation"), ("velocity_", "velocity correlation")):
        for axis in ("pitch", "yaw"):
            key = f"margin_{kind}correlation_{axis}"
            add(f"{title} over shuffled, {axis}", key, MARGIN, np.inf, f"≥ {MARGIN}")
    between = f"{RATIO[0]} … {RATIO[1]}"
    add("jerk / real", "jerk_ratio", *RATIO, between)
    for axis in HEAD_CHANNELS[:d]:
        add(f"variance / real, {axis}", f"variance_ratio_{axis}", *RATIO, between)
    between = f"{COVERAGE[0]} … {COVERAGE[1]}"
    for axis in HEAD_CHANNELS[:d]:
        add(f"in the 90 % interval, {axis}", f"coverage90_{axis}", *COVERAGE, between)
    return out


def within_bands(
    row: Mapping, bounds: Mapping[str, bands.Band], about: Mapping
) -> list[Goal]:
    """Whether each curve lies in the real people's band (`inside_*` of the row)."""
    out = []
    for curve in bands.CURVES:
        kind, _, axis = curve.rpartition("_")
        title = f"{kind.replace('_', ' ')} in the real band, {axis}"
        value = row.get(f"inside_{curve}", np.nan)
        wanted = "all bins"
        if not np.isfinite(value):
            why = f"{about['people']} people: too few for a band"
            if about["coarse"]:
                why = TOO_SLOW
            elif bounds:
                why = "too few gaze shifts"
            out.append(Goal(title, np.nan, None, wanted, "open", why))
            continue
        bins = int(bounds[curve].judged.sum())
        verdict = "met" if value == 1 else "missed"
        note = f"{round(value * bins)} of {bins} bins"
        out.append(Goal(title, float(value), None, wanted, verdict, note))
    return out


def accuracy(found: TwoSample | None, floor: TwoSample | None, about: Mapping) -> Goal:
    """Whether a classifier can hardly tell windows from real ones."""
    title, wanted = "two-sample test, accuracy", f"≤ {ACCURACY:.2f}"
    if found is None:
        why = TOO_SLOW if about["coarse"] else "fewer than two people"
        return Goal(title, np.nan, None, wanted, "open", why)
    note = f"real against real {floor.accuracy:.2f}"
    if len(found.people) < MIN_PEOPLE:
        # Too little to learn from: that nothing is told apart says nothing.
        text = f"{len(found.people)} people: too few to learn from"
        return Goal(title, found.accuracy, None, wanted, "open", f"{note}; {text}")
    each = [{"x": share} for share in found.people.values()]
    interval = averages.bootstrap(each)["x"]
    verdict = "met" if found.accuracy <= ACCURACY else "missed"
    return Goal(title, found.accuracy, interval, wanted, verdict, note)
