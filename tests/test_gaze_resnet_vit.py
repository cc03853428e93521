"""Face networks: parity with independent torch definitions; every key accounted for."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from published_face_nets import (
    flax_outputs,
    pictures,
    random_state,
    resnet_shapes,
    shapes_of,
    torch_outputs,
    torch_resnet,
    torch_vit,
    vit_shapes,
)

from gazehead_jax.errors import GazeheadError
from gazehead_jax.gaze.resnet import ResNetGaze, l2cs_from_torch, xgaze_from_torch
from gazehead_jax.gaze.vit import UNIGAZE, Architecture, ViTGaze, unigaze_from_torch


@pytest.fixture(scope="session")
def torch():
    return pytest.importorskip(
        "torch", reason="needs torch for the networks to compare with"
    )


SMALL_VIT = Architecture(patch=14, features=32, depth=32, heads=16, size=56)
CONVERT = {"xgaze": xgaze_from_torch, "l2cs": l2cs_from_torch}
OUTPUTS = {"xgaze": 2, "l2cs": 180}


def small_resnet(published):
    """A narrow ResNet-50: torch's layout, its state, the Flax outputs."""
    state = random_state(resnet_shapes(published, 8))
    params = CONVERT[published](state, width=8)
    network = ResNetGaze(OUTPUTS[published], width=8)
    return state, flax_outputs(network, params, pictures(2, 65))


def small_vit():
    state = random_state(vit_shapes(SMALL_VIT))
    params = unigaze_from_torch(state, SMALL_VIT)
    return state, flax_outputs(ViTGaze(SMALL_VIT), params, pictures(2, 56))


@pytest.mark.parametrize("published", ["xgaze", "l2cs"])
def test_narrow_resnet_is_torchs(torch, published):
    state, got = small_resnet(published)
    module = torch_resnet(torch, 8, published)
    assert shapes_of(module) == {k: v.shape for k, v in state.items()}
    expected = torch_outputs(torch, module, state, pictures(2, 65))
    np.testing.assert_allclose(got, expected, atol=1e-4)
    assert np.ptp(expected) > 0.5


def test_narrow_vit_is_torchs(torch):
    state, got = small_vit()
    module = torch_vit(torch, SMALL_VIT)
    assert shapes_of(module) == {k: v.shape for k, v in state.items()}
    expected = torch_outputs(torch, module, state, pictures(2, 56))
    np.testing.assert_allclose(got, expected, atol=1e-4)
    assert np.ptp(expected) > 0.5


# First and last output that torch 2.13 gave in the two tests above, for machines
# without it.
GOLDEN = {
    "xgaze": [[0.890302, -2.331239], [0.960392, -2.356426]],
    "l2cs": [[-1.611433, 3.935984], [-1.647433, 4.155326]],
    "unigaze": [[0.505511, 0.778994], [0.093304, 1.127675]],
}


@pytest.mark.parametrize("published", GOLDEN)
def test_narrow_networks_give_what_torch_gave(published):
    _, got = small_vit() if published == "unigaze" else small_resnet(published)
    np.testing.assert_allclose(got[:, [0, -1]], GOLDEN[published], atol=1e-4)


def test_full_resnet_50_is_torchs(torch):
    state = random_state(resnet_shapes("xgaze", 64))
    expected = torch_outputs(
        torch, torch_resnet(torch, 64, "xgaze"), state, pictures(1, 224)
    )
    got = flax_outputs(ResNetGaze(2), xgaze_from_torch(state), pictures(1, 224))
    np.testing.assert_allclose(got, expected, atol=1e-4)


def test_full_unigaze_b_is_torchs(torch):
    state = random_state(vit_shapes(UNIGAZE["b"]))
    module = torch_vit(torch, UNIGAZE["b"])
    expected = torch_outputs(torch, module, state, pictures(1, 224))
    params = unigaze_from_torch(state, UNIGAZE["b"])
    got = flax_outputs(ViTGaze(UNIGAZE["b"]), params, pictures(1, 224))
    np.testing.assert_allclose(got, expected, atol=1e-4)


