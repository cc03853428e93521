"""Statistics of studies against other ways to the same numbers, and known answers."""

import itertools

import numpy as np
import pytest
from scipy import optimize, stats

from gazehead_jax.errors import GazeheadError
from gazehead_jax.study import published, statistics
from gazehead_jax.study.sample_size import exact_power, sample_size

# --- Wilcoxon, Holm, Clopper–Pearson ---------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 7, 30])
def test_signed_rank_without_ties_is_scipys(n):
    values = np.random.default_rng(n).normal(0.3, 1, n)
    found = statistics.signed_rank(values)
    want = stats.wilcoxon(values, method="exact").pvalue
    assert found == (pytest.approx(want, rel=1e-9), n)


def test_signed_rank_with_ties_and_zeros_counts_all_signs():
    """Against the sum over all signs, one by one."""
    values = np.array([1.0, 1, -1, 2, 2, 0, 0.5, -0.5, 1.5])
    used = values[values != 0]
    ranks = stats.rankdata(np.abs(used))
    seen = ranks[used > 0].sum() - ranks[used < 0].sum()
    signs = np.array(list(itertools.product((-1, 1), repeat=len(used))))
    want = (np.abs(signs @ ranks) >= abs(seen) - 1e-9).mean()
    assert statistics.signed_rank(values) == (pytest.approx(want), 8)
    assert statistics.signed_rank(-values).p == pytest.approx(want)
    assert want == pytest.approx(stats.wilcoxon(values).pvalue)  # exact: 8 values


def test_signed_rank_of_nothing():
    assert statistics.signed_rank(np.zeros(4)) == (1.0, 0)
    assert statistics.signed_rank(np.ones(8)).p == pytest.approx(2 / 2**8)
    # Means of different grades that are equal must tie although they were added up.
    thirds = np.array([0.1 + 0.2, 0.3, -0.3])
    assert statistics.signed_rank(thirds).p == pytest.approx(1.0)


def test_many_participants_stay_exact():
    values = np.repeat([1.0, 2.0, -1.0], [80, 60, 60])
    normal = stats.wilcoxon(values, method="asymptotic").pvalue
    assert statistics.signed_rank(values).p == pytest.approx(normal, rel=0.05)


