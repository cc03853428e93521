"""Metrics against slow loops, known answers, and frames that must not matter."""

import itertools
import math

import numpy as np
import pytest

from gazehead_jax import averages, metrics
from gazehead_jax.errors import GazeheadError

FPS = 25.0


def walk(rng, *shape, step=0.02):
    return np.cumsum(step * rng.standard_normal(shape), axis=-2)


@pytest.fixture
def case():
    """Random heads with gaps: (samples, target, gaze, valid)."""
    rng = np.random.default_rng(0)
    valid = np.ones(60, bool)
    valid[[0, 17, 18, 40, 44]] = False
    return walk(rng, 21, 60, 3), walk(rng, 60, 3), walk(rng, 60, 2), valid


# --- oracles: loops over frames and samples, in other words --------------------------


def direction(pitch, yaw):
    return (
        -math.cos(pitch) * math.sin(yaw),
        -math.sin(pitch),
        -math.cos(pitch) * math.cos(yaw),
    )


def angle(a, b):
    """By the chord between the two directions."""
    chord = math.dist(direction(*a[:2]), direction(*b[:2]))
    return 2 * math.asin(chord / 2)


def frames(valid):
    return [t for t in range(len(valid)) if valid[t]]


def slow_angular(sample, target, valid):
    return np.mean([angle(sample[t], target[t]) for t in frames(valid)])


def slow_correlation(a, b):
    return np.corrcoef(a, b)[0, 1]


def slow_jerk(x, valid):
    found = []
    for t in range(len(x) - 3):
        if all(valid[t : t + 4]):
            third = x[t + 3] - 3 * x[t + 2] + 3 * x[t + 1] - x[t]
            found.append(math.hypot(third[0], third[1]))
    return np.mean(found)


def distance(a, b, valid):
    """Root mean over time of the squared distance in pitch and yaw."""
    return math.sqrt(
        np.mean(
            [(a[t, 0] - b[t, 0]) ** 2 + (a[t, 1] - b[t, 1]) ** 2 for t in frames(valid)]
        )
    )


# --- each metric against its oracle --------------------------------------------------


def test_angular_errors(case):
    samples, target, _, valid = case
    expected = [slow_angular(x, target, valid) for x in samples]
    got = metrics.angular_errors(samples, target, valid)
    np.testing.assert_allclose(got, expected, rtol=1e-9)


def test_centred_angular_errors(case):
    samples, target, _, valid = case
    keep = frames(valid)
    centred = target - sum(target[t] for t in keep) / len(keep)
    expected = [
        slow_angular(x - sum(x[t] for t in keep) / len(keep), centred, valid)
        for x in samples
    ]
    got = metrics.centred_angular_errors(samples, target, valid)
    np.testing.assert_allclose(got, expected, rtol=1e-9)


def test_correlations(case):
    samples, target, _, valid = case
    keep = frames(valid)
    steps = [t for t in keep if t + 1 < len(valid) and valid[t + 1]]
    got = metrics.correlations(samples, target, valid)
    for s, d in itertools.product(range(len(samples)), range(3)):
        x, y = samples[s, :, d], target[:, d]
        np.testing.assert_allclose(
            got.position[s, d], slow_correlation(x[keep], y[keep])
        )
        np.testing.assert_allclose(
            got.velocity[s, d],
            slow_correlation(
                [x[t + 1] - x[t] for t in steps], [y[t + 1] - y[t] for t in steps]
            ),
        )


def test_variances(case):
    samples, _, _, valid = case
    got = metrics.variances(samples, valid)
    for s, d in itertools.product(range(len(samples)), range(3)):
        x = [samples[s, t, d] for t in frames(valid)]
        mean = sum(x) / len(x)
        np.testing.assert_allclose(
            got[s, d], sum((v - mean) ** 2 for v in x) / (len(x) - 1)
        )


def test_jerk(case):
    samples, target, _, valid = case
    np.testing.assert_allclose(
        metrics.jerk(samples, valid), [slow_jerk(x, valid) for x in samples]
    )
    np.testing.assert_allclose(metrics.jerk(target, valid), slow_jerk(target, valid))


