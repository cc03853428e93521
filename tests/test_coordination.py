"""Coordination that is put in is found: planted movements and the simulator's truth."""

import math

import numpy as np
import pytest
from scipy.optimize import curve_fit

from gazehead_jax import coordination, gaze_shifts, simulator
from gazehead_jax.errors import GazeheadError
from gazehead_jax.sequence_arithmetic import pearson, runs

DEG = np.pi / 180
RATES = (25.0, 30.0, 60.0, 120.0)


def min_jerk(x):
    x = np.clip(x, 0, 1)
    return x**3 * (10 - 15 * x + 6 * x**2)


def track(fps, seconds, moves):
    """`[t]` sum of (onset, duration, size) movements."""
    t = np.arange(round(seconds * fps)) / fps
    return sum(size * min_jerk((t - at) / long) for at, long, size in moves)


def ones(x):
    return np.ones(len(x), bool)


def person(**changes):
    """Someone who moves by the book: yaw only, one turn a shift, nothing else."""
    settings = {
        "gaze_std": (1e-6, 25 * DEG),
        "look_back": 0.0,
        "pursuit": 0.0,
        "share_std": 0.0,
        "head_lag_std_s": 0.0,
        "hinge_width": 0.01 * DEG,
        "alignment": 0.0,
        "eye_comfort": (3.0, 3.0),
        "eye_limit": 3.0,
        "sway_std": (0.0, 0.0, 0.0),
        "fixation_s": 1.6,
        "fixation_spread": 0.2,
    }
    return simulator.SimulatorParameters(**(settings | changes)).clean()


# --- arithmetic ----------------------------------------------------------------------


def test_runs():
    valid = np.array([1, 1, 1, 0, 1, 1], bool)
    assert runs(valid, 1).tolist() == valid.tolist()
    assert runs(valid, 2).tolist() == [True, True, False, False, True]
    assert runs(valid, 3).tolist() == [True, False, False, False]
    assert runs(valid, 7).tolist() == []


def test_pearson_against_numpy_and_of_constants():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((4, 50, 2)), rng.standard_normal((50, 2))
    got = pearson(a, b)
    for i in range(4):
        for d in range(2):
            assert got[i, d] == pytest.approx(np.corrcoef(a[i, :, d], b[:, d])[0, 1])
    constant = np.full((50, 2), 0.1)
    assert np.isnan(pearson(constant, b)).all()
    assert np.isnan(pearson(a, constant)).all()
    assert np.isnan(pearson(b[:2], b[:2])).all()
    # Small movements are movements.
    assert pearson(1e-6 * b, b) == pytest.approx(1)


# --- lag -----------------------------------------------------------------------------


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("delay_s", [-0.2, 0.0, 0.07, 0.131])
def test_a_planted_delay_is_found_to_a_fraction_of_a_frame(fps, delay_s):
    rng = np.random.default_rng(1)
    at = np.cumsum(rng.uniform(0.6, 1.2, 50))
    size = rng.normal(0, 0.2, (2, 50))
    moves = lambda i, delay, gain: track(
        fps,
        at[-1],
        [(a + delay, 0.3, gain * s) for a, s in zip(at, size[i], strict=True)],
    )
    gaze = np.stack([moves(i, 0, 1) for i in (0, 1)], -1)
    head = np.stack([moves(0, delay_s, 0.5), moves(1, 0.1, 0.3)], -1)
    got = coordination.lag(gaze, head, ones(gaze), fps)
    np.testing.assert_allclose(got.seconds, [delay_s, 0.1], atol=0.003)
    assert (got.correlation > 0.97).all()
    assert not got.coarse


def test_a_rise_to_the_edge_of_the_range_is_no_peak():
    m = simulator.simulate(60, 60, seed=0, parameters=person())
    found = coordination.lag(m.gaze, m.head, m.valid, m.fps).seconds[1]
    edge = coordination.lag(m.gaze, m.head, m.valid, m.fps, max_lag_s=found - 0.03)
    assert np.isnan([edge.seconds[1], edge.correlation[1]]).all()


def test_the_turn_at_180_degrees_is_no_jump():
    m = simulator.simulate(60, 30, seed=0, parameters=person())
    turned = [
        np.concatenate([x[:, :1], (x[:, 1:] + 3.1 + np.pi) % (2 * np.pi) - np.pi], -1)
        for x in (m.gaze.astype(np.float64), m.head.astype(np.float64))
    ]
    assert (np.abs(np.diff(turned[0][:, 1])) > 6).any()
    plain = coordination.lag(m.gaze, m.head, m.valid, m.fps)
    got = coordination.lag(*turned, m.valid, m.fps)
    np.testing.assert_allclose(got.seconds[1], plain.seconds[1], atol=1e-6)
    plain = gaze_shifts.find_shifts(m.gaze, m.head, m.valid, m.fps)
    got = gaze_shifts.find_shifts(*turned, m.valid, m.fps)
    np.testing.assert_allclose(got.gaze, plain.gaze, atol=1e-6)
    np.testing.assert_allclose(got.head, plain.head, atol=1e-6)


