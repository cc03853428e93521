"""A natural model that sees where gaze will be in a moment."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import random_checkpoint, tiny_config
from test_natural import windows

from gazehead_jax import energy, natural
from gazehead_jax.data import WindowTable
from gazehead_jax.errors import GazeheadError
from gazehead_jax.head_stream import HeadStream
from gazehead_jax.motion import Motion
from gazehead_jax.rollout import initial_state, rollout, sample_keys
from gazehead_jax.sampling import sample

CONFIG = tiny_config("lookahead")
AHEAD = CONFIG.model.lookahead


def heads_of(gaze, valid=None, *, live=False, chunk=64, context=None):
    checkpoint = random_checkpoint("lookahead")
    state = initial_state(checkpoint, sample_keys(0, 2), context)
    rows = np.broadcast_to(gaze[None], (2, *gaze.shape)).astype(np.float32)
    valid = np.ones(len(gaze), bool) if valid is None else valid
    rows_valid = np.broadcast_to(valid[None], (2, len(gaze)))
    chunks = rollout(checkpoint, state, rows, rows_valid, chunk, live=live)
    return np.concatenate(list(chunks), 1)


def wander(length=60):
    return np.cumsum(np.random.default_rng(0).normal(0, 0.05, (length, 2)), 0)


def test_what_is_seen_lies_where_it_should():
    gaze = np.arange(20, dtype=np.float32).reshape(1, 10, 2)
    valid = np.ones((1, 10), bool)
    valid[0, 5] = False
    seen = natural.seen_gaze(CONFIG.model, gaze, valid, 10)
    assert seen.shape == (1, 10, 2 + 3 * natural.LOOKS)
    np.testing.assert_array_equal(seen[..., :2], gaze)
    offsets = [2, 3, 5, 6]  # quarters of 6, rounded up
    for i, offset in enumerate(offsets):
        look = seen[0, :, 2 + 3 * i : 5 + 3 * i]
        for frame in range(10):
            there = frame + offset
            if there < 10 and valid[0, there]:
                np.testing.assert_array_equal(look[frame], [*gaze[0, there], 1])
            else:
                np.testing.assert_array_equal(look[frame], 0)
    on_device = natural.seen_gaze(
        CONFIG.model, jnp.asarray(gaze), jnp.asarray(valid), 10
    )
    np.testing.assert_array_equal(on_device, seen)


def test_heads_know_of_gaze_so_far_ahead_and_no_further():
    gaze = wander()
    other = gaze.copy()
    other[40:] += 0.5
    before, after = heads_of(gaze), heads_of(other)
    np.testing.assert_array_equal(before[:, : 40 - AHEAD], after[:, : 40 - AHEAD])
    assert (before[:, 40 - AHEAD : 40] != after[:, 40 - AHEAD : 40]).any((0, 2)).all()


def test_live_heads_know_of_nothing_to_come():
    gaze = wander()
    other = gaze.copy()
    other[40:] += 0.5
    before, after = heads_of(gaze, live=True), heads_of(other, live=True)
    np.testing.assert_array_equal(before[:, :40], after[:, :40])
    assert (before[:, 40:] != after[:, 40:]).any((0, 2)).all()


@pytest.mark.parametrize("chunk", [1, 7, 60, 200])
def test_the_chunk_size_changes_nothing(chunk):
    valid = np.ones(60, bool)
    valid[18:23] = False
    whole = heads_of(wander(), valid)
    np.testing.assert_allclose(heads_of(wander(), valid, chunk=chunk), whole, atol=1e-5)


def test_the_stream_is_the_live_rollout():
    gaze = wander(30).astype(np.float32)
    stream = HeadStream(random_checkpoint("lookahead"), num_samples=2)
    streamed = np.stack([stream.step(g) for g in gaze], 1)
    np.testing.assert_allclose(streamed, heads_of(gaze, live=True), atol=1e-5)


def test_sampling_can_be_told_to_be_live():
    checkpoint, gaze = random_checkpoint("lookahead"), wander()
    motion = Motion(gaze, None, checkpoint.config.data.fps)
    (offline,), (live,) = (
        sample(checkpoint, motion, live=live) for live in (False, True)
    )
    # Sampling holds the last gaze on, so that the end is seen coming.
    known = slice(0, -AHEAD)
    np.testing.assert_allclose(offline.head[known], heads_of(gaze)[0][known], atol=1e-5)
    np.testing.assert_allclose(live.head, heads_of(gaze, live=True)[0], atol=1e-5)


def test_the_frames_to_come_are_seen_and_not_scored():
    """Their heads count for nothing, their gaze does; when live neither does."""
    params = natural.init_params(CONFIG.model, jax.random.key(0))
    w = windows(b=4, extra=AHEAD)
    moved = w.replace(gaze=w.gaze.at[:, -1].add(0.5))
    turned = w.replace(head=w.head.at[:, -AHEAD:].add(0.5))

    def loss(windows, live):
        config = tiny_config("lookahead", **{"loss.live": live})
        key, rows = jax.random.key(1), jnp.arange(4)
        return energy.energy_loss(config, params, windows, key, rows, True)[0]

    offline, live = loss(w, 0.0), loss(w, 1.0)
    assert (loss(moved, 0.0) != offline).all()
    np.testing.assert_array_equal(loss(moved, 1.0), live)
    np.testing.assert_array_equal(loss(turned, 0.0), offline)


def test_windows_are_long_enough_to_look_ahead():
    rng = np.random.default_rng(0)
    gaze = np.cumsum(rng.normal(0, 0.05, (60, 2)), 0)
    head = np.concatenate([0.6 * gaze, np.zeros((60, 1))], 1)
    motions = [Motion(gaze, head, CONFIG.data.fps, subject="a")]
    table = WindowTable(motions, CONFIG.data, CONFIG.model)
    assert table.length == CONFIG.model.context + CONFIG.data.horizon + AHEAD


def test_only_a_natural_model_looks_ahead():
    with pytest.raises(GazeheadError, match="only a natural model looks ahead"):
        tiny_config("window", **{"model.lookahead": 2})