def test_diversity(case):
    samples, _, _, valid = case
    pairs = [distance(a, b, valid) for a, b in itertools.combinations(samples, 2)]
    got = metrics.diversity(samples, valid)
    np.testing.assert_allclose(got.distance, np.mean(pairs))
    np.testing.assert_allclose(got.squared, np.mean(np.square(pairs)))


def test_energy_score(case):
    samples, target, _, valid = case
    near = np.mean([distance(x, target, valid) for x in samples])
    apart = np.mean(
        [
            distance(samples[i], samples[j], valid)
            for i in range(len(samples))
            for j in range(len(samples))
            if i != j
        ]
    )
    np.testing.assert_allclose(
        metrics.energy_score(samples, target, valid), near - apart / 2
    )


def test_crps(case):
    samples, target, _, valid = case
    s = len(samples)
    expected = np.zeros(3)
    for t in frames(valid):
        for d in range(3):
            x, y = samples[:, t, d], target[t, d]
            near = sum(abs(v - y) for v in x) / s
            apart = sum(abs(v - w) for v in x for w in x) / (s * (s - 1))
            expected[d] += (near - apart / 2) / len(frames(valid))
    np.testing.assert_allclose(metrics.crps(samples, target, valid), expected)


def test_coverage():
    rng = np.random.default_rng(4)
    samples, target = rng.uniform(-1, 1, (19, 50, 2)), rng.uniform(-1, 1, (50, 2))
    valid = rng.random(50) < 0.8
    # With 19 samples the bounds are the least and the greatest of them.
    expected = [
        np.mean(
            [
                min(samples[:, t, d]) <= target[t, d] <= max(samples[:, t, d])
                for t in frames(valid)
            ]
        )
        for d in range(2)
    ]
    got = metrics.coverage(samples, target, valid)
    np.testing.assert_allclose(got, expected)
    assert 0 < got.min() < 1


# --- known answers -------------------------------------------------------------------


def test_identical_heads_are_perfect(case):
    _, target, gaze, valid = case
    got = metrics.sequence_metrics(np.stack([target] * 20), target, gaze, valid, FPS)
    for key in got:
        if key.startswith(("correlation", "velocity_correlation", "coverage90")):
            assert got[key] == pytest.approx(1), key
        elif "ratio" in key:
            assert got[key] == pytest.approx(1), key
        elif key.startswith(("angular", "centred", "ave_", "apd", "energy", "crps")):
            assert got[key] == pytest.approx(0, abs=1e-10), key
    assert got["smoothness_deg"] == pytest.approx(got["smoothness_real_deg"])
    assert got["num_frames"] == valid.sum()


def test_a_constant_offset_is_seen_by_the_plain_error_only(case):
    _, target, gaze, valid = case
    got = metrics.sequence_metrics(
        (target + [0, 0.2, 0])[None], target * [0, 1, 1], gaze, valid, FPS
    )
    assert got["centred_error_deg"] < got["angular_error_deg"]
    still = np.zeros((60, 3))
    got = metrics.sequence_metrics((still + [0, 0.2, 0])[None], still, gaze, valid, FPS)
    assert got["angular_error_deg"] == pytest.approx(np.rad2deg(0.2))
    assert got["centred_error_deg"] == pytest.approx(0, abs=1e-12)


def test_units_are_degrees_and_seconds():
    # Yaw = c t³ has a third difference of 6 c per frame³, and pitch of -8 c.
    t = np.arange(30.0)
    target = np.stack([-8 / 6 * t**3, t**3], -1) * np.deg2rad(1e-3)
    gaze = np.zeros((30, 2))
    got = metrics.sequence_metrics(
        np.stack([target, 2 * target]), target, gaze, np.ones(30, bool), FPS
    )
    assert got["smoothness_real_deg"] == pytest.approx(0.01)
    assert got["smoothness_deg"] == pytest.approx(0.015)
    assert got["jerk_real_deg_s3"] == pytest.approx(0.01 * 25**3)
    assert got["jerk_ratio"] == pytest.approx(1.5)
    assert got["variance_yaw_real_deg2"] == pytest.approx(np.var(1e-3 * t**3, ddof=1))
    assert got["variance_ratio_yaw"] == pytest.approx(2.5)
    assert got["ave_yaw_deg2"] == pytest.approx(1.5 * np.var(1e-3 * t**3, ddof=1))
    assert got["ave_deg2"] == pytest.approx(
        (got["ave_yaw_deg2"] + got["ave_pitch_deg2"]) / 2
    )


