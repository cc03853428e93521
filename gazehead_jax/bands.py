"""Curves of eye-head coordination, and the band in which those of real people lie.

Six curves: for pitch and yaw each

  lag            share of ten-second pieces whose head lag falls into each bin
  head_share     median Δhead / Δgaze of the gaze shifts in each bin of |Δgaze|
  main_sequence  median peak head speed of the shifts in each bin of |Δhead|

People are drawn with replacement, and the band is the narrowest pair of equal ranks
between which 90 % of the drawn curves lie *as a whole*, both axes of a kind together (a
global envelope: Myllymäki et al. 2017). With a band for each bin apart, a generator whose
people move as the real ones do would leave it somewhere almost always.

Shifts are counted settled or not (see `coordination.head_share`).
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float

from gazehead_jax import coordination, gaze_shifts
from gazehead_jax.motion import Array

LEVEL = 0.9
DRAWS = 1000
PIECE_S = 10.0
# A bin with fewer real cases than this, or of fewer people, is not judged. A share can do
# with less than a median.
LEAST_CASES = 15
LEAST_PIECES = 5
LEAST_PEOPLE = 3
_LEAST_SHIFT = np.deg2rad(2.0)
# Bins: seconds, degrees.
EDGES: Mapping[str, tuple[float, ...]] = {
    "lag": (-0.6, -0.3, -0.1, 0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.6),
    "head_share": coordination.SHARE_EDGES_DEG,
    "main_sequence": (1.0, 2.0, 4.0, 7.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0),
}
CURVES = tuple(f"{kind}_{axis}" for kind in EDGES for axis in ("pitch", "yaw"))


@dataclasses.dataclass(frozen=True, eq=False)
class Cases:
    """What was measured of one sequence: of each curve, (bin, value) of every case.

    A lag's value is not used; a bin of -1 is a case outside all bins.
    """

    of: Mapping[str, tuple[np.ndarray, np.ndarray]]


@dataclasses.dataclass(frozen=True, eq=False)
class Band:
    """The real curve of one kind and its band; m bins.

    Attributes:
      real, low, high: `[m]`; NaN where a bin is not judged.
      judged: `[m]` enough real cases of enough people.
    """

    real: Float[np.ndarray, " m"]
    low: Float[np.ndarray, " m"]
    high: Float[np.ndarray, " m"]
    judged: Bool[np.ndarray, " m"]

    def inside(self, curve: Float[np.ndarray, " m"]) -> float:
        """Share of the judged bins in which a curve lies in the band; NaN for none."""
        if not self.judged.any():
            return np.nan
        within = (curve >= self.low - 1e-12) & (curve <= self.high + 1e-12)
        return float(within[self.judged].mean())


def measure(
    gaze: Float[Array, "t 2"],
    heads: Float[Array, "s t d"],
    valid: Bool[Array, " t"],
    fps: float,
) -> Cases:
    """The cases of one sequence, those of all its samples together."""
    length = round(PIECE_S * fps)
    lags = [np.zeros((0, 2))]
    for start in range(0, max(1, len(valid) - length // 2), length):
        part = slice(start, start + length)
        found = coordination.lag(gaze[part], heads[:, part], valid[part], fps)
        lags.append(found.seconds)
    lags = np.concatenate(lags)
    shifts = gaze_shifts.Shifts.join(
        gaze_shifts.find_shifts(gaze, head, valid, fps) for head in heads
    )
    out = {}
    for i, axis in enumerate(("pitch", "yaw")):
        big = np.abs(shifts.gaze[:, i]) >= _LEAST_SHIFT
        turn, head = shifts.gaze[big, i], shifts.head[big, i]
        out[f"lag_{axis}"] = _binned("lag", lags[:, i], np.ones(len(lags)))
        out[f"head_share_{axis}"] = _binned(
            "head_share", np.rad2deg(np.abs(turn)), head / turn
        )
        out[f"main_sequence_{axis}"] = _binned(
            "main_sequence",
            np.rad2deg(np.abs(shifts.head[:, i])),
            np.rad2deg(shifts.peak_speed[:, i]),
        )
    return Cases(out)


def _binned(kind: str, x: np.ndarray, value: np.ndarray):
    edges = EDGES[kind]
    # NaN (no lag at all) sorts behind the last edge.
    index = np.digitize(x, edges) - 1
    return np.where(index < len(edges) - 1, index, -1), value


def curves(cases: Sequence[Cases]) -> dict[str, Float[np.ndarray, " m"]]:
    """The six curves of all cases together; NaN in an empty bin."""
    ones = np.ones((1, 1))
    return {
        name: _curve(name, cases, np.zeros(len(cases), int), ones)[0] for name in CURVES
    }


def bands(
    cases: Sequence[Cases],
    people: Sequence[str],
    level: float = LEVEL,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, Band]:
    """Real curves and their bands.

    Args:
      cases: of each real sequence.
      people: whose it is.
      level: share of the drawn curves that lie in the band as a whole.
      draws: how often people are drawn.
      seed: of the draws.
    """
    _, person = np.unique(np.asarray(people), return_inverse=True)
    n = person.max() + 1
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), draws)
    whole = curves(cases)
    out = {}
    for kind in EDGES:
        names = [name for name in CURVES if name.startswith(kind)]
        drawn = {n: _curve(n, cases, person, weights.astype(float)) for n in names}
        judged = {n: _judged(n, cases, person) for n in names}
        if any(j.any() for j in judged.values()):
            together = [drawn[n][:, judged[n]] for n in names]
            low, high = envelope(np.concatenate(together, axis=1), level)
        for name in names:
            here = judged[name]
            bounds = np.full((2, len(here)), np.nan)
            if here.any():
                bounds[0, here], low = np.split(low, [here.sum()])
                bounds[1, here], high = np.split(high, [here.sum()])
            real = np.where(here, whole[name], np.nan)
            out[name] = Band(real, bounds[0], bounds[1], here)
    return out


def _judged(name, cases, person) -> np.ndarray:
    """`[m]` bins with enough cases of enough people."""
    index = np.concatenate([c.of[name][0] for c in cases])
    who = np.repeat(person, [len(c.of[name][0]) for c in cases])
    bins = len(EDGES[name.rpartition("_")[0]]) - 1
    cases_needed = LEAST_PIECES if name.startswith("lag") else LEAST_CASES
    least = min(LEAST_PEOPLE, len(set(person.tolist())))
    return np.array(
        [
            (index == k).sum() >= cases_needed
            and len(set(who[index == k].tolist())) >= least
            for k in range(bins)
        ]
    )


def envelope(
    drawn: Float[np.ndarray, "n m"], level: float
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """Bounds of equal rank that hold at least `level` of the n curves as a whole.

    A bin that a curve lacks (NaN) does not count against it.
    """
    n = len(drawn)
    filled = np.where(np.isnan(drawn), np.nanmedian(drawn, axis=0), drawn)
    ordered = np.sort(filled, axis=0)
    depth = np.full(n, n)
    for k in range(filled.shape[1]):
        below = np.searchsorted(ordered[:, k], filled[:, k], side="right")
        above = n - np.searchsorted(ordered[:, k], filled[:, k], side="left")
        depth = np.minimum(depth, np.minimum(below, above))
    rank = int(np.sort(depth)[int(np.floor((1 - level) * n))])
    return ordered[rank - 1], ordered[n - rank]


def _curve(name, cases, person, weights) -> np.ndarray:
    """`[draws, m]` the curve when person p counts weights[:, p] times."""
    bins = len(EDGES[name.rpartition("_")[0]]) - 1
    index = np.concatenate([c.of[name][0] for c in cases])
    value = np.concatenate([c.of[name][1] for c in cases])
    who = np.repeat(person, [len(c.of[name][0]) for c in cases])
    out = np.full((len(weights), bins), np.nan)
    if name.startswith("lag"):
        count = np.zeros((weights.shape[1], bins))
        np.add.at(count, (who[index >= 0], index[index >= 0]), 1)
        # Of all pieces, those in which the head has no lag at all too.
        pieces = weights @ np.bincount(who, minlength=weights.shape[1])
        return np.where(pieces[:, None] > 0, weights @ count, np.nan) / np.maximum(
            pieces[:, None], 1
        )
    for k in range(bins):
        here = np.flatnonzero(index == k)
        here = here[np.argsort(value[here])]
        if not len(here):
            continue
        # The weighted median: where half of the weight is reached.
        sums = np.cumsum(weights[:, who[here]], axis=1)
        half = np.argmax(sums >= sums[:, -1:] / 2, axis=1)
        out[:, k] = np.where(sums[:, -1] > 0, value[here[half]], np.nan)
    return out
