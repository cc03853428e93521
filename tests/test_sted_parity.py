"""ST-ED in Flax gives what its own modules gave in torch: numbers in golden/sted.npz."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden.make_sted import GAZE, HEAD, PUBLISHED, SMALL, faces
from published_face_nets import random_state

from gazehead_jax.generators.sted import patch
from gazehead_jax.generators.sted.conversion import from_torch, layout
from gazehead_jax.generators.sted.decoder import Decoder
from gazehead_jax.generators.sted.encoder import Encoder
from gazehead_jax.generators.sted.latents import (
    Latents,
    rotation,
    straightened,
    turned,
)

TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(Path(__file__).parent / "golden/sted.npz") as file:
        return dict(file)


def sizes(config) -> tuple[int, Latents]:
    names = ("0d_unit", "1d_units", "1d_unit", "2d_units", "2d_unit")
    kinds = ("size", "num", "size", "num", "size")
    widths = (config[f"{kind}_{name}"] for kind, name in zip(kinds, names, strict=True))
    return config["growth_rate"], Latents(*widths)


def network(config):
    """(growth, latents, parameters) with the weights that the golden numbers had."""
    growth, latents = sizes(config)
    state = random_state({name: shape for name, _, _, shape in layout(growth, latents)})
    return growth, latents, from_torch(state, growth, latents)


def inputs() -> np.ndarray:
    return np.stack([patch.as_input(patch.equalised(face)) for face in faces()[:2]])


def redirected(config):
    """The decoder's picture of golden gaze and head, and all that it computed."""
    growth, latents, params = network(config)

    @jax.jit
    def run(params, pictures):
        features, angles = Encoder(growth, latents).apply(
            {"params": params["encoder"]}, pictures
        )
        features = straightened(features, angles, latents)
        features = turned(features, jnp.asarray(HEAD), jnp.asarray(GAZE), latents)
        return Decoder(growth).apply(
            {"params": params["decoder"]}, features, capture_intermediates=True
        )

    picture, kept = run(params, inputs())
    return np.asarray(picture), kept["intermediates"]


def thinned(module) -> np.ndarray:
    """As in golden/make_sted.py."""
    (value,) = module["__call__"]
    if isinstance(value, list):
        value = np.concatenate(value, axis=-1)
    step = max(1, value.shape[1] // 4)
    return np.asarray(value)[:, ::step, ::step]


def check(got, expected):
    np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCE)
    assert np.ptp(expected) > 0.1


def test_preparation_is_opencvs_to_the_last_bit(golden):
    """Three pictures, one of a single colour, of which equalising makes nothing."""
    got = np.stack([patch.equalised(face) for face in faces()])
    np.testing.assert_array_equal(got[:, ::2], golden["equalised"])
    assert (got[2] == got[2, 0, 0]).all()


def test_preparation_of_any_colours_is_opencvs():
    cv2 = pytest.importorskip("cv2", reason="needs OpenCV to compare with")
    random = np.random.RandomState(5)
    for gain in ((1, 1, 1), (1, 0.2, 0.6), (0.1, 0.1, 1)):
        face = (random.randint(0, 256, (128, 128, 3)) * gain).astype(np.uint8)
        y_cr_cb = cv2.cvtColor(face, cv2.COLOR_RGB2YCrCb)
        y_cr_cb[..., 0] = cv2.equalizeHist(y_cr_cb[..., 0])
        expected = cv2.cvtColor(y_cr_cb, cv2.COLOR_YCrCb2RGB)
        np.testing.assert_array_equal(patch.equalised(face), expected)


def test_encoder_is_torchs_module_by_module(golden):
    growth, latents, params = network(SMALL)
    encode = jax.jit(
        lambda params, x: Encoder(growth, latents).apply(
            {"params": params}, x, capture_intermediates=True
        )
    )
    (features, angles), kept = encode(params["encoder"], inputs())
    trunk = kept["intermediates"]["trunk"]
    names = {"initial": "conv2"}
    names |= {f"block{i}": f"block{i}" for i in range(1, 6)}
    names |= {f"trans{i}": f"down{i}" for i in range(1, 5)}
    for torch, here in names.items():
        check(thinned(trunk[here]), golden[f"module encoder.{torch}"])
    check(features, golden["features"])
    check(angles, golden["angles"])


def test_rotations_are_torchs(golden):
    check(rotation(jnp.asarray(GAZE)), golden["rotations"])


def test_decoder_is_torchs(golden):
    growth, _, params = network(SMALL)
    picture = jax.jit(Decoder(growth).apply)(
        {"params": params["decoder"]}, golden["features"]
    )
    check(picture[:, ::32, ::32], golden["decoded"])


def test_redirection_is_torchs_module_by_module(golden):
    picture, kept = redirected(SMALL)
    names = {f"block{i}": f"block{i}" for i in range(1, 6)}
    names |= {f"trans{i}": f"up{i}" for i in range(1, 5)} | {"last": "head"}
    for torch, here in names.items():
        check(thinned(kept[here]), golden[f"module decoder.{torch}"])
    check(picture[0], golden["redirected"])
    check(picture[:, ::8, ::8], golden["redirected sparse"])


def test_the_published_size_is_torchs(golden):
    picture, _ = redirected(PUBLISHED)
    check(picture[:, ::8, ::8], golden["published redirected"])


def test_the_published_size_has_as_many_parameters(golden):
    growth, latents = sizes(PUBLISHED)
    assert (growth, latents) == (32, Latents())
    for module, example, expected in (
        (Encoder(), (1, 128, 128, 3), golden["published parameters"][0]),
        (Decoder(), (1, latents.features), golden["published parameters"][1]),
    ):
        made = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros(example))
        assert sum(x.size for x in jax.tree.leaves(made)) == expected


def test_converted_parameters_are_leaf_for_leaf_the_networks():
    growth, latents, params = network(SMALL)
    for name, module, example in (
        ("encoder", Encoder(growth, latents), (1, 128, 128, 3)),
        ("decoder", Decoder(growth), (1, latents.features)),
    ):
        made = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros(example))
        assert jax.tree.map(jnp.shape, made["params"]) == jax.tree.map(
            jnp.shape, params[name]
        )
        assert {x.dtype for x in jax.tree.leaves(params[name])} == {
            np.dtype(np.float32)
        }