def test_apd_of_two_known_samples():
    samples = np.zeros((2, 12, 3))
    samples[1] = np.deg2rad([3, 4, 50])  # 5° apart in direction at every frame
    got = metrics.sequence_metrics(
        samples, samples[0], np.zeros((12, 2)), np.ones(12, bool), 5.0
    )
    assert got["apd_deg"] == pytest.approx(5)
    assert got["apd_deg2"] == pytest.approx(25)


def test_one_sample_has_no_spread(case):
    samples, target, gaze, valid = case
    got = metrics.sequence_metrics(samples[:1], target, gaze, valid, FPS)
    assert math.isnan(got["apd_deg"])
    assert math.isnan(got["apd_deg2"])
    assert math.isnan(got["coverage90_yaw"])
    x, y = samples[0, valid], target[valid]
    np.testing.assert_allclose(got["crps_yaw_deg"], np.rad2deg(abs(x - y)[:, 1].mean()))
    np.testing.assert_allclose(
        got["energy_score_deg"], np.rad2deg(distance(samples[0], target, valid))
    )


def test_what_is_undefined_is_nan_without_a_warning(case):
    _, _, gaze, valid = case
    constant = np.full((60, 3), 0.1)
    got = metrics.sequence_metrics(np.stack([constant] * 3), constant, gaze, valid, FPS)
    undefined = {key for key, value in got.items() if math.isnan(value)}
    assert {"correlation_yaw", "velocity_correlation_pitch_best"} <= undefined
    assert {"correlation_roll_max", "jerk_ratio", "variance_ratio_yaw"} <= undefined
    assert {"lag_yaw_s", "lag_pitch_real_s"} <= undefined
    assert got["angular_error_deg"] == 0


def test_single_frames_have_no_variance_and_no_jerk():
    valid = np.array([1, 0, 0, 0, 0], bool)
    x = np.zeros((5, 2))
    assert np.isnan(metrics.variances(x, valid)).all()
    assert np.isnan(metrics.jerk(x, np.array([1, 1, 1, 0, 1], bool)))


def test_best_is_chosen_by_error_not_by_correlation():
    t = np.linspace(0, 6, 100)
    target = np.stack([np.sin(t), np.cos(t)], -1) * 0.1
    near = target + 0.02 * np.sin(40 * t)[:, None]
    far_but_parallel = target + 0.5
    got = metrics.sequence_metrics(
        np.stack([far_but_parallel, near]),
        target,
        np.zeros((100, 2)),
        np.ones(100, bool),
        FPS,
    )
    assert got["correlation_yaw_max"] == pytest.approx(1)
    assert got["correlation_yaw_best"] < 0.999
    assert got["angular_error_best_deg"] < 3 < got["angular_error_deg"]
    assert got["correlation_yaw"] == pytest.approx(
        (1 + got["correlation_yaw_best"]) / 2
    )


def autoregressive(rng, coefficient, scale, *shape):
    x = np.zeros(shape)
    noise = rng.standard_normal(shape) * scale * math.sqrt(1 - coefficient**2)
    x[..., 0, :] = rng.standard_normal(x[..., 0, :].shape) * scale
    for i in range(1, shape[-2]):
        x[..., i, :] = coefficient * x[..., i - 1, :] + noise[..., i, :]
    return x


