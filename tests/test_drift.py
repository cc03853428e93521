"""Drift: what is put into fake models is found in them, and nothing else is."""

import json
import tracemalloc

import numpy as np
import pytest
from conftest import random_checkpoint
from scipy.linalg import sqrtm

from gazehead_jax import drift_features, drift_plots, driving_gaze, metrics
from gazehead_jax.drift import Drift, drift
from gazehead_jax.drift_plots import plot_drift
from gazehead_jax.drift_record import follow
from gazehead_jax.driving_gaze import DrivingGaze, parse_duration
from gazehead_jax.errors import GazeheadError
from gazehead_jax.motion import Motion

FPS = 5.0
MINUTE = 300
SAMPLES = 64
_DEG = np.pi / 180


@pytest.fixture(scope="module")
def wander() -> DrivingGaze:
    return driving_gaze.synthetic(FPS, 600.0)


def fake(change=lambda heads, minute: heads, chunk=64):
    """Heads that take half of gaze and sway; `change` sees them with their minutes."""

    def roll(gaze, valid):
        noise = np.random.default_rng(1)
        for start in range(0, gaze.shape[1], chunk):
            seen = gaze[:, start : start + chunk]
            minute = (start + np.arange(seen.shape[1])) / MINUTE
            sway = noise.normal(0, 0.5 * _DEG, (seen.shape[1], len(gaze), 3))
            heads = np.pad(0.5 * seen, ((0, 0), (0, 0), (0, 1)))
            yield change(heads + sway.swapaxes(0, 1), minute).astype(np.float32)

    return roll


def run(change, gaze, minutes=13, samples=SAMPLES):
    return follow(fake(change), gaze, FPS, 60 * minutes, samples)


def only_first(of):
    """A change of the first sample alone."""

    def change(heads, minute):
        return np.concatenate([of(heads[:1], minute), heads[1:]])

    return change


def test_a_steady_model_holds(wander):
    curve = run(lambda heads, minute: heads, driving_gaze.looped(wander, FPS))
    assert curve.holds
    assert set(curve.verdicts.values()) == {"steady"}
    assert curve.minutes == list(range(2, 13))
    assert (curve.stuck, curve.diverged, curve.first_fault) == (0, 0, None)
    assert curve.worst("frechet") < 0.05


def test_content_that_changes_is_not_drift(wander):
    curve = run(lambda heads, minute: heads, wander)
    assert curve.holds


@pytest.mark.parametrize(
    ("quantity", "change"),
    [
        ("mean_yaw", lambda h, m: h + m[:, None] * [0, 0.5 * _DEG, 0]),
        ("mean_roll", lambda h, m: h + m[:, None] * [0, 0, 0.1 * _DEG]),
        ("variance_pitch", lambda h, m: h * (1 + 0.03 * m[:, None] * [1, 0, 0])),
        ("jerk", lambda h, m: h + 0.1 * _DEG * m[:, None] * _zigzag(h)),
        ("correlation_yaw", lambda h, m: h + _DEG * m[:, None] * _slow(m)),
    ],
)
def test_each_kind_of_drift_is_told(wander, quantity, change):
    curve = run(change, driving_gaze.looped(wander, FPS))
    assert curve.verdict(quantity) == "drifts"
    assert not curve.holds
    assert curve.verdict("mean_pitch") == "steady"


def _zigzag(heads):
    return ((-1.0) ** np.arange(heads.shape[1]))[:, None] * [0, 1, 0]


def _slow(minute):
    return np.sin(2 * np.pi * 3 * minute)[:, None] * [0, 1, 0]


