"""Do independent estimators agree, and is the coupling of gaze and head the person's?

Gaze and head from one landmark mesh share the mesh's errors: a head that is measured too
far to the left takes the gaze along, and both seem coupled. Four things tell whether a
coupling is the person's:

- correlations of every gaze with every head, on what moves within seconds (posture taken
  away) and on velocities, against the same gaze with the heads of other clips;
- the slope of gaze on head, plainly (errors that both share push it towards 1, noise of
  the head towards 0), and through a head-pose network as an instrument, which shares
  neither: the difference is what leaks;
- the same with a gaze network that is told nothing of the head: what its head input adds
  beyond what it adds on rendered people is its habit, not the person's;
- that slope once more, corrected by how the estimator extracts rendered people: an
  estimator that loses some of the eyes' or the head's movement makes or hides coupling
  without any noise. If estimators disagree before and agree after, that was why.

As gaze is eye and head together, 1 means that the eyes ride along with the head, 0 that
they hold the gaze whatever the head does.
"""

import numpy as np

from gazehead_jax.extraction_report.measures import (
    agreement,
    correlation,
    quartiles,
    slope,
    slope_through,
    velocity,
    without_slow,
)
from gazehead_jax.extraction_report.rendered_scenes import CENTRED
from gazehead_jax.extraction_report.rendered_truth import KNOWN
from gazehead_jax.extraction_report.signals import BLIND, OTHER_HEAD, Signals
from gazehead_jax.motion import gaze_in_head

AXES = ("pitch", "yaw")
HEAD_AXES = ("pitch", "yaw", "roll")
KINDS = {"within seconds": without_slow, "velocity": velocity}
# Percentage of a clip's controls that it must exceed, by size, to count as coupled.
ABOVE = 95
# Degrees of gaze per degree of head that make no difference.
SAME = 0.2


def agreement_of(clips: list[Signals], gaze: tuple[str, ...]) -> dict:
    """How the second estimator agrees with the first, in the camera and in the head.

    Returns:
      `clips`: name → frame ("camera", "in head") → axis → `measures.agreement`;
      `summary`: the same with `measures.quartiles` of them over clips; `head`: axis →
      quartiles of the agreement of `OTHER_HEAD` with the mesh, if it was run.
    """
    per_clip = {}
    for clip in clips:
        one, other = (clip.gaze[name][clip.valid] for name in gaze[:2])
        head = clip.head["mesh"][clip.valid]
        frames = {
            "camera": (one, other),
            "in head": (gaze_in_head(one, head), gaze_in_head(other, head)),
        }
        per_clip[clip.name] = {
            frame: {axis: agreement(a[:, i], b[:, i]) for i, axis in enumerate(AXES)}
            for frame, (a, b) in frames.items()
        }
    summary = {
        frame: {
            axis: _summary([clip[frame][axis] for clip in per_clip.values()])
            for axis in AXES
        }
        for frame in ("camera", "in head")
    }
    found = {"of": list(gaze[:2]), "clips": per_clip, "summary": summary}
    if any(OTHER_HEAD in clip.head for clip in clips):
        found["head"] = {
            axis: _summary(
                [
                    agreement(
                        *(clip.head[k][clip.valid, i] for k in ("mesh", OTHER_HEAD))
                    )
                    for clip in clips
                ]
            )
            for i, axis in enumerate(HEAD_AXES)
        }
    return found


def coupling_of(clips: list[Signals]) -> dict:
    """Correlations and slopes of every gaze with every head.

    Returns:
      `correlation`: kind of `KINDS` → axis → list of rows (`gaze`, `head`, quartiles of
      `correlation` and of its `control`, and `coupled`: the share of clips whose
      correlation is larger, of either sign, than `ABOVE` % of its controls); `heads`:
      kind → axis → quartiles of the correlation of the two heads; `slopes`: axis → gaze
      → `plain` and, with two heads, `instrument`: quartiles over clips.
    """
    heads = list(dict.fromkeys(name for clip in clips for name in clip.head))
    gazes = list(dict.fromkeys(name for clip in clips for name in clip.gaze))
    found = {"correlation": {}, "heads": {}, "slopes": {}}
    for kind, treat in KINDS.items():
        treated = [
            {
                "gaze": {k: treat(v, c.valid, c.fps) for k, v in c.gaze.items()},
                "head": {k: treat(v, c.valid, c.fps) for k, v in c.head.items()},
            }
            for c in clips
        ]
        found["correlation"][kind] = {
            axis: [
                {"gaze": gaze, "head": head} | _row(treated, gaze, head, i)
                for gaze in gazes
                for head in heads
            ]
            for i, axis in enumerate(AXES)
        }
        if len(heads) == 2:
            found["heads"][kind] = {
                axis: quartiles(
                    correlation(*(c["head"][k][:, i] for k in heads)) for c in treated
                )
                for i, axis in enumerate(AXES)
            }
        if kind == "within seconds":
            found["slopes"] = {
                axis: {gaze: _slopes(treated, gaze, i) for gaze in gazes}
                for i, axis in enumerate(AXES)
            }
    return found


def gains_of(rendered: list[dict]) -> dict:
    """Median gains on centred rendered people, with the camera known.

    Returns:
      axis → `mesh` (head when it moves) and estimator → (gain of gaze when the head
      moves, when the eyes move); NaN where unknown.
    """
    rows = [r for r in rendered if (r["condition"], r["camera"]) == (CENTRED, KNOWN)]
    gain = lambda values: quartiles(v.get("gain") for v in values).get("median", np.nan)
    found = {}
    for axis in AXES:
        seen = [row for row in rows if row["gaze"]]
        names = list(dict.fromkeys(name for row in seen for name in row["gaze"]))
        found[axis] = {
            name: tuple(
                gain([row["gaze"][name][axis][part] for row in seen])
                for part in ("head", "eyes")
            )
            for name in names
        }
        found[axis]["mesh"] = gain([row["heads"]["mesh"][axis]["head"] for row in seen])
    return found


