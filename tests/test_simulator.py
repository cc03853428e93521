"""What was put into the simulator is found in its traces by independent means."""

import dataclasses
import json

import numpy as np
import pytest

from gazehead_jax.errors import GazeheadError
from gazehead_jax.simulator import (
    SimulatorParameters,
    sample_parameters,
    simulate,
    simulate_with_shifts,
)


def still_person(**changes) -> SimulatorParameters:
    """Nothing but sideways gaze shifts and the turns of the head with them."""
    return dataclasses.replace(
        SimulatorParameters().clean(),
        fixation_s=1.5,
        fixation_spread=0.2,
        gaze_std=(0.0, np.deg2rad(22)),
        look_back_std=0.0,
        pursuit=0.0,
        head_lag_std_s=0.0,
        share_std=0.0,
        alignment=0.0,
        eye_comfort=(3.0, 3.0),
        eye_limit=3.0,
        roll_coupling=0.0,
        sway_std=(0.0, 0.0, 0.0),
        **changes,
    )


def moving_runs(motion, threshold):
    """(first, last) frames of the runs where gaze changes by more than threshold rad
    per frame."""
    speed = np.linalg.norm(np.diff(motion.gaze.astype(np.float64), axis=0), axis=1)
    edges = np.flatnonzero(np.diff(np.r_[0, speed > threshold, 0]))
    return edges.reshape(-1, 2)


def test_a_seed_decides_everything():
    first, again, other = (simulate(20, seed=s) for s in (4, 4, 5))
    np.testing.assert_array_equal(first.gaze, again.gaze)
    np.testing.assert_array_equal(first.head, again.head)
    np.testing.assert_array_equal(first.valid, again.valid)
    assert np.abs(first.head - other.head).max() > 0.02
    assert len(first) == 500


def test_noise_and_frame_rate_leave_the_movements_as_they_are():
    person = SimulatorParameters()
    _, noisy = simulate_with_shifts(30, 25, seed=2, parameters=person)
    clean, same = simulate_with_shifts(30, 100, seed=2, parameters=person.clean())
    for field in dataclasses.fields(noisy):
        np.testing.assert_array_equal(
            getattr(noisy, field.name), getattr(same, field.name)
        )
    assert clean.valid.all()
    slow = simulate(30, 25, seed=2, parameters=person.clean())
    np.testing.assert_allclose(clean.gaze[::4], slow.gaze, atol=1e-6)


def test_saccades_follow_the_main_sequence():
    person = still_person()
    motion, shifts = simulate_with_shifts(300, 500, seed=1, parameters=person)
    speed = np.abs(np.diff(motion.gaze[:, 1].astype(np.float64))) * 500
    found = []
    for onset, duration in zip(shifts.onset_s, shifts.duration_s, strict=True):
        frames = slice(int(onset * 500), int((onset + duration) * 500) + 2)
        found.append(speed[frames].max(initial=0))
    found, amplitude = np.rad2deg(found), np.rad2deg(shifts.amplitude)
    keep = amplitude > 4
    # The published curve through 292 deg/s at 10 deg and 398 deg/s at 20 deg.
    expected = 458 * (1 - np.exp(-amplitude / 9.87))
    np.testing.assert_allclose(found[keep], expected[keep], rtol=0.03)
    assert np.interp(10, *_sorted(amplitude, found)) == pytest.approx(292, rel=0.05)
    assert np.interp(20, *_sorted(amplitude, found)) == pytest.approx(398, rel=0.05)


def _sorted(x, y):
    order = np.argsort(x)
    return x[order], y[order]


def test_head_speed_is_proportional_to_the_turn():
    person = still_person(head_turn_s=0.5)
    motion, shifts = simulate_with_shifts(200, 250, seed=3, parameters=person)
    speed = np.abs(np.diff(motion.head[:, 1].astype(np.float64))) * 250
    large = shifts.head_amplitude > np.deg2rad(2)
    alone = large & (np.diff(shifts.head_onset_s, append=1e9) > 0.5)
    alone[1:] &= np.diff(shifts.head_onset_s) > 0.5
    assert alone.sum() > 20
    for begin, size in zip(
        shifts.head_onset_s[alone], shifts.head_amplitude[alone], strict=True
    ):
        peak = speed[int(begin * 250) : int((begin + 0.5) * 250)].max(initial=0)
        if begin + 0.5 < 200:
            assert peak == pytest.approx(1.875 * size / 0.5, rel=0.02)


