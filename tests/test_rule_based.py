"""The rule-based controller: known steps of gaze get known turns of the head."""

import numpy as np
import pytest

from gazehead_jax import baselines, rule_based
from gazehead_jax.motion import Motion, gaze_in_head

FPS = 100.0
REST = np.zeros(3)


def step(yaw_deg, pitch_deg=0.0, at_s=0.5, seconds=3.0):
    gaze = np.zeros((round(seconds * FPS), 2))
    gaze[round(at_s * FPS) :] = np.deg2rad([pitch_deg, yaw_deg])
    return gaze


def turn(gaze, align=0.5, latency=0.1, head=REST, threshold=2.0):
    align = np.broadcast_to(align, (1, 2))
    return rule_based.follow(gaze, FPS, head, align, latency, np.deg2rad(threshold))[0]


@pytest.mark.parametrize("amplitude", [10.0, -25.0, 60.0])
def test_a_step_of_gaze(amplitude):
    head = turn(step(amplitude))
    size = abs(amplitude)
    least = max(0, size - 35)
    wanted = least + (size - least) * 0.5
    assert np.rad2deg(head[-1, 1]) == pytest.approx(np.sign(amplitude) * wanted)
    np.testing.assert_array_equal(head[:, [0, 2]], 0)
    # It sets out a latency after the step, not before.
    moved = np.flatnonzero(np.abs(head[:, 1]) > 1e-9)
    assert moved[0] / FPS == pytest.approx(0.6, abs=1.5 / FPS)
    speed = np.rad2deg(np.abs(np.diff(head[:, 1])).max()) * FPS
    assert speed == pytest.approx(4 / 3 * wanted + 20, rel=0.01)
    # Monotonous, then still.
    assert (np.diff(head[:, 1]) * np.sign(amplitude) >= -1e-12).all()


@pytest.mark.parametrize(("pitch", "limit"), [(50.0, 20.0), (-50.0, 25.0)])
def test_an_eye_mover_turns_only_to_keep_the_eye_in_range(pitch, limit):
    head = turn(step(0, pitch), align=0.0)
    assert abs(np.rad2deg(head[-1, 0])) == pytest.approx(50 - limit)
    np.testing.assert_array_equal(turn(step(20.0), align=0.0), 0)


def test_a_head_mover_faces_the_target():
    gaze = step(40, 10)
    head = turn(gaze, align=1.0)
    np.testing.assert_allclose(head[-1, :2], gaze[-1])


def test_the_eye_turns_back_while_the_head_comes_after():
    gaze = step(30)
    head = turn(gaze, align=0.8)
    eye = gaze_in_head(gaze, head)[:, 1]
    moving = slice(63, 100)  # gaze has landed, the head is under way
    np.testing.assert_allclose(
        np.diff(eye[moving]), -np.diff(head[moving, 1]), atol=1e-9
    )
    assert np.abs(np.diff(eye[moving])).max() > 1e-3


def test_small_wandering_of_gaze_moves_nothing():
    rng = np.random.default_rng(0)
    gaze = np.deg2rad(rng.uniform(-1, 1, (300, 2)))
    np.testing.assert_array_equal(turn(gaze), 0)


def test_a_shift_before_the_head_set_out_replaces_the_plan():
    """A saccade over three frames is one movement: same peak speed, same onset."""
    gaze = step(30)
    gaze[50], gaze[51] = gaze[60] / 3, gaze[60] * 2 / 3
    np.testing.assert_allclose(turn(gaze), turn(step(30)), atol=1e-12)


def test_movements_add_up_without_a_jump():
    gaze = step(40)
    gaze[80:] = np.deg2rad([0, -40])
    head = np.rad2deg(turn(gaze)[:, 1])
    # It was going for 22.5° (least 5 + 35/2), from there for -40: least 27.5, then half.
    assert head[-1] == pytest.approx(22.5 - (27.5 + 35 / 2))
    assert np.abs(np.diff(head, n=2)).max() < 0.1


def test_it_turns_full_circles_and_by_the_short_way():
    """Gaze goes round in steps of 30°; the head follows through ±180°."""
    gaze = np.zeros((1800, 2))
    gaze[:, 1] = np.deg2rad(30) * (np.arange(1800) // 120)
    wrapped = gaze.copy()
    wrapped[:, 1] = (gaze[:, 1] + np.pi) % (2 * np.pi) - np.pi
    head = turn(wrapped, align=1.0)
    assert np.abs(head[:, 1]).max() <= np.pi + 1e-9
    travelled = np.unwrap(head[:, 1])
    assert (np.diff(travelled) >= -1e-9).all()
    assert travelled[-1] == pytest.approx(gaze[-1, 1])
    # From another place to start from, everything is turned with it.
    place = np.array([0.0, 3.0, 0.1])
    there = gaze + [0, 3.0]
    moved = turn(there, align=1.0, head=place)
    np.testing.assert_allclose(np.unwrap(moved[:, 1]) - 3, travelled, atol=1e-9)
    np.testing.assert_array_equal(moved[:, 2], 0.1)


def test_a_target_out_of_the_eyes_reach_at_the_start_is_gone_for():
    gaze = np.full((200, 2), [0.0, np.deg2rad(80)])
    assert np.rad2deg(turn(gaze, align=0.0)[-1, 1]) == pytest.approx(45)
    gaze = np.full((200, 2), [0.0, np.deg2rad(20)])
    np.testing.assert_array_equal(turn(gaze, align=1.0), 0)


def saccades(seed, seconds=40):
    rng = np.random.default_rng(seed)
    fixations = np.deg2rad(rng.uniform([-15, -40], [15, 40], (seconds, 2)))
    return np.repeat(fixations, 30, axis=0)


def test_the_fit_finds_what_was_planted():
    fps, latency, people = 30.0, 0.15, {"eye": (0.15, 0.3), "head": (0.6, 0.9)}
    motions = []
    for seed, (name, align) in enumerate(people.items()):
        gaze = saccades(seed)
        head = rule_based.follow(
            gaze, fps, REST, np.array([align]), latency, np.deg2rad(5)
        )[0]
        motions.append(Motion(gaze=gaze, head=head, fps=fps, subject=name))
    fit = baselines.fit_baseline("rule_based", motions)
    assert fit.settings.latency_s == latency
    np.testing.assert_allclose(fit.settings.align, list(people.values()))
    # Each sample is one of the two.
    m = motions[0]
    heads = fit.sample(m.gaze, m.valid, fps, m.head[:1], 20, seed=0)
    ends = {tuple(np.round(h[-1], 9)) for h in heads}
    assert len(ends) == 2
    again = fit.sample(m.gaze, m.valid, fps, m.head[:1], 20, seed=0)
    np.testing.assert_array_equal(again, heads)
