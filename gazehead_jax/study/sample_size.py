"""How many participants a study needs."""

import dataclasses
import math

import numpy as np
from jaxtyping import Float
from scipy import stats

from gazehead_jax.errors import require

# Beyond it no one would ask.
MOST_ANSWERS = 200_000


@dataclasses.dataclass(frozen=True)
class SampleSize:
    """What `sample_size` found.

    Attributes:
      participants: to invite, those that will be left out among them.
      decided: independent answers that choose one of two clips, needed for each pair.
      alpha: error rate at which each pair is tested.
      power: of the exact binomial test with `decided` answers.
      design_effect: how many times more answers are needed as they are of few people.
      least: participants whom an exact signed-rank test needs to reach `alpha` at all.
    """

    participants: int
    decided: int
    alpha: float
    power: float
    design_effect: float
    least: int


def exact_power(n: np.ndarray, share: float, alpha: float) -> Float[np.ndarray, " n"]:
    """Chance that the two-sided exact binomial test of n answers against one half is
    significant when the clip is truly chosen with probability `share`."""
    # The largest count that is significantly few, -1 if none is.
    few = stats.binom.ppf(alpha / 2, n, 0.5)
    few -= stats.binom.cdf(few, n, 0.5) > alpha / 2
    power = stats.binom.cdf(few, n, share) + stats.binom.sf(n - few - 1, n, share)
    return np.where(few < 0, 0.0, power)


def sample_size(
    share: float,
    *,
    ties: float | int = 0.2,
    answers_per_pair: int = 6,
    alike: float | int = 0.1,
    comparisons: int = 1,
    excluded: float | int = 0.1,
    power: float = 0.8,
    alpha: float = 0.05,
) -> SampleSize:
    """Participants needed to find that one of two conditions is chosen more often.

    The exact binomial test sets the number of independent answers: the least from which
    on the power never falls below what is asked (it goes up in a sawtooth). Answers of one
    person resemble each other, which multiplies it by the design effect 1 + (m - 1)·alike,
    m being a participant's answers to the pair that are no ties. Of several comparisons
    the strictest of Holm's steps, alpha / comparisons, is used.

    Args:
      share: of the answers that choose one, for the better condition, as to be found.
      ties: share of answers "no difference".
      answers_per_pair: that each participant gives about each two conditions.
      alike: intraclass correlation of a participant's answers: 0, independent, to 1.
      comparisons: pairs of conditions.
      excluded: share of participants who will be left out.
      power: chance to find it.
      alpha: familywise error rate.

    Raises:
      GazeheadError: a number is out of range, or the share is so near one half that no
        study would find it.
    """
    require(0.5 < share < 1, f"--share must be above .5 and below 1, got {share}.")
    for name, value in (("ties", ties), ("excluded", excluded)):
        require(0 <= value < 1, f"--{name} must be 0 or more and below 1, got {value}.")
    require(0 <= alike <= 1, f"--alike must be 0 to 1, got {alike}.")
    for name, value in (("power", power), ("alpha", alpha)):
        require(0 < value < 1, f"--{name} must be between 0 and 1, got {value}.")
    require(
        answers_per_pair >= 1 and comparisons >= 1,
        f"--answers-per-pair and --comparisons must be 1 or more, got "
        f"{answers_per_pair} and {comparisons}.",
    )
    each = alpha / comparisons
    # About what a normal approximation says, with room for the sawtooth.
    z = float(stats.norm.isf(each / 2) + max(0.0, stats.norm.ppf(power)))
    reach = 2 * (z / (2 * share - 1)) ** 2 + 100
    require(
        reach < MOST_ANSWERS,
        f"--share {share} is so near one half that more than {MOST_ANSWERS // 2} answers "
        "would be needed; ask for a larger difference.",
    )
    n = np.arange(1, math.ceil(reach))
    powers = exact_power(n, share, each)
    decided = int(n[powers < power][-1]) + 1
    m = answers_per_pair * (1 - ties)
    effect = float(max(1, 1 + (m - 1) * alike))
    least = math.ceil(1 - math.log2(each))
    kept = max(math.ceil(decided * effect / m), least)
    return SampleSize(
        participants=math.ceil(round(kept / (1 - excluded), 9)),
        decided=decided,
        alpha=each,
        power=float(exact_power(np.array([decided]), share, each)[0]),
        design_effect=effect,
        least=least,
    )