def test_a_change_has_its_size(wander):
    """Variance half as large again from minute 6 on, and a mean moved by known shares."""
    twice = lambda h, m: h * np.where(m < 6, 1, np.sqrt(1.5))[:, None]
    curve = run(twice, driving_gaze.looped(wander, FPS), samples=16)
    change = dict(zip(curve.minutes, curve.change["variance_yaw"], strict=True))
    assert change[5] == pytest.approx(0, abs=0.03)
    assert change[8] == pytest.approx(0.5, abs=0.05)
    moved = lambda h, m: h + np.where(m < 6, 0, 2 * _DEG)[:, None] * [0, 1, 0]
    curve = run(moved, driving_gaze.looped(wander, FPS), samples=16)
    change = dict(zip(curve.minutes, curve.change["mean_yaw"], strict=True))
    std = np.sqrt(curve.reference["variance_yaw_deg2"])
    assert change[8] == pytest.approx(2 / std, rel=0.05)


def test_the_fréchet_distance_sees_what_moments_of_one_axis_do_not(wander):
    """Pitch and yaw swapped in sign together with gaze lag: late heads."""

    def roll(gaze, valid):
        heads = np.pad(0.5 * gaze, ((0, 0), (0, 0), (0, 1)))
        late = np.roll(heads, 3, axis=1)
        half = heads.shape[1] // 2
        yield np.concatenate([heads[:, :half], late[:, half:]], 1).astype(np.float32)

    curve = follow(roll, driving_gaze.looped(wander, FPS), FPS, 600, 16)
    assert curve.verdict("variance_yaw") == "steady"
    assert curve.verdict("frechet") == "drifts"


def test_a_stuck_sample_is_found(wander):
    sticks = only_first(lambda h, m: np.where((m < 4)[None, :, None], h, 0.1))
    curve = run(sticks, wander)
    assert (curve.stuck, curve.diverged) == (1, 0)
    assert not curve.holds
    assert curve.first_fault == 6  # the third still minute


def test_samples_that_are_all_alike_are_no_error():
    """Their distance is 0 but for rounding, which may be below it."""
    rng = np.random.default_rng(0)
    path = np.cumsum(rng.normal(0, 0.01, (10_000, 3)), 0).astype(np.float32)
    path = 0.3 * np.sin(path)
    for rows in (4, 6, 8, 16):
        alike = lambda gaze, valid: iter(
            [np.tile(path[: gaze.shape[1]], (len(gaze), 1, 1))]
        )
        curve = follow(alike, driving_gaze.constant(FPS), FPS, 240, rows)
        assert curve.diverged == 0


def test_a_head_at_rest_is_stuck_only_if_gaze_moves(wander):
    rest = lambda h, m: 0 * h
    assert run(rest, wander, 5, 4).stuck == 4
    curve = run(rest, driving_gaze.constant(FPS), 5, 4)
    assert curve.stuck == 0
    assert curve.holds
    assert curve.verdict("correlation_yaw") == "–"


@pytest.mark.parametrize(
    "away",
    [
        lambda h, m: np.where((m < 4.5)[None, :, None], h, np.nan),
        lambda h, m: h + np.maximum(m - 4, 0)[:, None] * [0, 50 * _DEG, 0],
        lambda h, m: h + np.maximum(m - 4, 0)[:, None] * [50 * _DEG, 0, 0],
    ],
    ids=["nan", "turns away", "bends"],
)
def test_a_diverging_sample_is_found_and_spoils_nothing_else(wander, away):
    curve = run(only_first(away), wander, 10)
    assert (curve.stuck, curve.diverged) == (0, 1)
    assert not curve.holds
    assert 4 <= curve.first_fault <= 7
    assert np.isfinite(curve.change["frechet"]).all()


def test_a_model_of_nothing_but_nan_is_reported(wander, tmp_path):
    curve = run(lambda h, m: np.nan * h, wander, 4, 4)
    assert curve.diverged == 4
    about = dict.fromkeys(("model", "dataset", "split", "date"), "x")
    about |= dict.fromkeys(("minutes", "fps", "num_samples", "block_minutes"), 4)
    path = Drift(about, {"wander": curve}).save(tmp_path / "d.json")
    saved = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert saved["curves"]["wander"]["reference"]["jerk_deg_s3"] is None
    assert not saved["holds"]


def test_chunks_do_not_matter(wander):
    found = []
    for chunk in (7, 10_000):
        curve = follow(fake(chunk=chunk), wander, FPS, 240, 8)
        found.append(curve.change)
    assert found[0] == found[1]