def test_the_energy_score_is_least_for_the_true_distribution():
    """In scale, and in the correlation over time that frame-wise scores cannot see."""
    rng = np.random.default_rng(1)
    valid = np.ones(30, bool)
    targets = autoregressive(rng, 0.9, 0.1, 300, 30, 2)

    def score(coefficient, scale, function):
        samples = autoregressive(rng, coefficient, scale, 300, 20, 30, 2)
        return np.mean(
            [function(x, y, valid) for x, y in zip(samples, targets, strict=True)]
        )

    energy = metrics.energy_score
    right = score(0.9, 0.1, energy)
    assert right < score(0.9, 0.05, energy) < score(0.9, 0.02, energy)
    assert right < score(0.9, 0.16, energy) < score(0.9, 0.25, energy)
    assert right < score(0.0, 0.1, energy)
    crps = metrics.crps
    assert score(0.9, 0.1, crps) < score(0.9, 0.05, crps)
    assert score(0.9, 0.1, crps) < score(0.9, 0.2, crps)


@pytest.mark.parametrize("num_samples", [19, 30, 100])
def test_a_perfect_model_covers_ninety_percent(num_samples):
    rng = np.random.default_rng(2)
    # Radians: within ±1.5, so that no step looks like a turn.
    samples = rng.uniform(-1.5, 1.5, (num_samples, 20_000, 2))
    got = metrics.coverage(
        samples, rng.uniform(-1.5, 1.5, (20_000, 2)), np.ones(20_000, bool)
    )
    np.testing.assert_allclose(got, 0.9, atol=0.012)


def test_energy_and_crps_do_not_depend_on_the_number_of_samples():
    rng = np.random.default_rng(3)
    targets, valid = rng.uniform(-1, 1, (2000, 4, 2)), np.ones(4, bool)
    for function in (metrics.energy_score, metrics.crps):
        few, many = (
            np.mean(
                [function(rng.uniform(-1, 1, (s, 4, 2)), y, valid) for y in targets]
            )
            for s in (3, 40)
        )
        assert few == pytest.approx(many, abs=0.02)


# --- frames and turns that must not matter -------------------------------------------


@pytest.mark.parametrize("garbage", [np.nan, np.inf, 1e6])
def test_invalid_frames_never_matter(case, garbage):
    samples, target, gaze, valid = case
    clean = metrics.sequence_metrics(samples, target, gaze, valid, FPS)
    spoiled = []
    for x in (samples, target, gaze):
        x = x.copy()
        x[..., ~valid, :] = garbage
        spoiled.append(x)
    assert metrics.sequence_metrics(*spoiled, valid, FPS) == clean
    assert not any(math.isnan(v) for k, v in clean.items() if not k.startswith("lag"))


def test_the_turn_at_180_degrees_is_no_jump(case):
    samples, target, gaze, valid = case
    clean = metrics.sequence_metrics(samples, target, gaze, valid, FPS)
    far = [x + np.array([0, 3.1, 3.0]) for x in (samples, target)]
    wrapped = [
        np.concatenate(
            [x[..., :1], (x[..., 1:] + np.pi) % (2 * np.pi) - np.pi], axis=-1
        )
        for x in far
    ]
    assert any((abs(np.diff(x[..., 1])) > 6).any() for x in wrapped)
    turned = metrics.sequence_metrics(*wrapped, gaze, valid, FPS)
    for key, value in clean.items():
        assert turned[key] == pytest.approx(value, abs=1e-6, rel=1e-6), key


def test_two_channels_give_the_same_as_three(case):
    samples, target, gaze, valid = case
    two = metrics.sequence_metrics(samples[..., :2], target[:, :2], gaze, valid, FPS)
    three = metrics.sequence_metrics(samples, target, gaze, valid, FPS)
    assert two.items() <= three.items()
    assert {k for k in three if k not in two} == {k for k in three if "roll" in k}


# --- the shuffled control, averages, intervals ---------------------------------------


def test_shuffled_pairs_never_keep_their_place():
    for n in (2, 3, 10, 101):
        pairs = metrics.shuffle_pairs(n, seed=n)
        assert sorted(pairs) == list(range(n))
        assert (pairs != np.arange(n)).all()
    assert (metrics.shuffle_pairs(50, 1) != metrics.shuffle_pairs(50, 2)).any()
    assert (metrics.shuffle_pairs(50, 1) == metrics.shuffle_pairs(50, 1)).all()
    with pytest.raises(GazeheadError, match="at least two"):
        metrics.shuffle_pairs(1, 0)


