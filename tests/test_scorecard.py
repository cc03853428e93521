"""The scorecard: a generator that is right meets every goal, each defect misses its own.

The planted world: a head that is a filter of the last second of gaze, plus smooth noise.
"""

import json

import numpy as np
import pytest
from conftest import tiny_config
from scipy.signal import lfilter

from gazehead_jax import goals, plots, scorecard, tables, training
from gazehead_jax.baselines import BASELINES, fit_baseline
from gazehead_jax.build import load_split
from gazehead_jax.checkpoint import load
from gazehead_jax.errors import GazeheadError
from gazehead_jax.motion import Motion, resample
from gazehead_jax.predictors import baseline_predictor
from gazehead_jax.scorecard import Method
from gazehead_jax.two_sample import TwoSample

FPS = 30.0
PAST = 30
SHARE = np.array([0.5, 0.7])
STYLES = np.array([0.8, 0.9, 1.0, 1.0, 1.1, 1.2])


def make_gaze(rng, frames):
    """Fixations of about half a second, reached within three frames."""
    count = frames // 12 + 2
    places = np.deg2rad(rng.normal(0, [8, 16], (count, 2)))
    holds = rng.integers(8, 24, count)
    steps = np.repeat(places, holds, axis=0)[: frames + 2]
    return (steps[:-2] + steps[1:-1] + steps[2:]) / 3


def follow(gaze, delay=3):
    """`[t, 3]` the part of the head that gaze determines; roll follows yaw a little."""
    weights = np.hanning(13)
    weights = np.concatenate([np.zeros(delay), weights / weights.sum()])
    padded = np.concatenate([np.repeat(gaze[:1], PAST, 0), gaze])
    smooth = lfilter(weights, [1.0], padded, axis=0)[PAST:] * SHARE
    return np.concatenate([smooth, 0.2 * smooth[:, 1:]], axis=-1)


def noise(rng, *shape):
    """Smooth noise of 2.5° (1° in roll), forgotten within a second."""
    x = rng.standard_normal((*shape[:-1], shape[-1] + 60, 3))
    weights = np.convolve(np.hanning(9), np.hanning(15))
    weights /= np.sqrt((weights**2).sum())
    x = lfilter(weights, [1.0], x, axis=-2)[..., 60:, :]
    return x * np.deg2rad([2.5, 2.5, 1.0])


def make_people(seed=0, sequences=3):
    """Head-movers and eye-movers, 30 s a sequence."""
    rng = np.random.default_rng(seed)
    out = []
    for i, style in enumerate(STYLES):
        for _ in range(sequences):
            gaze = make_gaze(rng, 900)
            head = style * follow(gaze) + noise(rng, len(gaze))
            out.append(Motion(gaze=gaze, head=head, fps=FPS, subject=f"p{i}"))
    return out


@pytest.fixture(scope="module")
def people():
    return make_people()


def styles(rng, num_samples):
    return rng.choice(STYLES, num_samples)[:, None, None]


def generator(change=lambda gaze, head, rng: head, delay=3):
    """A predictor with the world's own law, changed; it does not know whom it sees."""

    def predict(context, motion, num_samples, seed):
        rng = np.random.default_rng([7, seed])
        gaze = np.concatenate([context.gaze, motion.gaze]).astype(np.float64)
        head = follow(gaze, delay)[len(context) :]
        heads = styles(rng, num_samples) * head + noise(rng, num_samples, len(motion))
        return change(gaze, heads, rng)

    return Method(predict)


def shuffled(context, motion, num_samples, seed):
    other = make_gaze(np.random.default_rng([8, seed]), PAST + len(motion))
    rng = np.random.default_rng([9, seed])
    head = styles(rng, num_samples) * follow(other)[PAST:]
    return head + noise(rng, num_samples, len(motion))


METHODS = {
    "right": generator(),
    "jitter": generator(lambda g, h, rng: h + rng.normal(0, np.deg2rad(0.5), h.shape)),
    "half": generator(lambda g, h, rng: 0.5 * h),
    "late": generator(delay=9),
    "shuffled": Method(shuffled),
    "still": Method(lambda c, m, k, s: np.zeros((k, len(m), 3)), deterministic=True),
}
CORRELATION = {"correlation over shuffled", "velocity correlation over shuffled"}
VARIANCE, COVERAGE = {"variance / real"}, {"in the 90 % interval"}
LAG, SHARE_CURVE = {"lag in the real band"}, {"head share in the real band"}
SEQUENCE = {"main sequence in the real band"}
JERK, TEST = {"jerk / real"}, {"two-sample test"}
EVERY = CORRELATION | VARIANCE | COVERAGE | LAG | SHARE_CURVE | SEQUENCE | JERK | TEST
# Defect → goals that it must miss, and goals that it must meet; the rest may go either
# way (a late head is no longer within reach of the interval, say).
DEFECTS = {
    "right": (set(), EVERY),
    "jitter": (JERK | TEST, VARIANCE | COVERAGE | SHARE_CURVE | LAG),
    "half": (VARIANCE | SHARE_CURVE | JERK | TEST, CORRELATION | LAG),
    "late": (LAG | TEST, JERK | VARIANCE),
    "shuffled": (CORRELATION | LAG | SHARE_CURVE | TEST, JERK | VARIANCE),
    "still": (EVERY, set()),
}