@pytest.mark.parametrize(("theta0_deg", "slope"), [(15, 0.77), (5, 0.9), (25, 0.5)])
def test_the_head_share_put_in_is_found(theta0_deg, slope):
    person = still_person(
        theta0=np.deg2rad(theta0_deg), slope=slope, hinge_width=np.deg2rad(2)
    )
    motion = simulate(600, 60, seed=7, parameters=person)
    runs = moving_runs(motion, 1e-4)
    # From just before a shift to just before the next, when the turn is over.
    before, after = runs[:-1, 0], runs[1:, 0]
    gaze, head = motion.gaze[:, 1], motion.head[:, 1]
    amplitude = np.abs(gaze[after] - gaze[before])
    turn = np.abs(head[after] - head[before])
    over = after - before > 0.9 * 60
    far = over & (amplitude > np.deg2rad(theta0_deg + 8))
    assert far.sum() > 30
    found_slope, intercept = np.polyfit(amplitude[far], turn[far], 1)
    assert found_slope == pytest.approx(slope, abs=0.02)
    assert np.rad2deg(-intercept / found_slope) == pytest.approx(theta0_deg, abs=0.5)
    near = over & (amplitude < np.deg2rad(theta0_deg - 4.5))
    assert near.sum() == 0 or turn[near].max() < np.deg2rad(0.5)


@pytest.mark.parametrize("lag", [0.05, 0.09, 0.139])
def test_lag_is_recovered_within_a_frame(lag):
    fps = 120
    person = still_person(head_lag_s=lag)
    motion, shifts = simulate_with_shifts(300, fps, seed=11, parameters=person)
    np.testing.assert_allclose(shifts.head_onset_s - shifts.onset_s, lag)
    gaze = np.diff(motion.gaze[:, 1].astype(np.float64))
    head = np.diff(motion.head[:, 1].astype(np.float64))
    n = len(gaze)
    correlation = [np.corrcoef(gaze[: n - k], head[k:])[0, 1] for k in range(fps)]
    found = np.argmax(correlation) / fps
    assert found == pytest.approx(motion.meta["velocity_lag_s"], abs=1 / fps)
    # The head is fastest half a turn, less half a saccade, after its onset.
    assert lag + 0.55 / 2 - 0.1 < found < lag + 0.55 / 2


def test_sway_and_noise_hardly_change_the_lag():
    fps = 120
    motion = simulate(600, fps, seed=2, parameters=SimulatorParameters(gaze_noise=0.0))
    valid = motion.valid[1:] & motion.valid[:-1]
    gaze = np.where(valid, np.diff(motion.gaze[:, 1]), 0)
    head = np.where(valid, np.diff(motion.head[:, 1]), 0)
    n = len(gaze)
    correlation = [np.corrcoef(gaze[: n - k], head[k:])[0, 1] for k in range(fps)]
    found = np.argmax(correlation) / fps
    assert found == pytest.approx(motion.meta["velocity_lag_s"], abs=0.05)


def test_gaze_is_still_while_the_head_moves():
    person = SimulatorParameters(pursuit=0.0).clean()
    motion, shifts = simulate_with_shifts(60, 100, seed=1, parameters=person)
    time = np.arange(len(motion)) / 100
    resting = np.ones(len(motion), bool)
    for onset, duration in zip(shifts.onset_s, shifts.duration_s, strict=True):
        resting &= (time < onset) | (time > onset + duration)
    # Gaze that waited at the edge of the oculomotor range is not at rest.
    eye = motion.gaze_in_head
    resting &= np.hypot(*eye.T) < np.deg2rad(49)
    still = resting[1:] & resting[:-1]
    gaze_step = np.abs(np.diff(motion.gaze, axis=0)).max(1)
    head_step = np.abs(np.diff(motion.head[:, :2], axis=0)).max(1)
    turning = still & (head_step > np.deg2rad(0.1))
    assert turning.sum() > 100
    assert gaze_step[turning].max() < 1e-6
    # The eye turns back by as much as the head turns: VOR gain 1.
    yaw_gain = -np.polyfit(
        np.diff(motion.head[:, 1])[turning], np.diff(eye[:, 1])[turning], 1
    )[0]
    assert yaw_gain == pytest.approx(1, abs=0.05)


def test_the_eye_stays_in_its_range():
    person = dataclasses.replace(
        SimulatorParameters().clean(), gaze_std=(0.1, np.deg2rad(45))
    )
    motion = simulate(300, 50, seed=3, parameters=person)
    away = np.rad2deg(np.hypot(*motion.gaze_in_head.T))
    assert 49.9 < away.max() < 50.01
    # Held there only until the head has come.
    assert (away > 49.9).mean() < 0.2