def test_memory_does_not_grow_with_time(wander):
    def peak(minutes):
        tracemalloc.start()
        run(lambda h, m: h, wander, minutes, 16)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(3)
    trajectory = 60 * MINUTE * 16 * 3 * 4
    assert peak(63) - peak(3) < 0.3 * trajectory


def test_too_little_is_told(wander):
    with pytest.raises(GazeheadError, match=r"at least 3 minutes.*got 90 s"):
        follow(fake(), wander, FPS, 90, 8)
    with pytest.raises(GazeheadError, match="at least 4, got 2"):
        follow(fake(), wander, FPS, 180, 2)


# --- measures ----------------------------------------------------------------------


def test_a_minutes_values_are_those_of_numpy():
    rng = np.random.default_rng(0)
    gaze = np.cumsum(rng.normal(0, 0.1, (3, MINUTE, 2)), 1).astype(np.float32)
    heads = rng.normal(0, 0.2, (3, MINUTE, 3))
    heads[..., :2] += 0.3 * gaze
    valid = rng.random((3, MINUTE)) > 0.2
    gaze[~valid] = 7  # must not count
    found = drift_features.minute_values(gaze, valid, heads, 0.0)
    by_name = dict(zip(drift_features.QUANTITIES, found.T, strict=True))
    for s in range(3):
        assert by_name["mean_pitch"][s] == pytest.approx(heads[s, :, 0].mean())
        assert by_name["variance_roll"][s] == pytest.approx(heads[s, :, 2].var())
        third = np.linalg.norm(np.diff(heads[s, :, :2], n=3, axis=0), axis=-1)
        assert by_name["jerk"][s] == pytest.approx(third.mean())
        for i, axis in enumerate(("pitch", "yaw")):
            a, b = gaze[s, valid[s], i], heads[s, valid[s], i]
            expected = np.corrcoef(a, b)[0, 1]
            assert by_name[f"correlation_{axis}"][s] == pytest.approx(expected)


def test_yaw_may_pass_half_a_turn():
    """A head that swings about ±180° varies as one that swings about 0 does."""
    rng = np.random.default_rng(0)
    swing = rng.normal(0, 0.1, (2, MINUTE, 3))
    valid = np.ones((2, MINUTE), bool)
    behind = (swing + [0, np.pi, 0] + np.pi) % (2 * np.pi) - np.pi
    gaze = [swing[..., :2], behind[..., :2]]
    a = drift_features.minute_values(gaze[0], valid, swing, 0.0)
    b = drift_features.minute_values(gaze[1], valid, behind, np.pi)
    np.testing.assert_allclose(a, b, atol=1e-9)
    a = drift_features.minute_features(gaze[0], valid, swing, 0.0, FPS)
    b = drift_features.minute_features(gaze[1], valid, behind, np.pi, FPS)
    np.testing.assert_allclose(a, b, atol=1e-9)


def test_features_are_those_of_their_time():
    """Gaze that grows by 1 a step, 0.01 rad: lags are read off."""
    t = np.arange(100) * 0.01
    gaze = np.stack([t, -t], -1)[None]
    valid = np.ones((1, 100), bool)
    heads = np.zeros((1, 100, 3))
    found = drift_features.minute_features(gaze, valid, heads, 0.0, 10.0)[0]
    # 10 fps: steps of two frames; the first feature is that of frame 8.
    np.testing.assert_allclose(found[0, 4::2], [0.08, 0.06, 0.04, 0.0], atol=1e-12)
    np.testing.assert_allclose(found[1, 5::2], [-0.1, -0.08, -0.06, -0.02], atol=1e-12)