def test_the_control_tells_chance_from_coupling():
    """Heads that follow another gaze correlate by chance, most of all at their max."""
    rng = np.random.default_rng(5)
    targets = autoregressive(rng, 0.9, 0.1, 80, 12, 2)
    samples = targets[:, None] + autoregressive(rng, 0.9, 0.05, 80, 30, 12, 2)
    valid = np.ones(12, bool)
    pairs = metrics.shuffle_pairs(80, 0)
    coupled, chance = (
        np.stack(
            [
                metrics.correlations(samples[i], y, valid).position
                for i, y in zip(order, targets, strict=True)
            ]
        )
        for order in (range(80), pairs)
    )
    assert coupled.mean() > 0.7
    assert abs(chance.mean()) < 0.1
    # The trap: the best correlation of 30 says much of nothing.
    assert chance.max(axis=1).mean() > 0.4


def test_aggregate_leaves_undefined_ones_out_and_divides_means():
    sequences = [
        {
            "num_frames": 10.0,
            "x": 1.0,
            "smoothness_deg": 1.0,
            "smoothness_real_deg": 0.1,
            "jerk_ratio": 10.0,
        },
        {
            "num_frames": 20.0,
            "x": math.nan,
            "smoothness_deg": 2.0,
            "smoothness_real_deg": 3.9,
            "jerk_ratio": 0.5,
        },
    ]
    got = averages.aggregate(sequences)
    assert got["x"] == 1
    assert got["num_sequences"] == 2
    assert got["num_frames"] == 30
    assert got["jerk_ratio"] == pytest.approx(3 / 4)
    assert math.isnan(averages.aggregate([sequences[1]])["x"])
    with pytest.raises(GazeheadError, match="no sequence"):
        averages.aggregate([])
    with pytest.raises(GazeheadError, match="sequence 1 differs in .*'x'"):
        averages.aggregate([{"x": 1.0}, {"y": 1.0}])


def test_bootstrap_by_person():
    rng = np.random.default_rng(6)
    persons = rng.standard_normal(40)
    groups = np.repeat(np.arange(40), 25)
    values = persons[groups] + 0.1 * rng.standard_normal(1000)
    sequences = [{"x": v, "undefined": math.nan} for v in values]
    low, high = averages.bootstrap(sequences, groups.tolist())["x"]
    # The standard error of the mean of 40 persons, not of 1000 sequences.
    expected = 2 * 1.96 * persons.std() / math.sqrt(40)
    assert high - low == pytest.approx(expected, rel=0.12)
    assert low < values.mean() < high
    by_sequence = averages.bootstrap(sequences)["x"]
    assert by_sequence[1] - by_sequence[0] < 0.4 * (high - low)
    assert np.isnan(averages.bootstrap(sequences, groups)["undefined"]).all()
    assert averages.bootstrap(sequences, groups)["x"] == (low, high)
    with pytest.raises(GazeheadError, match="one group for each of 1000"):
        averages.bootstrap(sequences, [1, 2])


def test_bootstrap_of_ratios_is_of_means():
    sequences = [
        {"smoothness_deg": 2.0 * r, "smoothness_real_deg": r, "jerk_ratio": 2.0}
        for r in (0.1, 1.0, 5.0)
    ]
    assert averages.bootstrap(sequences)["jerk_ratio"] == pytest.approx((2, 2))


# --- bad input -----------------------------------------------------------------------


def test_bad_input_is_told(case):
    samples, target, gaze, valid = case
    with pytest.raises(GazeheadError, match="at least one of 60 frames"):
        metrics.sequence_metrics(samples, target, gaze, np.zeros(60, bool), FPS)
    spoiled = samples.copy()
    spoiled[0, 5] = np.nan
    with pytest.raises(GazeheadError, match="finite at valid frames"):
        metrics.sequence_metrics(spoiled, target, gaze, valid, FPS)
    with pytest.raises(GazeheadError, match="2 .* or 3 .* channels, got 1"):
        metrics.sequence_metrics(samples[..., :1], target[:, :1], gaze, valid, FPS)
    with pytest.raises(GazeheadError, match="s > 0"):
        metrics.angular_errors(samples[:0], target, valid)
