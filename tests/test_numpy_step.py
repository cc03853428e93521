"""The step in NumPy is the network's step."""

import functools
import subprocess
import sys

import jax
import numpy as np
import pytest
from conftest import random_checkpoint

from gazehead_jax import model, natural, networks, numpy_step
from gazehead_jax.numpy_step import NumpyStep

KINDS = ["window", "frame", "no_temporal", "natural", "lookahead", "camera_gaze"]


def driving(config, frames=200, rows=3, seed=0):
    """Gaze that crosses ±180°, with blinks, what is to come, and noise."""
    rng = np.random.default_rng(seed)
    length = frames + config.lookahead
    gaze = np.cumsum(rng.normal(0, 0.03, (rows, length, 2)), 1).astype(np.float32)
    gaze[..., 0] = np.clip(gaze[..., 0], -1.2, 1.2)
    if config.kind == "natural":
        gaze[0, :, 1] += 3
        gaze[..., 1] = (gaze[..., 1] + np.pi) % (2 * np.pi) - np.pi
    valid = rng.random((rows, length)) > 0.2
    # Blind at the beginning: the first gaze that is seen is no movement.
    valid[0, :5] = False
    seen = networks.seen_gaze(config, gaze, valid, frames).astype(np.float32)
    width = networks.noise_width(config)
    noise = rng.normal(size=(rows, frames, width)).astype(np.float32)
    return seen, valid[:, :frames], noise


@functools.cache
def case(kind):
    """(checkpoint, seen, valid, noise, style, last carry, heads) of 3 rows, from JAX."""
    checkpoint = random_checkpoint(kind)
    config = checkpoint.config.model
    if config.increments:
        # Untrained it adds up rounding without end; trained ones come back.
        head = checkpoint.params["cell"]["head"]
        head["kernel"] = head["kernel"] * np.float32(0.2)
    seen, valid, noise = driving(config)
    rows = len(seen)
    style = np.random.default_rng(1).normal(size=(rows, config.style))
    style = style.astype(np.float32)
    length = 0 if config.kind == "natural" else config.context
    head, gaze = np.zeros((rows, length, config.head_dim)), np.zeros((rows, length, 2))
    empty = (gaze.astype(np.float32), head.astype(np.float32))
    params = checkpoint.params
    known = np.ones((rows, length), bool)
    carry = networks.start(config, params, *empty, known, style)
    step = jax.jit(lambda carry, *frame: networks.step(config, params, carry, *frame))
    heads = []
    for i in range(seen.shape[1]):
        carry, made = step(carry, seen[:, i], valid[:, i], noise[:, i])
        heads.append(np.asarray(made))
    return checkpoint, seen, valid, noise, style, carry, np.stack(heads, 1)


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_200_frames_equal_the_networks(kind, rows):
    checkpoint, seen, valid, noise, style, carry, expected = case(kind)
    stepper = NumpyStep(checkpoint, rows)
    assert stepper.noise_width == noise.shape[-1]
    assert stepper.gaze_width == seen.shape[-1]
    state, heads = stepper.start(style[:rows]), []
    for i in range(seen.shape[1]):
        before = {name: np.array(x) for name, x in state.items()}
        last = state
        frame = (x[:rows, i] for x in (seen, valid, noise))
        state, head = stepper.step(state, *frame)
        for name, x in before.items():
            np.testing.assert_array_equal(last[name], x, err_msg=name)
        heads.append(head)
    assert np.ptp(expected) > 0.1
    # 200 frames of an untrained network add rounding up: 1.06e-5 with JAX 0.12.
    np.testing.assert_allclose(np.stack(heads, 1), expected[:rows], atol=2e-5)
    for name, x in state.items():
        found = np.asarray(getattr(carry, name))
        found = found[:rows] if found.ndim else found
        assert found.shape == np.shape(x), name
        assert found.dtype == x.dtype, name
        np.testing.assert_allclose(x, found, atol=1e-5, err_msg=name)


def test_a_state_goes_over_from_the_rollout():
    """What JAX has carried so far can be carried on, and handed back."""
    checkpoint, seen, valid, noise, _, carry, _ = case("natural")
    config = checkpoint.config.model
    frame = seen[:, 0], valid[:, 0], noise[:, 0]
    after, expected = networks.step(config, checkpoint.params, carry, *frame)
    state = {name: np.asarray(x) for name, x in vars(carry).items()}
    state, head = NumpyStep(checkpoint, 3).step(state, *frame)
    np.testing.assert_allclose(head, expected, atol=1e-5)
    for name, x in vars(type(carry)(**state)).items():
        np.testing.assert_allclose(x, getattr(after, name), atol=1e-5, err_msg=name)


def test_constants_are_the_networks():
    for name in dir(numpy_step):
        if name.isupper():
            home = model if name == "HEAD_LIMIT" else natural
            assert getattr(numpy_step, name) == getattr(home, name), name


def test_the_file_needs_numpy_alone():
    program = (
        "import sys; sys.modules['jax'] = sys.modules['gazehead_jax'] = None;"
        f"exec(open({numpy_step.__file__!r}).read())"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