def test_lag_of_samples_is_that_of_each():
    m = simulator.simulate(30, 25, seed=1)
    samples = np.stack([m.head, np.roll(m.head, 3, axis=0), m.head * 0])
    got = coordination.lag(m.gaze, samples, m.valid, m.fps)
    for i in range(3):
        one = coordination.lag(m.gaze, samples[i], m.valid, m.fps)
        np.testing.assert_array_equal(got.seconds[i], one.seconds)
        np.testing.assert_array_equal(got.correlation[i], one.correlation)
    assert np.isnan(got.seconds[2]).all()


def test_no_peak_inside_the_range_is_nan():
    rng = np.random.default_rng(2)
    gaze = np.cumsum(rng.standard_normal((500, 2)), 0) * 0.01
    # 1 s apart: beyond ±0.6 s, where there is only noise or a rise to the edge.
    head = np.roll(gaze, 25, axis=0)
    near = coordination.lag(gaze, head, ones(gaze), 25.0, max_lag_s=1.2)
    np.testing.assert_allclose(near.seconds, 1.0, atol=0.01)
    edge = coordination.lag(gaze, head, ones(gaze), 25.0, max_lag_s=0.96)
    assert np.isnan(edge.seconds).all()
    assert np.isnan(edge.correlation).all()
    short = coordination.lag(gaze[:5], head[:5], ones(gaze[:5]), 25.0)
    assert np.isnan(short.seconds).all()


@pytest.mark.parametrize("fps", RATES)
def test_the_lag_of_the_simulator_is_found(fps):
    for seed, lag_s in enumerate((0.05, 0.1, 0.139)):
        m = simulator.simulate(
            120, fps, seed=seed, parameters=person(head_lag_s=lag_s, theta0=5 * DEG)
        )
        got = coordination.lag(m.gaze, m.head, m.valid, fps)
        assert got.seconds[1] == pytest.approx(m.meta["velocity_lag_s"], abs=0.005)


def test_at_5_fps_the_lag_is_marked_coarse():
    m = simulator.simulate(300, 5, seed=3, parameters=person())
    got = coordination.lag(m.gaze, m.head, m.valid, 5.0)
    assert got.coarse
    assert got.seconds[1] == pytest.approx(m.meta["velocity_lag_s"], abs=0.1)


def test_invalid_frames_do_not_move_the_lag():
    m = simulator.simulate(120, 30, seed=4, parameters=person())
    valid = np.random.default_rng(0).random(len(m)) > 0.05
    gaze, head = m.gaze.copy(), m.head.copy()
    gaze[~valid], head[~valid] = np.nan, 7.0
    got = coordination.lag(gaze, head, valid, 30.0)
    assert got.seconds[1] == pytest.approx(m.meta["velocity_lag_s"], abs=0.02)


# --- gaze shifts ---------------------------------------------------------------------


@pytest.mark.parametrize("fps", RATES)
def test_planted_shifts_are_measured(fps):
    sizes = np.array([[0, 20], [10, 0], [-8, -30], [0, 3]]) * DEG
    at = [2.0, 4.0, 6.0, 8.0]
    gaze = np.stack(
        [
            track(fps, 10, [(a, 0.06, s) for a, s in zip(at, sizes[:, i], strict=True)])
            for i in (0, 1)
        ],
        -1,
    )
    turns = sizes * [0.2, 0.5]
    head = np.stack(
        [
            track(
                fps,
                10,
                [(a + 0.1, 0.5, s) for a, s in zip(at, turns[:, i], strict=True)],
            )
            for i in (0, 1)
        ],
        -1,
    )
    got = gaze_shifts.find_shifts(gaze, head, ones(gaze), fps)
    assert len(got) == 4
    np.testing.assert_allclose(got.gaze, sizes, atol=0.02 * DEG)
    np.testing.assert_allclose(got.head, turns, atol=0.02 * DEG)
    assert got.settled.all()
    np.testing.assert_allclose(got.onset / fps, at, atol=1.5 / fps + 0.04)
    # A minimum-jerk turn peaks at 1.875 times its mean speed.
    expected = 1.875 * np.abs(turns) / 0.5
    np.testing.assert_allclose(got.peak_speed, expected, rtol=0.05, atol=0.3 * DEG)
    slope = coordination.main_sequence(got, "yaw")
    assert slope == pytest.approx(1.875 / 0.5, rel=0.05)


