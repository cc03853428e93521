"""THA3's networks: pieces against independent NumPy, all of each against torch's numbers,
every tensor accounted for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tha3_original import SMALL, random_state, small_inputs

from gazehead_jax.errors import GazeheadError
from gazehead_jax.generators.tha3 import blocks, networks
from gazehead_jax.generators.tha3.conversion import FILES, convert

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def convolved(x, kernel, stride, padding):
    """A depthwise convolution, number by number."""
    size, x = len(kernel), np.pad(x, [(0, 0), (padding,) * 2, (padding,) * 2, (0, 0)])
    rows = range(0, x.shape[1] - size + 1, stride)
    columns = range(0, x.shape[2] - size + 1, stride)
    return np.stack(
        [
            np.stack(
                [
                    (x[:, i : i + size, j : j + size] * kernel).sum((1, 2))
                    for j in columns
                ],
                1,
            )
            for i in rows
        ],
        1,
    )


@pytest.mark.parametrize(
    ("name", "size"),
    [("same", 3), ("same", 7), ("halving", 4), ("doubling", 4), ("doubled", 3)],
)
def test_depthwise_convolutions(name, size):
    x, kernel = normal(2, 8, 10, 3), normal(size, size, 3)
    if name == "same":
        expected = convolved(x, kernel, 1, size // 2)
    elif name == "halving":
        expected = convolved(x, kernel, 2, 1)
    elif name == "doubled":
        expected = convolved(x.repeat(2, 1).repeat(2, 2), kernel, 1, 1)
    else:
        # A transposed convolution: zeros between the pixels, the kernel turned round.
        spread = np.zeros((2, 15, 19, 3), np.float32)
        spread[:, ::2, ::2] = x
        expected = convolved(spread, kernel[::-1, ::-1], 1, 2)
    got = jax.jit(blocks._DEPTHWISE[name])(x, kernel)
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_a_vector_counts_as_a_picture_that_has_it_everywhere():
    for size in (3, 7):
        module = blocks.Separable(5, 0.1, ("same", "same"), size)
        x, pose = jnp.asarray(normal(2, 12, 9, 4)), jnp.asarray(normal(2, 3))
        everywhere = jnp.broadcast_to(pose[:, None, None], (2, 12, 9, 3))
        variables = module.init(jax.random.key(0), x, pose)
        got = module.apply(variables, x, pose)
        np.testing.assert_allclose(
            got, module.apply(variables, x, everywhere), atol=1e-5
        )


def test_instance_norm():
    x = normal(2, 6, 5, 3) * 4 + 1
    scale, bias = normal(3), normal(3)
    variables = {"params": {"scale": scale, "bias": bias}}
    got = blocks.InstanceNorm(0.1).apply(variables, jnp.asarray(x))
    mean, variance = x.mean((1, 2), keepdims=True), x.var((1, 2), keepdims=True)
    expected = (x - mean) / np.sqrt(variance + 1e-5) * scale + bias
    expected = np.where(expected > 0, expected, 0.1 * expected)
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_warp_reads_bilinearly_and_continues_the_border():
    image, shift = normal(2, 6, 8, 3), normal(2, 6, 8, 2)
    got = jax.jit(blocks.warp)(image, shift)
    for b, i, j in np.ndindex(2, 6, 8):
        x = np.clip(j + shift[b, i, j, 0] * 4, 0, 7)
        y = np.clip(i + shift[b, i, j, 1] * 3, 0, 5)
        x0, y0 = int(x), int(y)
        x1, y1, u, v = min(x0 + 1, 7), min(y0 + 1, 5), x - x0, y - y0
        top = image[b, y0, x0] * (1 - u) + image[b, y0, x1] * u
        bottom = image[b, y1, x0] * (1 - u) + image[b, y1, x1] * u
        np.testing.assert_allclose(got[b, i, j], top * (1 - v) + bottom * v, atol=1e-5)


def test_halves_and_doubles():
    # A slope stays a slope; the last half pixel continues the border.
    x = np.arange(8, dtype=np.float32)[None, None, :, None] * np.ones((1, 6, 1, 1))
    x = jnp.asarray(x, jnp.float32)
    wide = np.clip(np.arange(16) / 2 - 0.25, 0, 7)
    np.testing.assert_allclose(blocks.double(x)[0, :, :, 0], np.tile(wide, (12, 1)))
    tall = blocks.double(x.swapaxes(1, 2))[0, :, :, 0]
    np.testing.assert_allclose(tall, np.tile(wide[:, None], (1, 12)))
    half = blocks.halve(x)[0, :, :, 0]
    np.testing.assert_allclose(half, np.tile([0.5, 2.5, 4.5, 6.5], (3, 1)))


# --- whole networks --------------------------------------------------------------------


def small_outputs(name: str) -> np.ndarray:
    """What the picture needs of the narrow network, channels joined."""
    body, _ = SMALL[name]
    inputs = [jnp.asarray(x) for x in small_inputs(name)]
    params = convert(name, random_state(name, body), body)
    variables = {"params": jax.tree.map(jnp.asarray, params)}
    if name == "eyebrow_decomposer":
        made = networks.EyebrowDecomposer(body).apply(variables, *inputs)
        return np.concatenate(made, -1)
    if name == "eyebrow_morphing_combiner":
        network = networks.EyebrowCombiner(body)
        joined = jnp.concatenate(inputs[:2], -1)
        features = network.apply(variables, joined, method="encode")
        return np.asarray(network.apply(variables, features, *inputs))
    if name == "face_morpher":
        network = networks.FaceMorpher(body)
        features = network.apply(variables, inputs[0], method="encode")
        return np.asarray(network.apply(variables, features, *inputs))
    network = {
        "two_algo_face_body_rotator": networks.Rotator,
        "editor": networks.Editor,
    }[name](body)
    return np.asarray(network.apply(variables, *inputs))


def sampled(outputs: np.ndarray) -> np.ndarray:
    """Eight numbers from all over."""
    return outputs.ravel()[np.linspace(0, outputs.size - 1, 8).astype(int)]


# What the PyTorch original gave for the same weights and inputs, `sampled`
# (tests/test_tha3_parity.py runs it).
GOLDEN = {
    "eyebrow_decomposer": [
        0.375613,
        0.144004,
        -0.211009,
        -0.427603,
        0.191008,
        0.844204,
        -0.246548,
        0.478977,
    ],
    "eyebrow_morphing_combiner": [
        0.184669,
        -0.540420,
        -0.321416,
        0.189353,
        0.266772,
        0.842981,
        0.368857,
        0.592431,
    ],
    "face_morpher": [
        -0.418782,
        0.120582,
        -0.075202,
        0.274983,
        -0.448361,
        0.047318,
        -0.313026,
        0.515402,
    ],
    "two_algo_face_body_rotator": [
        0.080947,
        -0.022010,
        0.034536,
        -0.077994,
        0.010110,
        0.017662,
        0.003778,
        0.057620,
    ],
    "editor": [
        -0.101287,
        -0.337082,
        0.574940,
        0.180918,
        0.393406,
        0.155693,
        0.291039,
        0.167780,
    ],
}


@pytest.mark.parametrize("name", FILES)
def test_narrow_networks_give_what_torch_gave(name):
    got = sampled(small_outputs(name))
    np.testing.assert_allclose(got, GOLDEN[name], atol=1e-4)


def test_converted_parameters_fit_the_networks():
    for name, network in (
        ("two_algo_face_body_rotator", networks.Rotator),
        ("editor", networks.Editor),
    ):
        body, _ = SMALL[name]
        made = jax.eval_shape(
            network(body).init, jax.random.key(0), *small_inputs(name)
        )["params"]
        params = convert(name, random_state(name, body), body)
        assert jax.tree.map(jnp.shape, made) == jax.tree.map(jnp.shape, params)


@pytest.mark.parametrize("name", FILES)
def test_any_missing_strange_or_misshapen_tensor_is_refused(name):
    body, _ = SMALL[name]
    state = random_state(name, body)
    optional = set(FILES[name].unused(body))
    for key in state:
        if key not in optional:
            without = {k: v for k, v in state.items() if k != key}
            with pytest.raises(GazeheadError, match=f"1 missing .*{name}"):
                convert(name, without, body)
    with pytest.raises(GazeheadError, match="1 unknown .strange"):
        convert(name, state | {"strange": np.zeros(3)}, body)
    key = next(iter(state))
    with pytest.raises(GazeheadError, match="1 of another shape"):
        convert(name, state | {key: np.zeros((1, 2))}, body)
    with pytest.raises(GazeheadError, match="of THA3's"):
        convert(name, random_state(name, body))


@pytest.mark.parametrize("name", FILES)
def test_every_tensor_of_the_state_changes_something(name):
    """None is read twice and none is read for another."""
    body, _ = SMALL[name]
    state = random_state(name, body)
    total = sum(v.size for k, v in state.items() if k not in FILES[name].unused(body))
    params = jax.tree.leaves(convert(name, state, body))
    # Heads without a bias have one of zeros here.
    zeros = sum(channels for _, channels, bias in FILES[name].heads if not bias)
    assert sum(p.size for p in params) == total + zeros
    values = np.sort(np.concatenate([np.ravel(p) for p in params]))
    expected = [
        np.ravel(v) for k, v in state.items() if k not in FILES[name].unused(body)
    ]
    expected = np.sort(np.concatenate([*expected, np.zeros(zeros, np.float32)]))
    np.testing.assert_array_equal(values, expected)
