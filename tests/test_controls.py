"""Amplitude, rest pose, limits, temperature, style and best-of."""

import numpy as np
import pytest
from conftest import random_checkpoint

from gazehead_jax import cli, sampling
from gazehead_jax.controls import Controls, soft_limit
from gazehead_jax.errors import GazeheadError
from gazehead_jax.head_stream import HeadStream
from gazehead_jax.motion import Motion
from gazehead_jax.sampling import sample


@pytest.fixture(scope="module")
def checkpoint():
    return random_checkpoint("natural")


@pytest.fixture
def heads(checkpoint, gaze_motion):
    return lambda **options: np.stack(
        [m.head for m in sample(checkpoint, gaze_motion, **options)]
    )


def test_without_controls_nothing_changes(heads):
    np.testing.assert_array_equal(heads(), heads(controls=Controls()))


def test_amplitude_scales_movement_about_the_rest_pose(heads):
    rest = (0.1, -0.2, 0.05)
    usual = heads()
    half = heads(controls=Controls(amplitude=0.5, rest_pose=rest))
    np.testing.assert_allclose(half, np.float32(rest) + 0.5 * usual, atol=1e-6)
    still = heads(controls=Controls(amplitude=0.0, rest_pose=rest))
    np.testing.assert_allclose(still, np.broadcast_to(rest, still.shape), atol=1e-6)


def test_limits_are_soft_kept_and_leave_small_angles_alone():
    angles = np.linspace(-3, 3, 6001)[:, None]
    out = soft_limit(angles, [0.5])
    assert np.abs(out).max() <= 0.5
    small = np.abs(angles) <= 0.35
    np.testing.assert_array_equal(out[small], angles[small])
    slope = np.diff(out[:, 0]) / np.diff(angles[:, 0])
    assert slope.min() >= 0
    assert np.abs(np.diff(slope)).max() < 0.02  # No corner.


def test_a_head_that_turns_through_behind_does_not_jump(checkpoint, monkeypatch):
    """Half a turn at half the amplitude goes on at a right angle."""
    yaw = np.deg2rad(90 + 6.0 * np.arange(100))
    turn = np.zeros((1, 100, 3), np.float32)
    turn[0, :, 1] = (yaw + np.pi) % (2 * np.pi) - np.pi
    halved = Controls(amplitude=0.5, rest_pose=(0.0, 0.3, 0.0))
    turning = lambda model, state, gaze, *rest: iter([turn[:, : gaze.shape[1]]])
    monkeypatch.setattr(sampling, "rollout", turning)
    still = Motion(np.zeros((61, 2)), None, fps=checkpoint.config.data.fps)
    (made,) = sample(checkpoint, still, controls=halved)
    moved = np.unwrap(made.head[:, 1])
    np.testing.assert_allclose(np.diff(moved), np.deg2rad(3), atol=1e-5)
    np.testing.assert_allclose(moved[0], np.pi / 4 + 0.3, atol=1e-5)
    stream = HeadStream(checkpoint, controls=halved)
    frames = iter(turn[0])
    stream._advance = lambda *given: next(frames)[None]
    live = [stream.step(np.zeros(2))[0] for _ in range(61)]
    np.testing.assert_allclose(live, made.head, atol=1e-5)


def test_extreme_settings_stay_angles(heads):
    wild = heads(controls=Controls(amplitude=1e6))
    assert np.isfinite(wild).all()
    assert np.abs(wild[..., 0]).max() <= np.pi / 2 + 1e-6
    limited = heads(controls=Controls(amplitude=1e6, limits=(0.2, 0.3, 0.1)))
    assert (np.abs(limited).max((0, 1)) <= np.float32([0.2, 0.3, 0.1]) + 1e-6).all()


def test_temperature_zero_leaves_one_way_for_a_style(heads):
    style = [0.5, -0.5]
    cold = heads(num_samples=3, temperature=0.0, style=style)
    np.testing.assert_allclose(cold[0], cold[1], atol=1e-6)
    spread = lambda x: x.std(0).mean()
    warm, hot = (heads(num_samples=8, temperature=t, style=style) for t in (1.0, 2.0))
    assert 0 < spread(warm) < spread(hot)
    # Styles differ.
    other = heads(num_samples=1, temperature=0.0, style=[-2.0, 2.0])
    assert np.abs(other[0] - cold[0]).max() > 1e-4


def test_best_of_is_the_most_typical(heads):
    many = heads(num_samples=5)
    (best,) = heads(best_of=5)
    apart = [np.linalg.norm(many - one, axis=-1).mean() for one in many]
    np.testing.assert_array_equal(best, many[int(np.argmin(apart))])


def test_the_stream_obeys_them_too(checkpoint, gaze_motion):
    options = dict(
        temperature=0.5, style=[1.0, 0.0], controls=Controls(0.5, (0.1, 0.0, 0.0))
    )
    expected = sample(checkpoint, gaze_motion, seed=3, **options)[0].head
    stream = HeadStream(checkpoint, seed=3, **options)
    for t in range(len(gaze_motion)):
        head = stream.step(gaze_motion.gaze[t], bool(gaze_motion.valid[t]))
        np.testing.assert_allclose(head[0], expected[t], atol=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"amplitude": -1.0}, "amplitude"),
        ({"limits": (0.1, 0.0, 0.1)}, "limits must be above 0"),
        ({"rest_pose": (30.0, 0.0, 0.0)}, "in radians"),
        ({"rest_pose": (np.nan, 0.0, 0.0)}, "rest_pose"),
        ({"limits": (10.0, 20.0, 10.0)}, "limits must be in radians"),
    ],
)
def test_values_that_cannot_be(options, words):
    with pytest.raises(GazeheadError, match=words):
        Controls(**options)


def test_sampling_refuses_what_cannot_be(checkpoint, gaze_motion):
    for options, words in (
        ({"temperature": -0.1}, "temperature"),
        ({"best_of": 0}, "best_of"),
        ({"best_of": 2}, "neither of two"),
        ({"style": [1.0, 2.0, 3.0]}, "one number along its axis or 2"),
    ):
        with pytest.raises(GazeheadError, match=words):
            sample(checkpoint, gaze_motion, **options)
    with pytest.raises(GazeheadError, match="has no styles"):
        sample(random_checkpoint("window"), gaze_motion, style=[1.0])


def test_the_command_takes_degrees(trained, tmp_path):
    from gazehead_jax.motion_io import load_motion, save_motion

    save_motion(tmp_path / "gaze.csv", Motion(np.zeros((30, 2)), None, 30))
    arguments = ["sample", "--checkpoint", str(trained), "--gaze"]
    arguments += [str(tmp_path / "gaze.csv"), "--out", str(tmp_path / "h.npz")]
    still = ["--amplitude", "0", "--rest-pose", "10", "-20", "5"]
    assert cli.main([*arguments, *still]) == 0
    head = load_motion(tmp_path / "h.npz").head
    np.testing.assert_allclose(np.rad2deg(head), [[10, -20, 5]] * 30, atol=1e-3)