def test_a_shift_soon_followed_by_another_is_not_settled():
    fps = 60.0
    at = [1.0, 1.25, 3.0]
    gaze = np.stack(
        [0 * track(fps, 5, [(1, 1, 1)]), track(fps, 5, [(a, 0.05, 0.3) for a in at])],
        -1,
    )
    head = np.stack([gaze[:, 0], track(fps, 5, [(a + 0.1, 0.5, 0.2) for a in at])], -1)
    got = gaze_shifts.find_shifts(gaze, head, ones(gaze), fps)
    assert got.settled.tolist() == [False, True, True]
    # A head that has not yet started is not one that has arrived.
    late = np.stack([head[:, 0], track(fps, 5, [(a + 0.3, 0.5, 0.2) for a in at])], -1)
    got = gaze_shifts.find_shifts(gaze, late, ones(gaze), fps)
    assert got.settled.tolist() == [False, True, True]
    # An open end is not a rest.
    cut = round(3.4 * fps)
    got = gaze_shifts.find_shifts(gaze[:cut], head[:cut], ones(gaze[:cut]), fps)
    assert got.settled.tolist() == [False, True, False]


def test_a_gap_ends_what_is_measured():
    fps = 50.0
    gaze = np.stack([np.zeros(200), track(fps, 4, [(1.5, 0.05, 0.3)])], -1)
    head = np.stack([np.zeros(200), track(fps, 4, [(1.6, 0.4, 0.2)])], -1)
    valid = ones(gaze)
    valid[150:] = False
    gaze[~valid], head[~valid] = 1.0, np.nan
    got = gaze_shifts.find_shifts(gaze, head, valid, fps)
    assert len(got) == 1
    np.testing.assert_allclose(got.gaze[0], [0, 0.3], atol=1e-6)
    np.testing.assert_allclose(got.head[0], [0, 0.2], atol=1e-3)
    valid[76] = False  # in the saccade itself: nothing can be said of it
    assert len(gaze_shifts.find_shifts(gaze, head, valid, fps)) == 0


def test_noise_alone_makes_no_shift():
    rng = np.random.default_rng(5)
    for fps in (5.0, *RATES):
        gaze = 0.8 * DEG * rng.standard_normal((round(60 * fps), 2))
        head = np.zeros((len(gaze), 3))
        assert len(gaze_shifts.find_shifts(gaze, head, ones(gaze), fps)) <= 1


@pytest.mark.parametrize("fps", RATES)
def test_the_simulators_shifts_are_found_and_no_others(fps):
    p = simulator.SimulatorParameters(pursuit=0.0)
    m, truth = simulator.simulate_with_shifts(120, fps, seed=6, parameters=p)
    got = gaze_shifts.find_shifts(m.gaze, m.head, m.valid, fps)
    middle = (got.onset + got.offset) / 2 / fps
    true = truth.onset_s + truth.duration_s / 2
    near = np.abs(middle[:, None] - true).min(1) < 0.1
    assert near.mean() > 0.85
    # Large ones, unless a blink covers them.
    large = (truth.amplitude > 12 * DEG) & (true < 119)
    seen = m.valid[np.round(true * fps).astype(int)[large]]
    found = np.abs(true[large, None] - middle).min(1)[seen] < 0.1
    assert found.mean() > 0.85


@pytest.mark.parametrize("fps", RATES)
def test_the_head_share_of_the_simulator_is_found(fps):
    for theta0, slope in ((6 * DEG, 0.9), (15 * DEG, 0.6)):
        p = person(theta0=theta0, slope=slope)
        m = simulator.simulate(150, fps, seed=7, parameters=p)
        shifts = gaze_shifts.find_shifts(m.gaze, m.head, m.valid, fps)
        got = coordination.head_share(shifts, "yaw")
        assert got.hinge.slope == pytest.approx(slope, abs=0.015)
        assert got.hinge.theta0 == pytest.approx(theta0, abs=0.7 * DEG)
        turn = coordination.main_sequence(shifts, "yaw")
        assert turn == pytest.approx(1.875 / p.head_turn_s, rel=0.05)
        # The bins show the same curve.
        middle = (got.edges[:-1] + got.edges[1:]) / 2
        full = (got.count > 5) & (middle > 1.5 * theta0)
        expected = slope * (1 - theta0 / middle[full])
        np.testing.assert_allclose(got.share[full], expected, atol=0.12)


