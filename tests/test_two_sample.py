"""Two-sample test: half for equals, nearly all for what an eye would see."""

import numpy as np
import pytest

from gazehead_jax import two_sample
from gazehead_jax.errors import GazeheadError
from gazehead_jax.motion import gaze_in_head

FPS = 30.0


def smooth(rng, n, d):
    x = np.cumsum(np.cumsum(rng.normal(0, 1, (n, 60, d)), 1), 1)
    return 0.2 * x / np.abs(x).max()


@pytest.fixture(scope="module")
def world():
    """Gaze, two heads from one law for it, and whose they are."""
    rng = np.random.default_rng(0)
    gaze = smooth(rng, 240, 2)
    base = np.pad(0.6 * gaze, [(0, 0), (0, 0), (0, 1)])
    one, two = (base + 0.3 * smooth(rng, 240, 3) for _ in range(2))
    return gaze, one, two, [f"p{i % 6}" for i in range(240)]


def test_features_by_hand():
    rng = np.random.default_rng(1)
    gaze, head = rng.normal(0, 0.2, (3, 5, 2)), rng.normal(0, 0.2, (3, 5, 3))
    head[:, :, 1] += 3.0  # some steps pass through ±180°
    wrapped = (head + np.pi) % (2 * np.pi) - np.pi
    found = two_sample.features(gaze, wrapped, FPS)
    assert found.shape == (3, 4, 12)
    np.testing.assert_allclose(
        found[..., :2], gaze_in_head(gaze, head)[:, 1:], atol=1e-9
    )
    np.testing.assert_allclose(found[..., 2:4], 3 * np.diff(gaze, axis=1), atol=1e-9)
    np.testing.assert_allclose(found[..., 4:7], 3 * np.diff(head, axis=1), atol=1e-9)
    np.testing.assert_allclose(found[..., 7:10], (head - head[:, :1])[:, 1:], atol=1e-9)
    np.testing.assert_allclose(found[..., 10:], head[:, 1:, ::2], atol=1e-9)


def test_turning_round_in_place_changes_nothing():
    rng = np.random.default_rng(2)
    gaze, head = rng.normal(0, 0.2, (3, 5, 2)), rng.normal(0, 0.2, (3, 5, 3))
    one = two_sample.features(gaze, head, FPS)
    two = two_sample.features(gaze + [0, 1.0], head + [0, 1.0, 0], FPS)
    np.testing.assert_allclose(one, two, atol=1e-9)


def test_equals_cannot_be_told_apart_and_jitter_can(world):
    gaze, one, two, people = world
    real = two_sample.features(gaze, one, FPS)
    equal = two_sample.two_sample_test(
        real, two_sample.features(gaze, two, FPS), people
    )
    assert 0.4 < equal.accuracy < 0.6
    assert equal.windows == 240
    assert list(equal.people) == [f"p{i}" for i in range(6)]
    assert equal.accuracy == pytest.approx(np.mean(list(equal.people.values())))
    jitter = two + np.random.default_rng(3).normal(0, 0.01, two.shape)
    told = two_sample.two_sample_test(
        real, two_sample.features(gaze, jitter, FPS), people
    )
    assert told.accuracy > 0.9
    floor = two_sample.floor_test(real, people)
    assert 0.38 < floor.accuracy < 0.62
    assert floor.windows == 120


def test_nobody_is_both_learned_from_and_asked_about(world, monkeypatch):
    gaze, one, two, people = world
    x = two_sample.features(gaze, one, FPS)
    # The first channel names the person; the windows trained on must lack the held.
    for i, name in enumerate(people):
        x[i, :, 0] = int(name[1])
    trained, asked = [], []
    train, logits = two_sample._train, two_sample._logits
    monkeypatch.setattr(two_sample, "EPOCHS", 1)
    monkeypatch.setattr(
        two_sample,
        "_train",
        lambda x, *rest: (
            trained.append(set(np.round(x[:, 0, 0], 3).tolist())) or train(x, *rest)
        ),
    )
    monkeypatch.setattr(
        two_sample,
        "_logits",
        lambda p, x: (
            asked.append(set(np.round(np.asarray(x)[:, 0, 0], 3).tolist()))
            or logits(p, x)
        ),
    )
    two_sample.two_sample_test(x, x, people)
    assert len(trained) == len(asked) == 5
    for one_fold, other in zip(trained, asked, strict=True):
        assert not one_fold & other
        assert len(one_fold | other) == 6


def test_windows_lie_end_to_end_in_valid_frames(world):
    rng = np.random.default_rng(4)
    gaze, head = rng.normal(0, 0.1, (300, 2)), rng.normal(0, 0.1, (300, 3))
    valid = np.ones(300, bool)
    valid[[70, 71]] = False
    head[~valid] = np.nan
    one, two = two_sample.windows_of(gaze, [head, head + 0.1], valid, FPS)
    starts = [0, 72, 132, 192]
    for i, start in enumerate(starts):
        part = slice(start, start + 60)
        expected = two_sample.features(gaze[None, part], head[None, part], FPS)[0]
        np.testing.assert_array_equal(one[i], expected)
    assert one.shape == two.shape == (4, 59, 12)
    (none,) = two_sample.windows_of(gaze[:50], [head[:50]], valid[:50], FPS)
    assert none.shape == (0, 59, 12)


def test_evenly():
    people = ["a"] * 10 + ["b"] * 2
    chosen = two_sample.evenly(people, 3)
    assert chosen.tolist() == [0, 4, 9, 10, 11]


def test_bad_input_is_told(world):
    gaze, one, *_ = world
    x = two_sample.features(gaze, one, FPS)
    with pytest.raises(GazeheadError, match="at least two, got 1"):
        two_sample.two_sample_test(x, x, ["p"] * 240)
    with pytest.raises(GazeheadError, match="got 240, 240 and 10"):
        two_sample.two_sample_test(x, x, ["p", "q"] * 5)
    x[0, 0, 0] = np.nan
    with pytest.raises(GazeheadError, match="finite windows"):
        two_sample.two_sample_test(x, x, ["p", "q"] * 120)