def verdict_of(coupling: dict, rendered: list[dict], first: str) -> dict[str, dict]:
    """Is the coupling of real clips the person's, or made by the extraction?

    Args:
      coupling: of `coupling_of`.
      rendered: of `rendered_truth`.
      first: the estimator whose gaze goes with the mesh's head into motions.

    Returns:
      axis → `text`, and `slopes`: gaze → `plain`, `instrument`, `leak` (their
      difference) and `corrected` degrees of gaze per degree of head.
    """
    gains = gains_of(rendered)
    found = {}
    for axis in AXES:
        slopes = {}
        for name, by_kind in coupling["slopes"][axis].items():
            plain, through = (
                by_kind[kind].get("median", np.nan) for kind in ("plain", "instrument")
            )
            slopes[name] = {"plain": plain, "instrument": through} | {
                "leak": plain - through,
                "corrected": _corrected(through, name, gains[axis]),
            }
        text = _text(axis, slopes, coupling, first)
        found[axis] = {"text": text, "slopes": slopes}
    return found


def _corrected(through: float, name: str, gains: dict) -> float:
    """What people did, of whom the extraction says `through`.

    Of a head turn h and an eye turn e it makes head·h and with_head·h + with_eyes·e.
    """
    with_head, with_eyes = gains.get(name, (np.nan, np.nan))
    # So little gain cannot be undone.
    if not with_eyes > 0.2:
        return float("nan")
    return float(1 + (through * gains["mesh"] - with_head) / with_eyes)


def _text(axis: str, slopes: dict, coupling: dict, first: str) -> str:
    named = [name for name in slopes if name != BLIND]
    known = [name for name in named if np.isfinite(slopes[name]["instrument"])]
    if first not in known:
        return "too few clips move by this axis to tell."
    rows = coupling["correlation"]["within seconds"][axis]
    parts = []
    for name in known:
        mesh, other = (
            next(r for r in rows if (r["gaze"], r["head"]) == (name, head))
            for head in ("mesh", OTHER_HEAD)
        )
        leak = slopes[name]["leak"]
        word = "no leak is found"
        if abs(leak) >= SAME:
            what = "shared errors make" if leak > 0 else "noise of the mesh hides"
            word = f"{what} {abs(leak):.2f}° of it"
        parts.append(
            f"with gaze from {name}, r is {mesh['correlation']['median']:.2f} with the "
            f"mesh's head and {other['correlation']['median']:.2f} with an independent "
            f"one ({other['coupled']:.0%} of clips coupled, 5% by chance); gaze turns "
            f"{slopes[name]['plain']:.2f}° per degree of head plainly and "
            f"{slopes[name]['instrument']:.2f}° through the independent head: {word}"
        )
    if len(known) > 1:
        apart, after = (
            np.ptp([slopes[name][kind] for name in known])
            for kind in ("instrument", "corrected")
        )
        if apart < SAME:
            parts.append("the estimators agree on it")
        else:
            said = ", ".join(f"{slopes[n]['corrected']:.2f}° by {n}" for n in known)
            how = "they agree" if after < SAME else "they still disagree"
            parts.append(
                f"the estimators disagree by {apart:.2f}°; corrected for their gains on "
                f"rendered people ({said}) {how}"
            )
    blind, told = (slopes.get(n, {}).get("corrected", np.nan) for n in (BLIND, "adas"))
    if np.isfinite(blind) and np.isfinite(told):
        more = told - blind
        word = "its head input adds" if abs(more) >= SAME else "its head input changes"
        parts.append(f"adas that is told no head says {blind:.2f}°: {word} {more:.2f}°")
    return "; ".join(parts) + "."


def _summary(rows: list[dict]) -> dict:
    keys = ("correlation", "bias_deg", "spread")
    return {key: quartiles(row.get(key) for row in rows) for key in keys}


def _row(treated: list[dict], gaze: str, head: str, axis: int) -> dict:
    own, controls, coupled = [], [], []
    for number, clip in enumerate(treated):
        look = clip["gaze"][gaze][:, axis]
        own.append(correlation(look, clip["head"][head][:, axis]))
        others = []
        for other, stranger in enumerate(treated):
            length = min(len(look), len(stranger["head"][head]))
            if other != number:
                part = stranger["head"][head][:length, axis]
                others.append(correlation(look[:length], part))
        others = [r for r in others if np.isfinite(r)]
        if np.isfinite(own[-1]) and others:
            controls.append(float(np.median(others)))
            coupled.append(abs(own[-1]) > np.percentile(np.abs(others), ABOVE))
    return {
        "correlation": quartiles(own),
        "control": quartiles(controls),
        "coupled": float(np.mean(coupled)) if coupled else float("nan"),
    }


def _slopes(treated: list[dict], gaze: str, axis: int) -> dict:
    plain, instrument = [], []
    for clip in treated:
        look, head = clip["gaze"][gaze][:, axis], clip["head"]["mesh"][:, axis]
        known = np.isfinite(look) & np.isfinite(head)
        if np.isfinite(correlation(look, head)):
            plain.append(slope(look[known], head[known]))
        if OTHER_HEAD in clip["head"]:
            through = clip["head"][OTHER_HEAD][:, axis]
            instrument.append(slope_through(look, head, through))
    return {"plain": quartiles(plain), "instrument": quartiles(instrument)}