def test_the_head_share_survives_noise():
    p = person(gaze_noise=0.5 * DEG, theta0=12 * DEG, slope=0.7)
    noisy = simulator.SimulatorParameters(
        **{**vars(p), "gaze_noise": 0.5 * DEG, "head_noise": 0.2 * DEG}
    )
    m = simulator.simulate(300, 30, seed=8, parameters=noisy)
    shifts = gaze_shifts.find_shifts(m.gaze, m.head, m.valid, m.fps)
    assert shifts.settled.mean() > 0.9
    got = coordination.head_share(shifts, "yaw").hinge
    assert got.slope == pytest.approx(0.7, abs=0.03)
    assert got.theta0 == pytest.approx(12 * DEG, abs=1 * DEG)


def test_shifts_join():
    m = simulator.simulate(60, 30, seed=9, parameters=person())
    one = gaze_shifts.find_shifts(m.gaze, m.head, m.valid, m.fps)
    both = gaze_shifts.Shifts.join([one, gaze_shifts.Shifts.none(), one])
    assert len(both) == 2 * len(one) > 0
    np.testing.assert_array_equal(both.head, np.concatenate([one.head, one.head]))
    assert both.settled.dtype == bool
    assert len(gaze_shifts.Shifts.join([])) == 0


def test_too_few_shifts_give_nan():
    none = gaze_shifts.Shifts.none()
    got = coordination.head_share(none, "pitch")
    assert math.isnan(got.hinge.slope)
    assert np.isnan(got.share).all()
    assert got.count.sum() == 0
    assert math.isnan(coordination.main_sequence(none, "pitch"))
    with pytest.raises(GazeheadError, match="axis must be one of"):
        coordination.head_share(none, "roll")
    short = np.zeros((2, 2))
    assert len(gaze_shifts.find_shifts(short, short, ones(short), 60.0)) == 0


# --- hinge ---------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [False, True])
def test_a_planted_hinge_is_recovered_exactly(offset):
    rng = np.random.default_rng(10)
    x = rng.normal(0.05, 0.3, 400)
    true = coordination.Hinge(0.7, 0.17, 0.04 if offset else 0.0)
    got = coordination.fit_hinge(x, true(x), offset=offset)
    np.testing.assert_allclose(got, true, atol=1e-9)
    # Written out once more, by hand.
    for v, y in zip(x[:20], true(x[:20]), strict=True):
        by_hand = 0.0 if abs(v) < 0.17 else 0.7 * (v - math.copysign(0.17, v))
        assert y == pytest.approx(by_hand + true.offset)


@pytest.mark.parametrize("offset", [False, True])
def test_no_hinge_is_better_than_the_one_found(offset):
    """Against a fine grid of θ0, with plain least squares at each."""
    rng = np.random.default_rng(11)
    x = rng.normal(0.1, 0.3, 80)
    y = coordination.Hinge(0.6, 0.2, 0.0)(x) + 0.1 * rng.standard_normal(80) + 0.05
    got = coordination.fit_hinge(x, y, offset=offset)
    least = np.inf
    for theta in np.linspace(0, np.sort(np.abs(x))[-8], 3000):
        basis = [np.sign(x) * np.maximum(0, np.abs(x) - theta)]
        basis = np.stack(basis + [np.ones_like(x)] * offset, -1)
        rest = y - basis @ np.linalg.lstsq(basis, y, rcond=None)[0]
        least = min(least, (rest**2).sum())
    error = ((y - got(x)) ** 2).sum()
    assert error <= least * (1 + 1e-9)
    assert error >= least * 0.999


def test_hinge_agrees_with_scipy():
    rng = np.random.default_rng(12)
    x = rng.uniform(-1, 1, 500)
    y = coordination.Hinge(0.5, 0.3, 0.0)(x) + 0.02 * rng.standard_normal(500)
    expected, _ = curve_fit(
        lambda x, s, t: s * np.sign(x) * np.maximum(0, np.abs(x) - t), x, y, [0.4, 0.2]
    )
    got = coordination.fit_hinge(x, y)
    np.testing.assert_allclose([got.slope, got.theta0], expected, atol=1e-5)


def test_a_few_far_points_do_not_make_a_hinge():
    x = np.append(np.linspace(-0.5, 0.5, 100), [0.9, 0.91])
    y = np.append(np.zeros(100), [0.0, 0.5])
    got = coordination.fit_hinge(x, y)
    assert got.theta0 <= 0.46
    assert got.slope < 1


def test_a_line_is_a_hinge_without_a_dead_zone():
    x = np.linspace(-1, 1, 11)
    np.testing.assert_allclose(
        coordination.fit_hinge(x, 0.5 * x), (0.5, 0, 0), atol=1e-12
    )
    assert np.isnan(coordination.fit_hinge(np.zeros(9), np.ones(9))).all()
    assert np.isnan(coordination.fit_hinge(x[:2], x[:2])).all()
