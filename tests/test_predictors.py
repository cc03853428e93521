"""Predictors: many motions in one rollout are the motions one by one."""

import numpy as np
import pytest

from gazehead_jax import predictors, simulator
from gazehead_jax.baselines import HoldLast

FPS = 5


@pytest.fixture(scope="module")
def motions():
    """Nine motions of differing length, some with frames that do not count."""
    out = []
    for i in range(9):
        motion = simulator.simulate(4 + 5 * (i % 3), FPS, seed=i, subject=f"p{i}")
        valid = np.random.default_rng(i).random(len(motion)) > 0.1
        valid[:2] = True
        out.append(motion.replace(valid=valid))
    return out


def test_many_are_those_one_by_one(tiny_checkpoint, motions, monkeypatch):
    # Four motions a rollout, so that groups are padded in length and in number.
    monkeypatch.setattr(predictors, "MAX_ROWS", 12)
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
