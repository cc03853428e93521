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

# More than a tile of rows, and two chunks that are more than a TPU's block of frames.
ROWS, FRAMES, CHUNK = 70, 48, 24
# Layers of two tiles of a GPU, and the sizes that are shipped and benchmarked.
TWO_TILES = {"model.hidden": 128}
SHIPPED = {
    "lookahead": {"model.hidden": 128, "model.latent": 8, "model.lookahead": 10},
    "frame": {"model.hidden": 256, "model.latent": 32, "model.head_dim": 2},
}

CUSTOM_CALLS = ("tpu_custom_call", "__gpu$xla.gpu.triton")
# Compiling takes most of these tests' time.
QUICK = {"xla_backend_optimization_level": 0}


@functools.cache
def case(kind, sizes=()):
    config = tiny_config(kind, **dict(sizes)).model
    params = networks.init_params(config, jax.random.key(3))
    # Untrained ones add up rounding without end; trained ones come back.
    params["cell"]["head"]["kernel"] *= 0.3
    seen, valid, noise = driving(config, FRAMES, ROWS)
    seen = np.where(valid[..., None] | (np.arange(seen.shape[-1]) > 1), seen, np.nan)
    rng = np.random.default_rng(2)
    past = (ROWS, config.context)
    head = rng.normal(0, 0.1, (*past, config.head_dim)).astype(np.float32)
    style = rng.normal(size=(ROWS, config.style)).astype(np.float32)
    gaze, known = np.zeros((*past, 2), np.float32), np.ones(past, bool)
    carry = networks.start(config, params, gaze, head, known, style)
    noise = np.swapaxes(noise, 0, 1)
    return config, params, carry, *(jnp.asarray(x) for x in (seen, valid, noise))


@functools.cache
def expected(kind, sizes=()):
    """(the last carry, heads) of the scan."""
    config, params, carry, gaze, valid, noise = case(kind, sizes)

    @functools.partial(jax.jit, compiler_options=QUICK)
    def scan(params, carry, *frames):
        step = lambda carry, frame: networks.step(config, params, carry, *frame)
        return jax.lax.scan(step, carry, frames)

    frames = (jnp.swapaxes(gaze, 0, 1), jnp.swapaxes(valid, 0, 1), noise)
    carry, heads = scan(params, carry, *frames)
    return carry, np.swapaxes(heads, 0, 1)


def in_chunks(given, **options):
    """(the last carry, heads) of the kernel, the second chunk from the first's carry."""
    config, params, carry, gaze, valid, noise = given
    run = functools.partial(rollout_kernel, config, interpret=True, **options)
    run = jax.jit(run, compiler_options=QUICK)
    heads = []
    for first in range(0, FRAMES, CHUNK):
        now = slice(first, first + CHUNK)
        carry, made = run(params, carry, gaze[:, now], valid[:, now], noise[now])
        heads.append(made)
    return carry, np.concatenate(heads, 1)


# Each network on each platform; the natural one with and without a look ahead.
@pytest.mark.parametrize(
    ("kind", "platform", "sizes"),
    [
        ("lookahead", "gpu", SHIPPED["lookahead"]),
        ("natural", "tpu", {}),
        ("frame", "gpu", TWO_TILES),
        ("frame", "tpu", TWO_TILES),
    ],
)
def test_float32_equals_the_scan(kind, platform, sizes):
    sizes = tuple(sizes.items())
    after, heads = in_chunks(case(kind, sizes), platform=platform)
    expected_after, expected_heads = expected(kind, sizes)
    assert heads.shape == expected_heads.shape
    assert np.ptp(expected_heads) > 0.1
    np.testing.assert_allclose(heads, expected_heads, atol=1e-5)
    assert jax.tree.structure(after) == jax.tree.structure(expected_after)
    for (path, x), y in zip(
        jax.tree_util.tree_leaves_with_path(after),
        jax.tree.leaves(expected_after),
        strict=True,
    ):
        assert x.dtype == y.dtype
        np.testing.assert_allclose(x, y, atol=1e-5, err_msg=str(path))


def test_bfloat16_stays_near():
    """Products of bfloat16, sums of float32: within a hundredth of the heads' spread at
    the shipped size over 48 frames."""
    shipped = tuple(SHIPPED["lookahead"].items())
    given = case("lookahead", shipped)
    _, heads = in_chunks(given, platform="gpu", dtype=jnp.bfloat16)
    _, exact = expected("lookahead", shipped)
    assert 1e-7 < np.abs(heads - exact).mean() < 0.01 * np.std(exact)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("platform", ["cuda", "tpu"])
@pytest.mark.parametrize("kind", list(SHIPPED))
def test_it_lowers_for_the_accelerator_without_one(kind, platform, dtype):
    from jax import export

    config, *arrays = case(kind, tuple(SHIPPED[kind].items()))
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
    for platform, target in (("gpu", "gpu"), ("cuda", "gpu"), ("tpu", "tpu")):
        chosen = best_rollout(config, platform)
        assert (chosen.func, chosen.args) == (rollout_kernel, (config,))
        assert chosen.keywords == {"platform": target}
