"""Do independent estimators agree, and is the coupling of gaze and head the person's?

Gaze and head from one landmark mesh share the mesh's errors: a head that is measured too
far to the left takes the gaze along, and both seem coupled. What is left of the coupling
when gaze comes from one net, head from another, and neither is told of the other, is the
person's own; what goes may be leaked, or noise of the second nets. Three measures tell
them apart:

- correlations of every gaze with every head, on what moves within seconds (posture taken
  away) and on velocities, against the same gaze with the heads of other clips;
- the slope of gaze on head, plainly (errors that both share push it towards 1, noise of
  the head towards 0), and through the second head as an instrument (neither does);
- as gaze is eye and head together, that slope less one is how the eyes move in the head:
  0 if they ride along, -1 if they hold the gaze whatever the head does.
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
from gazehead_jax.extraction_report.signals import BLIND, OTHER_HEAD, Signals
from gazehead_jax.motion import gaze_in_head

AXES = ("pitch", "yaw")
HEAD_AXES = ("pitch", "yaw", "roll")
KINDS = {"within seconds": without_slow, "velocity": velocity}
# Of a clip's controls, which it must exceed to count as coupled.
ABOVE = 95


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
      `correlation` and of its `control`, and `above`: the share of clips whose
      correlation is higher than `ABOVE` % of its controls); `heads`: kind → axis →
      quartiles of the correlation of the two heads; `slopes`: axis → gaze → `plain`
      and, with two heads, `instrument`: quartiles over clips.
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


def verdict_of(coupling: dict, first: str) -> dict[str, str]:
    """Axis → a sentence: is the coupling the person's, or leaked?

    Args:
      coupling: of `coupling_of`, with `BLIND` and `OTHER_HEAD`.
      first: the estimator whose gaze goes with the mesh's head into motions.
    """
    sentences = {}
    for axis in AXES:
        rows = coupling["correlation"]["within seconds"][axis]
        pick = lambda gaze, head, rows=rows: next(
            r for r in rows if (r["gaze"], r["head"]) == (gaze, head)
        )
        shared, apart = pick(first, "mesh"), pick(BLIND, OTHER_HEAD)
        ceiling = coupling["heads"]["within seconds"][axis].get("median", np.nan)
        inside = shared["correlation"].get("median", np.nan)
        across = apart["correlation"].get("median", np.nan)
        control = apart["control"].get("median", np.nan)
        slopes = coupling["slopes"][axis][BLIND]["instrument"]
        if not np.isfinite([inside, across, ceiling]).all():
            sentences[axis] = "too few clips move by this axis to tell."
            continue
        # Noise of the second head alone would leave this much.
        expected = inside * ceiling
        if apart["above"] < 0.2 or across < 0.25 * expected:
            word = "not shown to be the person's: hardly any of it survives"
        elif across < 0.6 * expected:
            word = (
                "the person's in part: less of it survives than noise of the second "
                "nets explains"
            )
        else:
            word = "the person's"
        sentences[axis] = (
            f"{word}. Correlation {inside:.2f} with gaze and head from one mesh, "
            f"{across:.2f} with gaze and head from two nets that share nothing but the "
            f"picture ({control:.2f} with other clips' heads; {apart['above']:.0%} of "
            f"{apart['correlation']['count']} clips above {ABOVE} % of their controls). "
            f"The two heads correlate by {ceiling:.2f}, so {expected:.2f} could be "
            f"expected at most. Per degree of head, gaze turns "
            f"{slopes.get('median', np.nan):.2f}° (instrumental)."
        )
    return sentences


def _summary(rows: list[dict]) -> dict:
    keys = ("correlation", "bias_deg", "spread")
    return {key: quartiles(row.get(key) for row in rows) for key in keys}


def _row(treated: list[dict], gaze: str, head: str, axis: int) -> dict:
    own, controls, above = [], [], []
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
            above.append(own[-1] > np.percentile(others, ABOVE))
    return {
        "correlation": quartiles(own),
        "control": quartiles(controls),
        "above": float(np.mean(above)) if above else float("nan"),
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
