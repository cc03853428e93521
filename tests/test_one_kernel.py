"""The rollout in one kernel, in Pallas' interpreter, against the scan of the step."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import tiny_config
from test_numpy_step import driving

from gazehead_jax import networks
from gazehead_jax.one_kernel import applies, best_rollout, rollout_kernel

KINDS = ["natural", "lookahead", "frame"]
# The shipped network's sizes and the benchmark's.
SIZES = {
    "lookahead": {"model.hidden": 128, "model.latent": 8, "model.lookahead": 10},
    "frame": {"model.hidden": 256, "model.latent": 32, "model.head_dim": 2},
}

CUSTOM_CALLS = ("tpu_custom_call", "__gpu$xla.gpu.triton")


def case(kind, rows, frames, **changes):
    config = tiny_config(kind, **changes).model
    params = networks.init_params(config, jax.random.key(3))
    # Untrained ones add up rounding without end; trained ones come back.
    params["cell"]["head"]["kernel"] *= 0.3
    seen, valid, noise = driving(config, frames, rows)
    seen = np.where(valid[..., None] | (np.arange(seen.shape[-1]) > 1), seen, np.nan)
    rng = np.random.default_rng(2)
    length = config.context
    head = rng.normal(0, 0.1, (rows, length, config.head_dim)).astype(np.float32)
    style = rng.normal(size=(rows, config.style)).astype(np.float32)
    gaze, seen_all = (
        np.zeros((rows, length, 2), np.float32),
        np.ones((rows, length), bool),
    )
    carry = networks.start(config, params, gaze, head, seen_all, style)
    noise = np.swapaxes(noise, 0, 1)
    return config, params, carry, *(jnp.asarray(x) for x in (seen, valid, noise))


@functools.partial(jax.jit, static_argnums=0)
def scan(config, params, carry, gaze, valid, noise):
    frames = (jnp.swapaxes(gaze, 0, 1), jnp.swapaxes(valid, 0, 1), noise)
    step = lambda carry, frame: networks.step(config, params, carry, *frame)
    carry, heads = jax.lax.scan(step, carry, frames)
    return carry, jnp.swapaxes(heads, 0, 1)


kernel = jax.jit(
    rollout_kernel, static_argnums=0, static_argnames=("platform", "dtype", "interpret")
)


@pytest.mark.parametrize("platform", ["gpu", "tpu"])
@pytest.mark.parametrize("kind", KINDS)
def test_float32_equals_the_scan(kind, platform):
    # 70 rows are more than a tile, 48 frames more than a TPU's block.
    given = case(kind, 70, 48, **SIZES.get(kind, {}))
    after, heads = kernel(*given, platform=platform, interpret=True)
    expected_after, expected = scan(*given)
    assert heads.shape == expected.shape
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(heads, expected, atol=1e-5)
    assert jax.tree.structure(after) == jax.tree.structure(expected_after)
    for (path, x), y in zip(
        jax.tree_util.tree_leaves_with_path(after),
        jax.tree.leaves(expected_after),
        strict=True,
    ):
        assert x.dtype == y.dtype
        np.testing.assert_allclose(x, y, atol=1e-5, err_msg=str(path))


def test_two_chunks_are_one():
    config, params, carry, gaze, valid, noise = case("lookahead", 3, 32)
    run = functools.partial(kernel, config, params, platform="gpu", interpret=True)
    _, whole = run(carry, gaze, valid, noise)
    carry, first = run(carry, gaze[:, :16], valid[:, :16], noise[:16])
    _, second = run(carry, gaze[:, 16:], valid[:, 16:], noise[16:])
    np.testing.assert_allclose(np.concatenate([first, second], 1), whole, atol=1e-6)


@pytest.mark.parametrize("kind", list(SIZES))
def test_bfloat16_stays_near(kind):
    """Products of bfloat16, sums of float32: within a hundredth of the heads' spread at
    the shipped sizes over 64 frames."""
    given = case(kind, 16, 64, **SIZES[kind])
    _, heads = kernel(*given, platform="gpu", interpret=True, dtype=jnp.bfloat16)
    _, expected = scan(*given)
    error = np.abs(heads - expected)
    print(kind, error.max(), error.mean(), np.std(expected))
    assert 1e-7 < error.mean() < 0.01 * np.std(expected)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("platform", ["cuda", "tpu"])
@pytest.mark.parametrize("kind", list(SIZES))
def test_it_lowers_for_the_accelerator_without_one(kind, platform, dtype):
    from jax import export

    given = case(kind, 128, 32, **SIZES[kind])
    config, *arrays = given
    leaves, structure = jax.tree.flatten(arrays)
    target = "gpu" if platform == "cuda" else "tpu"

    def run(*leaves):
        arrays = jax.tree.unflatten(structure, leaves)
        return jax.tree.leaves(
            rollout_kernel(config, *arrays, platform=target, dtype=dtype)
        )

    exported = export.export(
        jax.jit(run),
        platforms=[platform],
        disabled_checks=[
            export.DisabledSafetyCheck.custom_call(name) for name in CUSTOM_CALLS
        ],
    )(*leaves)
    module = exported.mlir_module()
    assert sum(module.count(f"@{name}(") for name in CUSTOM_CALLS) == 1
    assert "stablehlo.while" not in module


def test_it_is_chosen_where_it_applies():
    config = tiny_config("lookahead").model
    assert best_rollout(config, "cpu") is None
    assert best_rollout(tiny_config("window").model, "gpu") is None
    assert best_rollout(tiny_config("no_temporal").model, "tpu") is None
    assert not applies(tiny_config("frame", **{"model.hidden": 512}).model)
    for platform in ("gpu", "cuda", "tpu"):
        given = case("lookahead", 2, 4)
        chosen = best_rollout(config, platform)
        _, heads = chosen(*given[1:], interpret=True)
        np.testing.assert_allclose(heads, scan(*given)[1], atol=1e-5)
