"""Statistics of paired comparisons. Participants, not answers, are the units."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats

from gazehead_jax.errors import require

# What each compared pair is given besides its answers, as a part of an answer each to
# win, tie and loss: strengths stay finite where one always wins.
PRIOR = 0.5 / 3


class SignedRank(NamedTuple):
    """A Wilcoxon signed-rank test.

    Attributes:
      p: two-sided; 1 if every value is zero.
      used: values that are not zero.
    """

    p: float
    used: int


def signed_rank(values: Float[np.ndarray, " n"]) -> SignedRank:
    """The exact two-sided Wilcoxon signed-rank test of values against zero.

    Zeros are dropped, equal sizes share their mean rank (Wilcoxon 1945). The distribution
    is that of all 2ⁿ signs given those ranks, summed up rank by rank: ratings tie all the
    time, and with ties scipy's test is exact up to 13 values only.
    """
    values = values[values != 0]
    if not len(values):
        return SignedRank(1.0, 0)
    # Mean ranks are halves.
    ranks = np.rint(2 * stats.rankdata(np.round(np.abs(values), 9))).astype(int)
    chance = np.zeros(ranks.sum() + 1)
    chance[0] = 1
    for rank in ranks:
        chance /= 2
        chance[rank:] += chance[: len(chance) - rank].copy()
    above = ranks[values > 0].sum()
    smaller = min(above, ranks.sum() - above)
    return SignedRank(float(min(1, 2 * chance[: smaller + 1].sum())), len(values))


def holm(p: Sequence[float]) -> list[float]:
    """p-values adjusted for their number (Holm 1979), in the order given."""
    p = np.asarray(p, float)
    order = np.argsort(p, kind="stable")
    steps = p[order] * np.arange(len(p), 0, -1)
    out = np.empty(len(p))
    out[order] = np.minimum(1, np.maximum.accumulate(steps))
    return out.tolist()


def exact_interval(
    count: int, of: int, level: float = 0.95
) -> tuple[float, float, float]:
    """A share with its exact (Clopper–Pearson) interval: (share, low, high); NaN of
    nothing."""
    if of == 0:
        return (np.nan,) * 3
    low, high = stats.binomtest(count, of).proportion_ci(level, method="exact")
    return count / of, float(low), float(high)


def resample(people: int, num_resamples: int, seed: int) -> Float[np.ndarray, "b n"]:
    """How often each of `people` is drawn, with replacement, in each resample."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(
        people, np.full(people, 1 / people), size=num_resamples
    ).astype(float)


def percentile_interval(draws: np.ndarray, level: float = 0.95) -> np.ndarray:
    """`[2, *k]`, low and high of draws `[b, *k]`; NaN draws are left out."""
    tail = 50 * (1 - level)
    return np.nanpercentile(draws, [tail, 100 - tail], axis=0)


def davidson(
    counts: Float[np.ndarray, "*b p 3"], pairs: Sequence[tuple[int, int]], size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Bradley–Terry strengths with ties as an outcome of their own (Davidson 1970).

        P(i over j) : P(tie) : P(j over i) = πᵢ : ν √(πᵢ πⱼ) : πⱼ

    The likelihood is that of a multinomial logit, linear in λ = log π and log ν, so it has
    one maximum; Newton's method finds it. Each pair is given `PRIOR` answers of each kind.

    Args:
      counts: for each pair (i, j), the answers for i, for neither, for j.
      pairs: numbers of the conditions compared.
      size: how many conditions there are.

    Returns:
      λ `[*b, size]`, of mean zero, and log ν `[*b]`.

    Raises:
      GazeheadError: the pairs do not connect all conditions.
    """
    require(
        _connected(pairs, size),
        "Bradley–Terry strengths need conditions that are compared with each other, "
        "directly or through others; compare more pairs.",
    )
    batch = counts.shape[:-2]
    counts = counts.reshape(-1, len(pairs), 3) + PRIOR
    # Utility of each outcome, in λ and log ν.
    design = np.zeros((len(pairs), 3, size + 1))
    for row, (i, j) in enumerate(pairs):
        design[row, 0, i] = design[row, 2, j] = 1
        design[row, 1, [i, j]] = 0.5
        design[row, 1, -1] = 1
    total = counts.sum(-1, keepdims=True)
    # Only differences of λ are determined: this holds their sum.
    still = np.zeros((size + 1, size + 1))
    still[:size, :size] = 1
    x = np.zeros((len(counts), size + 1))
    for _ in range(100):
        utility = np.einsum("pok,bk->bpo", design, x)
        chance = np.exp(utility - utility.max(-1, keepdims=True))
        chance /= chance.sum(-1, keepdims=True)
        gradient = np.einsum("pok,bpo->bk", design, counts - total * chance)
        mean = np.einsum("pok,bpo->bpk", design, chance)
        second = np.einsum("pok,pol,bpo->bpkl", design, design, chance)
        second -= mean[..., :, None] * mean[..., None, :]
        curvature = np.einsum("bpkl,bp->bkl", second, total[..., 0]) + still
        step = np.linalg.solve(curvature, gradient[..., None])[..., 0]
        # Far from the maximum a whole step would overshoot.
        x += step / np.maximum(1, np.abs(step).max(-1, keepdims=True))
        if np.abs(step).max() < 1e-10:
            break
    return x[:, :size].reshape(*batch, size), x[:, -1].reshape(batch)


def _connected(pairs: Sequence[tuple[int, int]], size: int) -> bool:
    reached = {0}
    for _ in range(size):
        reached |= {k for pair in pairs if reached & {*pair} for k in pair}
    return len(reached) == size
