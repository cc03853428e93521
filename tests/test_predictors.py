"""Predictors: many motions in one rollout are the motions one by one."""

import numpy as np
import pytest
from conftest import random_checkpoint

from gazehead_jax import predictors, simulator
from gazehead_jax.baselines import HoldLast
from gazehead_jax.motion import Motion
from gazehead_jax.sampling import sample

FPS = 5


@pytest.fixture(scope="module")
def motions():
    """Motions of two lengths, with some frames that do not count."""
    out = []
    for i in range(5):
        motion = simulator.simulate(4 + 10 * (i % 2), FPS, seed=i, subject=f"p{i}")
        valid = np.random.default_rng(i).random(len(motion)) > 0.1
        valid[:2] = True
        out.append(motion.replace(valid=valid))
    return out


def test_many_are_those_one_by_one(tiny_checkpoint, motions, monkeypatch):
    # Two motions a rollout, so that groups are padded in length and in number.
    monkeypatch.setattr(predictors, "MAX_ROWS", 7)
    predictor = predictors.model_predictor(tiny_checkpoint)
    pasts, ahead = [m[:2] for m in motions], [m[2:] for m in motions]
    many = predictors.predict_all(predictor, pasts, ahead, 3, seed=7)
    for i, heads in enumerate(many):
        assert heads.shape == (3, len(ahead[i]), tiny_checkpoint.config.model.head_dim)
        alone = predictor(pasts[i], ahead[i], 3, 7 + i)
        np.testing.assert_allclose(heads, alone, atol=1e-5)
        assert np.abs(heads[0] - heads[1]).max() > 1e-3
    assert predictors.predict_all(predictor, [], [], 3, seed=7) == []


def test_baselines_and_real_heads_obey_the_same_call(motions):
    hold = predictors.baseline_predictor(HoldLast(), 2)
    pasts, ahead = [m[:2] for m in motions], [m[2:] for m in motions]
    for m, held in zip(
        motions, predictors.predict_all(hold, pasts, ahead, 3, 0), strict=True
    ):
        assert held.shape == (3, len(m) - 2, 2)
        np.testing.assert_array_equal(held[1, -1], m.head[1, :2])
    real = predictors.real_predictor(3)(pasts[0], ahead[0], 1, 0)
    np.testing.assert_array_equal(real[0], ahead[0].head)


def test_a_slower_model_sees_its_own_frames_of_the_past():
    checkpoint = random_checkpoint("window")
    assert predictors.frames_before(checkpoint, 25.0) == 10
    motion = simulator.simulate(4, 25.0, seed=0)
    past, ahead = motion[:12], motion[12:]
    heads = predictors.model_predictor(checkpoint, 25.0)(past, ahead, 3, 5)
    assert heads.shape == (3, len(ahead), 2)
    # Two frames, 0.4 s and 0.2 s before the first to come.
    context = Motion(
        gaze=past.gaze[[2, 7]],
        head=past.head[[2, 7]],
        fps=5.0,
        valid=past.valid[[2, 7]],
    )
    made = sample(checkpoint, ahead, num_samples=3, seed=5, context=context)
    np.testing.assert_allclose(heads[1], made[1].head[:, :2], atol=1e-5)
    same = predictors.model_predictor(checkpoint, 5.0)
    assert isinstance(same, predictors.ModelPredictor)
