"""On an accelerator one kernel runs rollouts, as long as it gives the scan's heads."""

import functools

import numpy as np
import pytest
from conftest import random_checkpoint

from gazehead_jax import one_kernel
from gazehead_jax import rollout as rollouts
from gazehead_jax.rollout import initial_state, rollout, sample_keys
from gazehead_jax.sampling import sample


def heads(motions) -> np.ndarray:
    return np.stack([m.head for m in motions])


@pytest.fixture
def on_a_gpu(monkeypatch):
    """JAX says that it computes on a GPU; what is compiled for it runs interpreted."""

    def choose(config, platform):
        assert platform == "gpu"
        return functools.partial(run, config)

    def run(config, *arguments):
        calls.append(config)
        return one_kernel.rollout_kernel(
            config, *arguments, platform="gpu", interpret=True
        )

    calls = []
    monkeypatch.setattr(rollouts, "_platform", lambda: "gpu")
    monkeypatch.setattr(one_kernel, "best_rollout", choose)
    rollouts._by_kernel.cache_clear()
    rollouts._compiled.cache_clear()
    yield calls
    rollouts._by_kernel.cache_clear()
    rollouts._compiled.cache_clear()


@pytest.mark.parametrize("rows", [1, 3])
def test_an_accelerator_runs_one_kernel_and_gives_the_scans_heads(
    gaze_motion, rows, on_a_gpu
):
    """On one device, and shared out among two; chunk after chunk."""
    checkpoint = random_checkpoint("natural")
    state = initial_state(checkpoint, sample_keys(0, rows))
    gaze = np.broadcast_to(gaze_motion.gaze, (rows, 60, 2))
    valid = np.broadcast_to(gaze_motion.valid, (rows, 60))
    run = functools.partial(rollout, checkpoint, state, gaze, valid, 16)
    expected = np.concatenate(list(run(kernel=False)), 1)
    assert not on_a_gpu
    got = np.concatenate(list(run()), 1)
    # Not once for each of four chunks. JAX 0.12 imports parts of Pallas when it first
    # interprets a kernel, and then traces anew.
    assert len(on_a_gpu) in (1, 2)
    np.testing.assert_allclose(got, expected, atol=1e-5)


def assert_the_scan_takes_over(kernel, says, rows, motion, monkeypatch):
    """A warning says so, once, and the heads are the scan's."""
    checkpoint = random_checkpoint("natural")
    make = lambda: heads(sample(checkpoint, motion, num_samples=rows, chunk=32))
    monkeypatch.setattr(one_kernel, "best_rollout", lambda config, platform: kernel)
    with pytest.warns(RuntimeWarning, match=says):
        got = make()
    # Warnings are errors from here on.
    np.testing.assert_array_equal(got, make())
    monkeypatch.undo()
    np.testing.assert_allclose(got, make(), atol=1e-5)


def test_a_kernel_that_fails_is_told_once_and_the_scan_goes_on(
    gaze_motion, on_a_gpu, monkeypatch
):
    def fail(*arguments):
        raise NotImplementedError("no such instruction\nat line 7")

    says = r"\(no such instruction\); lax.scan"
    assert_the_scan_takes_over(fail, says, 2, gaze_motion, monkeypatch)


def test_a_kernel_that_computes_something_else_is_not_trusted(
    gaze_motion, on_a_gpu, monkeypatch
):
    honest = one_kernel.best_rollout(random_checkpoint("natural").config.model, "gpu")

    def wrong(*arguments):
        carry, heads = honest(*arguments)
        return carry, heads.at[0, 3, 1].add(0.1)

    says = r"differ from the scan's by 1.0e-01"
    assert_the_scan_takes_over(wrong, says, 2, gaze_motion, monkeypatch)


def test_a_kernel_that_fails_for_another_shape_is_replaced_there(
    gaze_motion, on_a_gpu, monkeypatch
):
    """Other shapes are other kernels, with other ways to fail."""
    checkpoint = random_checkpoint("natural")
    honest = one_kernel.best_rollout(checkpoint.config.model, "gpu")

    def small(params, carry, gaze, *rest):
        if len(gaze) > 1:
            raise NotImplementedError("too many rows")
        return honest(params, carry, gaze, *rest)

    monkeypatch.setattr(one_kernel, "best_rollout", lambda config, platform: small)
    sample(checkpoint, gaze_motion, chunk=32)
    says = r"\(too many rows\); lax.scan"
    assert_the_scan_takes_over(small, says, 4, gaze_motion, monkeypatch)


def test_a_cpu_never_asks_for_the_kernel(gaze_motion, monkeypatch):
    assert rollouts._platform() == "cpu"
    monkeypatch.setattr(one_kernel, "rollout_kernel", None)
    sample(random_checkpoint("natural"), gaze_motion)