def test_blinks_are_invalid_and_their_number_is_right():
    person = SimulatorParameters(blinks_per_s=0.3, blink_s=0.16)
    motion = simulate(1800, 25, seed=5, parameters=person)
    assert 1 - motion.valid.mean() == pytest.approx(0.3 * 0.16, rel=0.12)
    # What lies behind a shut lid is garbage, mostly far down.
    clean = simulate(1800, 25, seed=5, parameters=person.clean())
    error = (motion.gaze - clean.gaze)[~motion.valid, 0]
    assert np.median(error) < np.deg2rad(-10)
    assert np.isfinite(motion.gaze).all()


def test_noise_has_the_size_asked_for():
    person = SimulatorParameters(
        gaze_noise=0.01,
        head_noise=0.004,
        gaze_bias=0.0,
        head_bias=0.0,
        blinks_per_s=0.0,
    )
    noisy = simulate(200, 50, seed=6, parameters=person)
    clean = simulate(200, 50, seed=6, parameters=person.clean())
    np.testing.assert_allclose((noisy.gaze - clean.gaze).std(0), 0.01, rtol=0.05)
    np.testing.assert_allclose((noisy.head - clean.head).std(0), 0.004, rtol=0.05)


def test_sway_has_the_size_asked_for_and_no_corners():
    person = dataclasses.replace(
        still_person(theta0=3.0),
        sway_std=(0.02, 0.03, 0.01),
        posture=(0.1, -0.1, 0.05),
    )
    head = simulate(3600, 25, seed=8, parameters=person).head.astype(np.float64)
    np.testing.assert_allclose(head.std(0), person.sway_std, rtol=0.1)
    np.testing.assert_allclose(head.mean(0)[[0, 2]], [0.1, 0.05], atol=5e-3)
    power = np.abs(np.fft.rfft(head[:, 1] - head[:, 1].mean())) ** 2
    frequency = np.fft.rfftfreq(len(head), 1 / 25)
    assert power[frequency > 2].sum() < 0.01 * power.sum()


def test_meta_tells_the_truth_and_goes_through_json():
    person = sample_parameters(np.random.default_rng(0))
    motion = simulate(5, seed=9, parameters=person, subject="anna")
    meta = json.loads(json.dumps(motion.meta))
    assert meta == motion.meta
    assert meta["seed"] == 9
    assert SimulatorParameters.from_dict(meta["simulator"]) == person
    assert motion.subject == "anna"
    # No turn of the head, no lag.
    nobody = still_person(slope=0.0)
    assert simulate(5, parameters=nobody).meta["velocity_lag_s"] is None


def test_people_differ_within_what_people_do():
    rng = np.random.default_rng(1)
    people = [sample_parameters(rng) for _ in range(200)]
    theta0 = np.rad2deg([p.theta0 for p in people])
    slope = np.array([p.slope for p in people])
    lag = np.array([p.head_lag_s for p in people])
    assert theta0.min() < 7 < 30 < theta0.max()
    assert 0.7 < slope.mean() < 0.84
    assert slope.max() <= 1
    # Head-movers start earlier and go further.
    assert np.corrcoef(theta0, slope)[0, 1] < -0.5
    assert lag.min() >= 0.05
    assert lag.max() <= 0.139


def test_people_look_like_talking_heads():
    rng = np.random.default_rng(2)
    motions = [
        simulate(120, seed=i, parameters=sample_parameters(rng)) for i in range(20)
    ]
    head = np.rad2deg(np.concatenate([m.head for m in motions]))
    gaze = np.rad2deg(np.concatenate([m.gaze[m.valid] for m in motions]))
    assert np.all(np.percentile(np.abs(head), 99, axis=0) < [25, 35, 15])
    assert np.all(np.percentile(np.abs(gaze), 99, axis=0) < [25, 45])
    coupling = [
        np.corrcoef(m.gaze[m.valid, 1], m.head[m.valid, 1])[0, 1] for m in motions
    ]
    assert 0.4 < np.mean(coupling) < 0.9


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"slope": -0.1}, "slope must not be negative"),
        ({"head_lag_s": float("nan")}, "head_lag_s must be finite"),
        ({"head_turn_s": 0.0}, "head_turn_s must be positive"),
        ({"look_back": 1.5}, "look_back must be in"),
    ],
)
def test_impossible_people_are_refused(changes, message):
    with pytest.raises(GazeheadError, match=message):
        SimulatorParameters(**changes)


def test_impossible_lengths_are_refused():
    with pytest.raises(GazeheadError, match="at least one frame"):
        simulate(0)
    with pytest.raises(GazeheadError, match="fps must be"):
        simulate(1, 0.0)