@pytest.fixture(scope="module")
def domain(people):
    return scorecard.judge(METHODS, people, PAST, num_samples=30, windows_per_person=12)


def verdicts(card):
    """Goal without its axis → set of verdicts."""
    out = {}
    for goal in card:
        out.setdefault(goal.name.split(",")[0], set()).add(goal.verdict)
    return out


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_each_defect_misses_its_goals(domain, name):
    found = verdicts(domain.goals[name])
    missed, met = DEFECTS[name]
    for goal in missed:
        assert "missed" in found[goal], (goal, found[goal])
    for goal in met:
        assert found[goal] == {"met"}, (goal, found[goal])
    assert "open" not in set().union(*found.values())


@pytest.mark.slow
def test_the_right_generator_leads_over_filters_and_rules(people):
    methods = {"right": generator()}
    for name in ("hold_last", "ridge_fir", "rule_based"):
        baseline = fit_baseline(name, make_people(seed=1, sequences=1))
        methods[name] = Method(
            baseline_predictor(baseline, 3), 3, baseline.deterministic
        )
    short = [m[:400] for m in people]
    domain = scorecard.judge(methods, short, PAST, windows_per_person=6)
    goal = domain.goals["right"][0]
    assert goal.verdict == "met"
    assert goal.note == "ridge_fir"
    assert 0 < goal.interval[0] < goal.value < goal.interval[1]
    # The lead is the difference of the scores in the table.
    energy = {name: row["energy_score_deg"] for name, row in domain.rows.items()}
    assert goal.value == pytest.approx(energy["ridge_fir"] - energy["right"])
    assert {d[0].verdict for n, d in domain.goals.items() if n != "right"} == {"missed"}


@pytest.mark.slow
def test_curves_are_drawn_with_and_without_bands(domain, tmp_path):
    from matplotlib.image import imread

    shown = {m: domain.curves[m] for m in ("real", "right", "late")}
    domains = {"with": (domain.bands, shown), "without": ({}, shown)}
    plots.plot_bands(domains, tmp_path / "bands.png")
    picture = imread(tmp_path / "bands.png")[..., :3]
    assert picture.shape[:2] == (1575, 1650)
    grey = (np.ptp(picture, axis=-1) == 0) & (np.abs(picture[..., 0] - 0.85) < 0.02)
    assert grey[:788].sum() > 3 * grey[788:].sum() > 0
    with pytest.raises(GazeheadError, match="got no domains"):
        plots.plot_bands({}, tmp_path / "bands.png")


# --- goals -------------------------------------------------------------------------


def scores_of(values):
    return [{"energy_score_deg": v} for v in values]


def test_the_lead_is_paired():
    """Windows differ by far more than the methods do; the pairs tell them apart."""
    rng = np.random.default_rng(0)
    people = np.repeat([f"p{i}" for i in range(8)], 5).tolist()
    base = rng.uniform(1, 20, 40)
    scores = {
        "own": scores_of(base),
        "near": scores_of(base + 0.2 + 0.05 * rng.standard_normal(40)),
        "far": scores_of(base + 3),
    }
    goal = goals.energy("own", scores, people)
    assert (goal.verdict, goal.note) == ("met", "near")
    assert goal.value == pytest.approx(0.2, abs=0.03)
    assert goals.energy("near", scores, people).verdict == "missed"
    few = goals.energy("own", scores, ["a"] * 20 + ["b"] * 20)
    assert few.verdict == "open"
    assert few.interval is None
    assert "2 people: too few" in few.note


def test_two_ways_to_use_a_model_are_no_rivals():
    away = Method(lambda *_: np.zeros(0))
    twin = Method(lambda *_: np.zeros(0), model="own")
    methods = {"own": twin, "own live": twin, "other": away}
    scores = {name: scores_of([1.0]) for name in methods}
    assert set(scorecard._with_rivals("own", methods, scores)) == {"own", "other"}
    assert set(scorecard._with_rivals("other", methods, scores)) == set(methods)


def test_window_goals_are_met_at_their_bounds():
    row = {f"margin_{k}correlation_{a}": 0.25 for k in ("", "velocity_") for a in AXES}
    row |= {f"variance_ratio_{a}": 1.25 for a in AXES} | {"jerk_ratio": 0.8}
    row |= {f"coverage90_{a}": 0.95 for a in AXES}
    found = goals.windows(row, {}, 3)
    assert [g.verdict for g in found] == ["met"] * 11
    assert len(goals.windows(row, {}, 2)) == 9
    worse = {
        "margin_correlation_yaw": 0.24,
        "variance_ratio_pitch": 1.26,
        "jerk_ratio": 0.79,
        "coverage90_roll": 0.96,
        "margin_velocity_correlation_pitch": np.nan,
    }
    found = goals.windows(row | worse, {}, 3)
    assert [g.verdict for g in found].count("missed") == 5
    assert [g.note for g in found].count("not defined") == 1


