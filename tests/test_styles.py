"""The axis that styles are measured along."""

import dataclasses

import numpy as np
import pytest
from conftest import random_checkpoint

from gazehead_jax import styles
from gazehead_jax.errors import GazeheadError
from gazehead_jax.rollout import initial_state, sample_keys


@pytest.fixture
def checkpoint():
    return random_checkpoint("natural")


def test_shares_are_of_the_jump_that_was_asked_for(checkpoint, monkeypatch):
    """Heads that take as much of each jump as their style says."""

    def follow(checkpoint, state, gaze, valid):
        share = np.asarray(state.carry.style)[:, :1]
        yaw = share * gaze[..., 1]
        yield np.stack([0 * yaw, yaw, 0 * yaw], -1)

    monkeypatch.setattr(styles, "rollout", follow)
    given = np.array([[0.0, 3], [0.5, -1], [1.0, 0]])
    np.testing.assert_allclose(
        styles.head_shares(checkpoint, given), given[:, 0], atol=1e-6
    )
    axis = styles.measure_axis(checkpoint)
    np.testing.assert_allclose(axis.direction, [1, 0], atol=1e-5)
    np.testing.assert_allclose(axis.head_share, axis.amounts, atol=1e-5)


def test_one_number_goes_along_the_axis_and_leaves_the_rest_to_chance(checkpoint):
    axis = {"direction": [0.6, 0.8]}
    measured = dataclasses.replace(checkpoint, provenance={"style_axis": axis})
    keys = sample_keys(0, 64)
    drawn = np.asarray(initial_state(measured, keys).carry.style)
    along = np.asarray(initial_state(measured, keys, style=1.5).carry.style)
    np.testing.assert_allclose(along @ [0.6, 0.8], 1.5, atol=1e-5)
    beside = np.array([-0.8, 0.6])
    np.testing.assert_allclose(along @ beside, drawn @ beside, atol=1e-5)
    with pytest.raises(GazeheadError, match="has not been measured"):
        initial_state(checkpoint, keys, style=1.5)
    with pytest.raises(GazeheadError, match="must be finite"):
        initial_state(measured, keys, style=float("nan"))


def test_a_model_without_styles_has_no_axis(checkpoint):
    plain = random_checkpoint("window")
    with pytest.raises(GazeheadError, match="no styles to measure"):
        styles.measure_axis(plain)
    assert styles.with_axis(plain) is plain
    with pytest.raises(GazeheadError, match="has no styles; leave it out"):
        initial_state(plain, sample_keys(0, 1), style=1.0)
    assert "style_axis" in styles.with_axis(checkpoint).provenance


def test_every_style_gets_the_same_noise(checkpoint):
    same = styles.head_shares(checkpoint, np.ones((3, 2)))
    np.testing.assert_allclose(same, same[0], atol=1e-5)
