"""Robustness: each degradation does what it says, and shows in the score."""

import dataclasses
import json

import numpy as np
import pytest
from conftest import MODELS, random_checkpoint

from gazehead_jax.drift_plots import plot_robustness
from gazehead_jax.errors import GazeheadError
from gazehead_jax.motion import Motion
from gazehead_jax.robustness import COLUMNS, LEVELS, _places, _spoilt, robustness, spoil

N, FPS = 3000, 30.0


@pytest.fixture(scope="module")
def motion():
    t = np.arange(N) / FPS
    gaze = np.stack([0.2 * np.sin(t), 0.4 * np.cos(0.7 * t)], -1)
    valid = np.ones(N, bool)
    valid[100:110] = False
    return Motion(gaze, None, FPS, valid=valid)


def rng():
    return np.random.default_rng(0)


def test_noise_has_its_size_and_bias_its_length(motion):
    noise = np.rad2deg(spoil(motion, "noise", 2.0, rng()).gaze - motion.gaze)
    np.testing.assert_allclose(noise.std(0), 2, rtol=0.05)
    np.testing.assert_allclose(noise.mean(0), 0, atol=0.15)
    assert abs(np.corrcoef(noise[1:, 0], noise[:-1, 0])[0, 1]) < 0.1
    bias = np.rad2deg(spoil(motion, "bias", 5.0, rng()).gaze - motion.gaze)
    np.testing.assert_allclose(bias, np.tile(bias[:1], (N, 1)), atol=1e-4)
    assert np.hypot(*bias[0]) == pytest.approx(5, abs=1e-3)
    other = spoil(motion, "bias", 5.0, np.random.default_rng(1)).gaze - motion.gaze
    assert np.abs(np.rad2deg(other[0]) - bias[0]).max() > 0.5


def test_frames_are_dropped_one_by_one_and_gaze_stays(motion):
    made = spoil(motion, "dropped", 20.0, rng())
    np.testing.assert_array_equal(made.gaze, motion.gaze)
    lost = motion.valid & ~made.valid
    assert lost.sum() / motion.valid.sum() == pytest.approx(0.2, abs=0.03)
    assert not made.valid[100:110].any()
    assert (lost[1:] & lost[:-1]).mean() == pytest.approx(0.04, abs=0.015)


def test_blinks_come_as_often_and_last_as_long_as_they_should(motion):
    clean = motion.replace(valid=None)
    valid = spoil(clean, "blinks", 30.0, rng()).valid
    edges = np.flatnonzero(np.diff(valid.astype(int), prepend=1, append=1))
    lengths = (edges[1::2] - edges[::2]) / FPS
    assert len(lengths) == pytest.approx(50, abs=20)  # 100 s at 30 a minute
    assert lengths.min() >= 0.1 - 1.01 / FPS
    assert np.median(lengths) == pytest.approx(0.25, abs=0.06)


def test_latency_delays(motion):
    made = spoil(motion, "latency", 200.0, rng())
    np.testing.assert_array_equal(made.gaze[6:], motion.gaze[:-6])
    np.testing.assert_array_equal(made.valid[6:], motion.valid[:-6])
    assert not made.valid[:6].any()


def test_the_clean_gaze_is_clean_and_extremes_stay_angles(motion):
    clean = spoil(motion, "clean", 0, rng())
    np.testing.assert_allclose(clean.gaze, motion.gaze, atol=1e-6)
    edge = motion.replace(gaze=np.tile([1.57, 3.1], (N, 1)))
    spoil(edge, "noise", 20.0, rng())  # a Motion refuses what is not an angle


@pytest.mark.parametrize("name", LEVELS)
@pytest.mark.parametrize("fps", [5.0, 30.0])
def test_spoilt_gaze_keeps_its_times(motion, name, fps):
    """At the model's rate, every degradation stays on the recording's clock."""
    recording = motion.replace(head=np.zeros((N, 3)))
    level = LEVELS[name][1][0]
    made = _spoilt(recording, name, level, fps, rng())
    assert made.fps == fps
    assert len(made) >= N * fps / FPS - 1
    t = np.arange(len(made)) / fps - (level / 1000 if name == "latency" else 0)
    expected = np.stack([0.2 * np.sin(t), 0.4 * np.cos(0.7 * t)], -1)
    # Half a frame of 30 fps, the offset of a bias, and a slow rate's corners.
    near = np.deg2rad(2.6) if name in ("bias", "noise") else 0.02
    error = np.abs(made.gaze - expected)[made.valid]
    assert np.quantile(error, 0.95) < near


def test_input_at_another_rate_is_seen_at_that_rate():
    """At 5 fps a jump becomes a ramp of a fifth of a second; at 60 it stays."""
    yaw = np.where(np.arange(120) < 63, 0.0, 1.0)
    jump = Motion(np.stack([0 * yaw, yaw], -1), np.zeros((120, 3)), 60.0)
    slow = _spoilt(jump, "fps", 5.0, 30.0, rng()).gaze[:, 1]
    fast = _spoilt(jump, "fps", 60.0, 30.0, rng()).gaze[:, 1]
    between = lambda x: ((x > 0.01) & (x < 0.99)).sum()
    assert between(slow) >= 4
    assert between(fast) <= 1