def test_fréchet_is_the_textbooks():
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(1, 500, 4)) @ rng.normal(size=(4, 4)) for _ in range(2))
    unit = np.ones(4)
    (ma, ca), (mb, cb) = moments = [drift_features.moments(x, unit) for x in (a, b)]
    cross = np.real(sqrtm(ca @ cb))
    expected = ((ma - mb) ** 2).sum() + np.trace(ca + cb - 2 * cross)
    assert drift_features.frechet(*moments) == pytest.approx(expected)
    assert drift_features.frechet(moments[0], moments[0]) == pytest.approx(0, abs=1e-9)


def test_chance_is_as_large_as_it_is():
    """Minutes of the same samples' law differ by about the noise that is taken off."""
    rng = np.random.default_rng(0)
    draw = lambda: rng.normal(size=(64, 1, 3)) + 0.1 * rng.normal(size=(64, 30, 3))
    unit, found, noise = np.ones(3), [], []
    for _ in range(30):
        a, b = draw(), draw()
        pair = [drift_features.moments(x, unit) for x in (a, b)]
        found.append(drift_features.frechet(*pair) / 3)
        noise.append(drift_features.frechet_noise(a, unit))
    assert np.mean(noise) == pytest.approx(np.mean(found), rel=0.25)


# --- gaze --------------------------------------------------------------------------


def test_durations():
    assert parse_duration("90s") == 90
    assert parse_duration("10min") == 600
    assert parse_duration("1h") == 3600
    assert parse_duration(" 1.5 h") == 5400


@pytest.mark.parametrize("text", ["1x", "0s", "0", "-1h", "", "h", "1e3s", "1h 5min"])
def test_bad_durations_are_told(text):
    with pytest.raises(GazeheadError, match="a duration must be"):
        parse_duration(text)


def test_rows_start_all_over_the_loop_and_cost_nothing():
    n = 100
    gaze = np.stack([np.arange(n), -np.arange(n)], -1).astype(np.float32) / n
    valid = np.arange(n) % 7 > 0
    rows, marks = DrivingGaze("x", "", gaze, valid).rows(4, 250)
    for i in range(4):
        at = (25 * i + np.arange(250)) % n
        np.testing.assert_array_equal(rows[i], gaze[at])
        np.testing.assert_array_equal(marks[i], valid[at])
    assert np.shares_memory(rows[0], rows[3])


def test_pieces_are_joined_behind_blinks():
    """Between two pieces that lie far apart there is no pair of valid frames."""
    motions = [
        Motion(np.full((n, 2), 0.3 * i), None, fps)
        for i, (n, fps) in enumerate([(40, 10.0), (30, 5.0), (90, 30.0)])
    ]
    driving = driving_gaze.replayed(motions, 10.0)
    assert len(driving.gaze) == 40 + 59 + 30
    both = driving.valid[1:] & driving.valid[:-1]
    assert np.abs(np.diff(driving.gaze, axis=0))[both].max() < 1e-6
    assert driving.valid.mean() > 0.9
    minute = driving_gaze.looped(driving, 10.0)
    assert len(minute.gaze) == 600
    assert not minute.valid[-2:].any()


def test_nothing_to_replay_is_told():
    shut = Motion(np.zeros((50, 2)), None, 10.0, valid=np.zeros(50, bool))
    with pytest.raises(GazeheadError, match="no valid gaze"):
        driving_gaze.replayed([shut], 10.0)


def test_fixations_become_gaze(tmp_path):
    """Up is + pitch, the viewer's right is + yaw; a segment's gap is a joint."""
    np.savez(
        tmp_path / "p.npz",
        start=np.array([1000, 1100, 5000]),
        length=np.array([80, 50, 100]),
        duration_ms=np.array([800.0, 500.0, 1000.0]),
        segment=np.array([0, 0, 1]),
        x_deg=np.array([0.0, 10.0, -5.0]),
        y_deg=np.array([0.0, -4.0, 3.0]),
    )
    driving = driving_gaze.conversational(tmp_path, 20.0)
    pitch, yaw = np.rad2deg(driving.gaze).T
    assert len(yaw) == 30 + 20  # 1.5 s and 1 s
    np.testing.assert_allclose(yaw[:19], 0, atol=1e-5)  # rests until the saccade
    np.testing.assert_allclose(yaw[20:30], 10, atol=1e-5)
    np.testing.assert_allclose(pitch[20:30], -4, atol=1e-5)
    np.testing.assert_allclose(yaw[30:], -5, atol=1e-5)
    np.testing.assert_array_equal(
        np.flatnonzero(~driving.valid), [*range(26, 30), *range(46, 50)]
    )