def test_unigaze_sizes_are_those_published():
    """Parameters of MAE's ViT-B, -L and -H without a classifier: 86, 303, 631 M."""
    for variant, millions in {"b": 86, "l": 303, "h": 631}.items():
        shapes = vit_shapes(UNIGAZE[variant])
        count = sum(
            np.prod(shape) for name, shape in shapes.items() if "vit.head" not in name
        )
        assert round(count / 1e6) == millions
        network = ViTGaze(UNIGAZE[variant])
        made = jax.eval_shape(
            network.init, jax.random.key(0), jnp.zeros((1, 224, 224, 3))
        )
        assert sum(x.size for x in jax.tree.leaves(made)) == count


def test_converted_parameters_fit_the_network():
    """Leaf for leaf those that the network itself would make."""
    for network, params, size in (
        (
            ResNetGaze(2, width=8),
            xgaze_from_torch(random_state(resnet_shapes("xgaze", 8)), width=8),
            65,
        ),
        (
            ViTGaze(SMALL_VIT),
            unigaze_from_torch(random_state(vit_shapes(SMALL_VIT)), SMALL_VIT),
            56,
        ),
    ):
        made = jax.eval_shape(
            network.init, jax.random.key(0), jnp.zeros((1, size, size, 3))
        )["params"]
        assert jax.tree.structure(made) == jax.tree.structure(params)
        assert jax.tree.map(jnp.shape, made) == jax.tree.map(jnp.shape, params)
        assert {x.dtype for x in jax.tree.leaves(params)} == {np.dtype(np.float32)}


# --- every key is accounted for --------------------------------------------------------


@pytest.mark.parametrize("name", ["xgaze", "l2cs", "unigaze"])
def test_any_missing_strange_or_misshapen_tensor_is_refused(name):
    convert, state = converter(name)
    convert(state)
    optional = re.compile(
        r"num_batches_tracked|gaze_network\.fc\.|fc_finetune|vit\.head\."
    )
    for key, value in state.items():
        less = {k: v for k, v in state.items() if k != key}
        if optional.search(key):
            convert(less)
        else:
            with pytest.raises(GazeheadError, match=re.escape(f"1 missing ({key})")):
                convert(less)
        with pytest.raises(GazeheadError, match=re.escape(f"another shape ({key} ")):
            convert(state | {key: value[None]})
    with pytest.raises(GazeheadError, match=r"1 unknown \(vit\.fc_norm\.weight\)"):
        convert(state | {"vit.fc_norm.weight": np.zeros(3)})


def converter(name):
    if name == "unigaze":
        sizes = Architecture(patch=14, features=32, depth=2, heads=4, size=28)
        return lambda s: unigaze_from_torch(s, sizes), random_state(vit_shapes(sizes))
    state = random_state(resnet_shapes(name, 2))
    return lambda s: CONVERT[name](s, width=2), state


def test_weights_of_another_model_are_refused():
    for name in CONVERT:
        for other in {"xgaze", "l2cs", "unigaze"} - {name}:
            with pytest.raises(GazeheadError, match="give the checkpoint of"):
                converter(name)[0](converter(other)[1])


def test_l2cs_of_mpiigaze_is_refused():
    """Its 28 bins are of 3°, for normalised faces."""
    state = random_state(resnet_shapes("l2cs", 2))
    state["fc_yaw_gaze.weight"] = state["fc_yaw_gaze.weight"][:28]
    with pytest.raises(GazeheadError, match=r"\(28, 64\) instead of \(90, 64\)"):
        l2cs_from_torch(state, width=2)


def test_the_first_xgaze_checkpoint_had_a_parallel_network_inside():
    state = random_state(resnet_shapes("xgaze", 2))
    old = {
        k.replace("gaze_network.", "gaze_network.module."): v for k, v in state.items()
    }
    for a, b in zip(
        jax.tree.leaves(xgaze_from_torch(state, 2)),
        jax.tree.leaves(xgaze_from_torch(old, 2)),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