def test_the_two_sample_goal_needs_people():
    fine, slow = {"coarse": False}, {"coarse": True}
    found = lambda accuracy, n: TwoSample(
        accuracy, {f"p{i}": accuracy for i in range(n)}, 50
    )
    goal = goals.accuracy(found(0.6, 5), found(0.5, 5), fine)
    assert (goal.verdict, goal.interval) == ("met", (0.6, 0.6))
    assert goals.accuracy(found(0.61, 5), found(0.5, 5), fine).verdict == "missed"
    few = goals.accuracy(found(0.5, 3), found(0.5, 3), fine)
    assert (few.verdict, few.interval, few.value) == ("open", None, 0.5)
    assert "3 people" in few.note
    assert goals.accuracy(None, None, fine).note == "fewer than two people"
    assert goals.accuracy(None, None, slow).note == goals.TOO_SLOW


AXES = ("pitch", "yaw", "roll")


# --- from checkpoints ----------------------------------------------------------------


@pytest.fixture(scope="module")
def card(trained, small_dataset):
    return scorecard.scorecard(
        load(trained), small_dataset, num_samples=20, windows_per_person=3
    )


def test_the_card_of_a_checkpoint(card, small_dataset, tmp_path, capsys):
    domain = card.domains[small_dataset]
    assert list(domain.goals) == [*BASELINES, "tiny-window"]
    assert domain.about["windows"] == 6  # three of each of two people
    found = {g.name.split(",")[0]: g for g in domain.goals["tiny-window"]}
    # Two people give no interval, and five frames a second no lag.
    assert found["energy score: lead over the hardest rival (°)"].verdict == "open"
    assert "2 people" in found["energy score: lead over the hardest rival (°)"].note
    assert "rate is too low" in found["lag in the real band"].note
    assert found["jerk / real"].interval is None
    tables.save_scorecard(card, tmp_path / "card.json")
    saved = json.loads((tmp_path / "card.json").read_text(), parse_constant=pytest.fail)
    row = saved["domains"][small_dataset]["rows"]["tiny-window"]
    assert row["jerk_ratio"] == pytest.approx(found["jerk / real"].value)
    text = (tmp_path / "card.md").read_text()
    tables.print_scorecard(card)
    printed = capsys.readouterr().out
    for part in ("tiny-window: ", "two-sample test", "mirror gaze", "≤ 0.60"):
        assert part in text
        assert part in printed
    assert "nan" not in text
    assert "…" not in printed.replace(" … ", "")


def test_a_deterministic_method_scores_as_its_copies(small_dataset):
    motions = [resample(m, 5.0) for m in load_split(small_dataset, "test")]
    hold = baseline_predictor(fit_baseline("hold_last", motions), 2)
    both = {"one": Method(hold, 2, True), "copies": Method(hold, 2, False)}
    domain = scorecard.judge(both, motions, 2, num_samples=20, windows_per_person=2)
    one, copies = domain.rows["one"], domain.rows["copies"]
    assert one.keys() == copies.keys()
    for key in one:
        if key != "accuracy":
            assert one[key] == pytest.approx(copies[key], nan_ok=True, abs=1e-9), key


def test_a_device_is_left_out(trained, small_dataset, monkeypatch):
    """Trained without it, judged on it alone, with baselines that have not seen it."""
    names = {m.subject for m in load_split(small_dataset, "train")}
    device = sorted(names)[0]
    asked, fitted = [], []
    monkeypatch.setattr(
        training, "train", lambda config, workdir, **kw: asked.append(config)
    )

    def fit(name, motions):
        fitted.append({m.subject for m in motions})
        return fit_baseline(name, motions)

    monkeypatch.setattr(scorecard, "fit_baseline", fit)
    config = tiny_config("window", **{"data.exclude": ("other:",)})
    options = {"num_samples": 2, "windows_per_person": 2}
    found = scorecard.leave_device_out(
        config, device, trained, small_dataset, "train", **options
    )
    assert asked[0].data.exclude == ("other:", device)
    assert fitted == [names - {device}] * len(BASELINES)
    assert found.about["device"] == device
    assert found.domains[small_dataset].about["people"] == 1
    assert found.models == [f"tiny-window without {device}"]
    with pytest.raises(GazeheadError, match="nobody's name begins with 'mars:'"):
        scorecard.scorecard(load(trained), small_dataset, device="mars:")


def test_bad_input_is_told(trained, small_dataset):
    with pytest.raises(GazeheadError, match="at least one checkpoint"):
        scorecard.scorecard({}, small_dataset)
    with pytest.raises(GazeheadError, match="at least one dataset"):
        scorecard.scorecard(load(trained), [])
    short = [m[:10] for m in load_split(small_dataset, "test")]
    with pytest.raises(GazeheadError, match=r"two valid windows of 2 \+ 60 frames"):
        scorecard.judge({}, short, 2)