def test_a_wrong_folder_of_fixations_is_told(tmp_path):
    with pytest.raises(GazeheadError, match="found none"):
        driving_gaze.conversational(tmp_path, 20.0)
    np.savez(tmp_path / "p.npz", gaze=np.zeros(3))
    with pytest.raises(GazeheadError, match="not a file of fixations"):
        driving_gaze.conversational(tmp_path, 20.0)


def test_real_fixations(shared):
    folder = shared / "data" / "gaze_only" / "conversation_fixations"
    driving = driving_gaze.conversational(folder, 10.0)
    assert len(driving.gaze) == 36_000
    spread = np.rad2deg(driving.gaze[driving.valid].std(0))
    assert (spread > 2).all()
    assert (spread < 15).all()


def test_extreme_gaze_is_extreme():
    beyond = driving_gaze.out_of_range(30.0)
    assert np.rad2deg(np.abs(beyond.gaze[:, 0]).max()) == pytest.approx(80, abs=0.5)
    assert np.rad2deg(np.ptp(beyond.gaze[:, 1])) > 355
    edge = np.rad2deg(driving_gaze.saturated(30.0).gaze)
    np.testing.assert_allclose(edge, np.tile([[25.0, 75.0]], (1800, 1)), atol=1e-4)


# --- end to end --------------------------------------------------------------------


# That rollouts go on in chunks is tested with all kinds of models where they are made.
@pytest.mark.parametrize("kind", ["window", "natural"])
def test_any_checkpoint_runs(kind, small_dataset, tmp_path, capsys):
    told = []
    found = drift(
        random_checkpoint(kind),
        185,
        small_dataset,
        "validation",
        num_samples=4,
        progress=told.append,
    )
    assert told == list(found.curves)
    assert len(told) == 6
    assert found.about["minutes"] == 3
    for curve in found.curves.values():
        assert curve.diverged in range(5)
        assert np.isfinite(curve.reference["jerk_deg_s3"])
    found.show()
    assert "out of range" in capsys.readouterr().out
    path = found.save(tmp_path / "drift.json")
    json.loads(path.read_text(), parse_constant=pytest.fail)
    assert "| looped |" in path.with_suffix(".md").read_text()
    plot_drift(found, tmp_path / "drift.png")
    assert (tmp_path / "drift.png").stat().st_size > 10_000


def test_a_long_test_is_drawn_in_means():
    values = np.arange(7.0)
    np.testing.assert_array_equal(drift_plots._means(values, 1), values)
    np.testing.assert_array_equal(drift_plots._means(values, 3), [1, 4, 6])


def test_live_drift_does_not_look_ahead(small_dataset):
    """Nothing to tell apart by eye: the heads themselves differ."""
    model = random_checkpoint("lookahead")
    found = [
        drift(model, 185, small_dataset, "validation", num_samples=4, live=live)
        for live in (False, True)
    ]
    assert [f.about["model"].endswith(", live") for f in found] == [False, True]
    ahead, live = (f.curves["replayed"].reference["variance_yaw_deg2"] for f in found)
    assert ahead != live


def test_jerk_is_the_projects(wander):
    """The reference's unit is degrees per second³."""
    curve = run(lambda h, m: h, wander, 3, 4)
    gaze, _ = wander.rows(4, 3 * MINUTE)
    heads = np.concatenate(list(fake()(gaze, None)), 1)[:, MINUTE : 2 * MINUTE]
    always = np.ones(MINUTE, bool)
    expected = np.rad2deg(metrics.jerk(heads[..., :2], always).mean()) * FPS**3
    assert curve.reference["jerk_deg_s3"] == pytest.approx(expected, rel=1e-5)