def test_holm_by_hand():
    # Sorted .005 × 4, .01 × 3, .03 × 2, .04 × 1, and never below the one before.
    found = statistics.holm([0.01, 0.04, 0.03, 0.005])
    np.testing.assert_allclose(found, [0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([0.7, 0.8]) == [1.0, 1.0]
    assert statistics.holm([0.2]) == [0.2]


def test_clopper_pearson():
    share, low, high = statistics.exact_interval(8, 10)
    # The shares at which 8 and more, 8 and fewer of 10, have a chance of .025.
    assert share == 0.8
    assert stats.binom.sf(7, 10, low) == pytest.approx(0.025)
    assert stats.binom.cdf(8, 10, high) == pytest.approx(0.025)
    assert statistics.exact_interval(0, 5)[1] == 0
    assert np.isnan(statistics.exact_interval(0, 0)).all()


# --- Bradley–Terry ---------------------------------------------------------------------


def likelihood(x, counts, pairs, size):
    """Davidson's formula as printed, in π and ν."""
    strength, nu = np.exp(x[:size]), np.exp(x[size])
    total = 0.0
    for (i, j), (win, tie, loss) in zip(pairs, counts, strict=True):
        even = nu * np.sqrt(strength[i] * strength[j])
        of = strength[i] + strength[j] + even
        total += win * np.log(strength[i] / of) + loss * np.log(strength[j] / of)
        total += tie * np.log(even / of)
    return total


def test_davidson_is_where_the_likelihood_is_greatest():
    pairs = [(0, 1), (0, 2), (3, 1), (2, 3)]
    counts = np.array([[20, 5, 3], [9, 9, 9], [1, 0, 30], [40, 2, 1.0]])
    found, tie = statistics.davidson(counts, pairs, 4)
    assert found.sum() == pytest.approx(0, abs=1e-9)
    given = counts + statistics.PRIOR
    best = optimize.minimize(
        lambda x: -likelihood(x, given, pairs, 4), np.zeros(5), method="Nelder-Mead",
        options={"maxiter": 20_000, "maxfev": 20_000, "xatol": 1e-9, "fatol": 1e-12},
    )  # fmt: skip
    want = best.x[:4] - best.x[:4].mean()
    np.testing.assert_allclose(found, want, atol=1e-4)
    # Shifting all λ leaves π's ratios; ν is one of a kind.
    assert tie == pytest.approx(best.x[4], abs=1e-4)


def test_davidson_of_two_is_known():
    """Two conditions: the model fits any counts exactly."""
    counts = np.array([[50.0, 20, 10]])
    strengths, tie = statistics.davidson(counts, [(0, 1)], 2)
    win, even, loss = counts[0] + statistics.PRIOR
    assert strengths[0] - strengths[1] == pytest.approx(np.log(win / loss))
    assert tie == pytest.approx(np.log(even / np.sqrt(win * loss)))


def test_davidson_finds_the_strengths_that_made_the_answers():
    true = np.array([1.0, 0.2, -0.4, -0.8])
    pairs = list(itertools.combinations(range(4), 2))
    counts = np.zeros((6, 3))
    for row, (i, j) in enumerate(pairs):
        odds = np.exp([true[i], 0.3 + (true[i] + true[j]) / 2, true[j]])
        counts[row] = 1e6 * odds / odds.sum()
    found, tie = statistics.davidson(counts, pairs, 4)
    np.testing.assert_allclose(found, true, atol=1e-4)
    assert tie == pytest.approx(0.3, abs=1e-4)


def test_davidson_of_many_at_once_and_of_one_that_always_wins():
    rng = np.random.default_rng(0)
    pairs = [(0, 1), (1, 2)]
    counts = rng.integers(0, 30, (5, 2, 3)).astype(float)
    counts[0] = [[40, 0, 0], [40, 0, 0]]
    many, ties = statistics.davidson(counts, pairs, 3)
    assert np.isfinite(many).all()
    assert many[0, 0] > many[0, 1] + 3 > many[0, 2] + 6
    for one, tie, these in zip(many, ties, counts, strict=True):
        alone, alone_tie = statistics.davidson(these, pairs, 3)
        np.testing.assert_allclose(one, alone, atol=1e-8)
        assert tie == pytest.approx(alone_tie, abs=1e-8)


def test_davidson_needs_conditions_that_are_compared():
    with pytest.raises(GazeheadError, match="compare more pairs"):
        statistics.davidson(np.ones((2, 3)), [(0, 1), (2, 3)], 4)


# --- the paper's table -------------------------------------------------------------------


def test_ratings_with_the_papers_mean_and_p():
    """By hand: eight of one sign, 2/256; seven, 2/128; six, 2/64."""
    _, _, rows = published.table_2()
    by_name = {row[0]: row for row in rows}
    assert [row[5] for row in rows] == ["0.6875", "0.01562", "0.00781", "0.03125"]
    assert by_name["mirror gaze"][4] == "0 1 1 2 2 2 2 2"
    assert by_name["without temporal context"][4] == "1 1 1 2 2 2 2 2"
    assert by_name["driven by real motion"][4] == "0 0 1 1 1 1 2 2"
    assert by_name["constant head"][4] == "-2 -2 -1 -1 2 2 2 2; or -1 -1 0 0 1 1 1 1"
    adjusted = [float(row[6]) for row in rows]
    np.testing.assert_allclose(adjusted, [0.6875, 0.0469, 0.0312, 0.0625], atol=6e-4)


@pytest.mark.parametrize(("mean", "p"), published.TABLE_2.values())
def test_scipy_agrees_about_the_papers_table(mean, p):
    sets = list(published.rating_sets(mean))
    assert all(sum(ratings) == mean * 8 for ratings in sets)
    fitting = [r for r in sets if round(stats.wilcoxon(r).pvalue, 3) == p]
    mine = [r for r in sets if round(published.exact_p(r), 3) == p]
    assert fitting == mine
    assert fitting


# --- sample size -------------------------------------------------------------------------


def test_exact_power_sums_what_the_test_calls_significant():
    for n, share, alpha in ((5, 0.9, 0.05), (6, 0.9, 0.05), (40, 0.7, 0.0125)):
        k = np.arange(n + 1)
        significant = [stats.binomtest(int(i), n).pvalue <= alpha for i in k]
        want = stats.binom.pmf(k, n, share)[significant].sum()
        found = exact_power(np.array([n]), share, alpha)[0]
        assert found == pytest.approx(want, abs=1e-12)


def test_sample_size_is_the_least_that_does():
    found = sample_size(0.7, ties=0, answers_per_pair=1, alike=0, excluded=0)
    after = np.arange(found.decided, found.decided + 200)
    assert found.participants == found.decided
    assert (exact_power(after, 0.7, 0.05) >= 0.8).all()
    assert exact_power(np.array([found.decided - 1]), 0.7, 0.05)[0] < 0.8
    assert 0.8 <= found.power < 0.9


def test_what_makes_a_study_larger():
    plain = {"ties": 0, "answers_per_pair": 1, "alike": 0, "excluded": 0}
    base = sample_size(0.7, **plain)
    for change in (
        {"ties": 0.3},
        {"excluded": 0.3},
        {"comparisons": 6},
        {"power": 0.95},
        {"alpha": 0.01},
    ):
        assert sample_size(0.7, **plain | change).participants > base.participants
    many = {"answers_per_pair": 10}
    assert sample_size(0.7, **plain | many).participants == -(-base.decided // 10)
    # Answers of one person that are all the same count as one.
    same = sample_size(0.7, **plain | many | {"alike": 1})
    assert same.participants == base.participants
    assert sample_size(0.999, **plain | many).participants == base.least == 6


def test_design_effect_is_how_much_alike_answers_spread():
    """People whose own preferences follow a beta distribution."""
    rng = np.random.default_rng(0)
    share, alike, m, people = 0.65, 0.2, 8, 400
    a, b = share * (1 / alike - 1), (1 - share) * (1 / alike - 1)
    own = rng.beta(a, b, (4000, people))
    spread = (rng.binomial(m, own).mean(1) / m).var()
    effect = sample_size(share, ties=0, answers_per_pair=m, alike=alike).design_effect
    assert spread == pytest.approx(
        effect * share * (1 - share) / (m * people), rel=0.08
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"share": 0.5}, "--share must be above .5"),
        ({"share": 0.501}, "so near one half"),
        ({"ties": 1.0}, "--ties"),
        ({"alike": -0.1}, "--alike"),
        ({"power": 1.0}, "--power"),
        ({"comparisons": 0}, "must be 1 or more"),
    ],
)
def test_sizes_that_make_no_sense(options, message):
    with pytest.raises(GazeheadError, match=message):
        sample_size(**{"share": 0.7} | options)