def test_windows_are_valid_where_they_must_be():
    valid = np.ones(100, bool)
    valid[[3, 40, 41, 42, 43]] = False
    motion = Motion(np.zeros((100, 2)), np.zeros((100, 3)), 10.0, valid=valid)
    assert _places([motion], 10.0, 2, 20) == [(0, 0), (0, 20), (0, 44), (0, 64)]


def following(past, gaze, num_samples, seed):
    """Heads that are gaze, held where it is lost, with samples a little apart."""
    last = np.maximum.accumulate(np.where(gaze.valid, np.arange(len(gaze)), 0))
    apart = np.random.default_rng(seed).normal(0, 0.02, (num_samples, 1, 2))
    return gaze.gaze[last][None] + apart


@pytest.fixture(scope="module")
def found(small_dataset):
    checkpoint = random_checkpoint("window")
    return robustness(
        checkpoint,
        small_dataset,
        "validation",
        max_windows=12,
        predictor=following,
    )


def test_what_degrades_shows_in_the_score(found):
    clean = found.clean
    energy = lambda name: [row["energy_score_deg"] for row in found.rows[name].values()]
    assert energy("bias")[-1] > clean["energy_score_deg"] + 2
    assert energy("bias") == sorted(energy("bias"))
    noise = [row["jerk_ratio"] for row in found.rows["noise"].values()]
    assert noise == sorted(noise)
    assert noise[-1] > 2 * clean["jerk_ratio"]
    late = found.rows["latency"][400]["lag_yaw_s"] - clean["lag_yaw_s"]
    assert late == pytest.approx(0.4, abs=0.05)
    # 20 % of 30 fps frames lost: at 5 fps each still has some of its own.
    assert energy("dropped")[2] == pytest.approx(clean["energy_score_deg"], abs=0.3)
    assert found.about["windows"] <= 12
    assert all(np.isfinite(clean[k]) for keys, _ in COLUMNS.values() for k in keys)


def test_the_target_is_the_same_in_every_row(found):
    for levels in found.rows.values():
        for row in levels.values():
            assert row["num_frames"] == found.clean["num_frames"]
            same = found.clean["variance_yaw_real_deg2"]
            assert row["variance_yaw_real_deg2"] == pytest.approx(same)


def test_it_is_written_and_drawn(found, tmp_path, capsys):
    path = found.save(tmp_path / "r.json")
    saved = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert list(saved["rows"]["noise"]) == ["0.5", "1", "2", "4", "8"]
    text = path.with_suffix(".md").read_text()
    assert "| noise 0.5° |" in text
    assert "| fps 120 fps |" not in text
    assert "| 120 fps |" in text
    found.show()
    assert "latency 400 ms" in capsys.readouterr().out
    plot_robustness(found, tmp_path / "r.png")
    assert (tmp_path / "r.png").stat().st_size > 10_000


@pytest.mark.parametrize("kind", [*MODELS, "natural"])
def test_any_checkpoint_runs(kind, small_dataset, monkeypatch):
    some = {"dropped": (" %", (20,)), "fps": (" fps", (10, 60))}
    monkeypatch.setattr("gazehead_jax.robustness.LEVELS", some)
    told = []
    checkpoint = random_checkpoint(kind)
    if kind == "frame":
        data = dataclasses.replace(checkpoint.config.data, fps=25.0)
        config = dataclasses.replace(checkpoint.config, data=data)
        checkpoint = dataclasses.replace(checkpoint, config=config)
    found = robustness(
        checkpoint,
        small_dataset,
        "validation",
        max_windows=3,
        num_samples=2,
        progress=told.append,
    )
    assert told == ["clean", "dropped 20 %", "10 fps", "60 fps"]
    assert np.isfinite(found.clean["energy_score_deg"])
    assert np.isnan(found.clean["coverage90_yaw"])  # of two samples there is none


def test_intervals_need_people(found, small_dataset, monkeypatch):
    assert found.intervals["noise"][2] == {}
    monkeypatch.setattr("gazehead_jax.robustness.MIN_PEOPLE", 2)
    monkeypatch.setattr("gazehead_jax.robustness.LEVELS", {"bias": ("°", (5,))})
    found = robustness(
        random_checkpoint("window"), small_dataset, "validation", predictor=following
    )
    low, high = found.intervals["bias"][5]["energy_score_deg"]
    assert low <= found.rows["bias"][5]["energy_score_deg"] <= high


def test_bad_counts_and_no_data_are_told(small_dataset):
    checkpoint = random_checkpoint("window")
    with pytest.raises(GazeheadError, match="must be ≥ 1, got 0"):
        robustness(checkpoint, small_dataset, num_samples=0)
    data = dataclasses.replace(checkpoint.config.model, context=2000)
    config = dataclasses.replace(checkpoint.config, model=data)
    with pytest.raises(GazeheadError, match="no valid window"):
        robustness(dataclasses.replace(checkpoint, config=config), small_dataset)
