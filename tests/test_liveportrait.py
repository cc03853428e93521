"""LivePortrait: the port gives what the original gave.

`golden/liveportrait.npz` holds what the original modules computed at reduced width with
random weights; `golden/make_liveportrait.py` made it:

    python tests/golden/make_liveportrait.py PATH_OF_A_CHECKOUT_OF_LIVEPORTRAIT
"""

import json
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from liveportrait_small import (
    EYES,
    MOUTH,
    NAMES,
    SMALL,
    normal,
    picture,
    states,
)

from gazehead_jax.generators.liveportrait import keypoints, sampling
from gazehead_jax.generators.liveportrait.animation import Animation
from gazehead_jax.generators.liveportrait.appearance import AppearanceExtractor
from gazehead_jax.generators.liveportrait.architecture import PUBLISHED
from gazehead_jax.generators.liveportrait.conversion import from_torch
from gazehead_jax.generators.liveportrait.crop import Face, similarity
from gazehead_jax.generators.liveportrait.layers import Conv3d, UpsampledConv
from gazehead_jax.generators.liveportrait.layout import mlp_widths
from gazehead_jax.generators.liveportrait.motion_extractor import MotionExtractor
from gazehead_jax.generators.liveportrait.spade import SpadeGenerator
from gazehead_jax.generators.liveportrait.stitching import Mlp
from gazehead_jax.generators.liveportrait.warping import Warping
from gazehead_jax.motion import (
    gaze_in_camera,
    gaze_in_head,
    head_to_matrix,
    matrix_to_head,
)

GOLDEN = Path(__file__).parent / "golden" / "liveportrait.npz"
TOLERANCE = 1e-4


@cache
def golden():
    with np.load(GOLDEN) as file:
        return dict(file)


@cache
def params():
    return {name: from_torch(name, state, SMALL) for name, state in states().items()}


def run(network, weights, *inputs):
    return jax.jit(network.apply)({"params": weights}, *map(jnp.asarray, inputs))


def agree(got, name):
    expected = golden()[name]
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCE)


# --- module by module ------------------------------------------------------------------


def test_appearance_is_the_originals():
    volume = run(AppearanceExtractor(SMALL), params()["appearance"], picture()[None])
    agree(volume, "appearance")


def test_motion_is_the_originals():
    seen = run(MotionExtractor(SMALL), params()["motion"], picture()[None])
    assert set(seen) == {"pitch", "yaw", "roll", "t", "scale", "exp", "kp"}
    for name, value in seen.items():
        np.testing.assert_allclose(value, golden()[f"motion_{name}"], atol=TOLERANCE)


def test_warping_is_the_originals():
    edge = SMALL.size // 4
    volume = normal(2, 2, SMALL.planes, SMALL.depth, edge, edge)
    driving, source = (
        normal(seed, 2, SMALL.keypoints, 3, scale=0.5) for seed in (3, 4)
    )
    warped, where, occlusion = run(
        Warping(SMALL),
        params()["warping"],
        np.moveaxis(volume, 1, -1),
        driving,
        source,
    )
    agree(where, "where")
    agree(occlusion, "occlusion")
    agree(warped, "warped")


def test_generator_is_the_originals():
    edge = SMALL.size // 4
    features = np.moveaxis(normal(5, 2, SMALL.warped, edge, edge), 1, -1)
    agree(run(SpadeGenerator(SMALL), params()["generator"], features), "generator")


@pytest.mark.parametrize(
    ("name", "part", "seed"),
    [("stitching", "shoulder", 6), ("lip", "mouth", 7), ("eye", "eye", 8)],
)
def test_retargeting_is_the_originals(name, part, seed):
    weights = params()["retargeting"][name]
    inputs = normal(seed, 3, weights["layer0"]["kernel"].shape[0])
    agree(run(Mlp(mlp_widths(SMALL, name)), weights, inputs), f"retarget_{part}")


# --- end to end ------------------------------------------------------------------------


@cache
def animation():
    return Animation(params(), SMALL)


def driven(source):
    """The golden sliders and degrees as gaze and head of `motion`."""
    head = keypoints.head_from_degrees(golden()["degrees"])
    right, up = golden()["sliders"].T
    per_pitch, per_yaw = keypoints.UNITS_PER_DEGREE
    turned = np.deg2rad(np.stack([up / per_pitch, -right / per_yaw], -1))
    own = gaze_in_head(
        np.zeros(2, np.float32), np.asarray(matrix_to_head(source.rotation)[0])
    )
    return gaze_in_camera(turned + own, head), head


def test_a_portrait_moves_as_the_originals():
    source = animation().source(Face(picture(), EYES[0], float(MOUTH[0, 0])))
    np.testing.assert_allclose(source.keypoints, golden()["source"], atol=TOLERANCE)
    gaze, head = driven(source)
    angles = gaze, head, golden()["shut"], np.zeros(2)
    agree(animation().points(source, *angles), "points")
    drawn = animation().pictures(source, *angles)
    agree(drawn, "pictures")
    # Had nothing moved, this would be.
    assert np.abs(drawn[0] - drawn[1]).mean() > 0.01


def test_half_precision_draws_nearly_the_same():
    source = animation().source(Face(picture(), EYES[0], 0.0))
    gaze, head = driven(source)
    angles = gaze, head, golden()["shut"], np.zeros(2)
    exact = animation().pictures(source, *angles)
    rough = Animation(params(), SMALL, dtype=jnp.bfloat16).pictures(source, *angles)
    assert rough.dtype == jnp.float32
    apart = np.abs(rough - exact)
    assert 1e-4 < apart.mean() < 0.02


def test_a_closed_mouth_is_left_alone():
    face = Face(picture(), EYES[0], 0.02)
    assert not np.any(animation().source(face).mouth)
    assert np.any(animation().source(Face(picture(), EYES[0], 0.031)).mouth)


# --- angles ----------------------------------------------------------------------------


def test_rotations_are_the_originals_transposed():
    rotations = keypoints.rotation_from_degrees(golden()["degrees"])
    expected = golden()["rotations"].swapaxes(-1, -2)
    np.testing.assert_allclose(rotations, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("degrees", "forward"),
    [  # where a face that looked into the camera (0, 0, -1) looks: x right, y down
        ([30, 0, 0], [0, 0.5, -np.sqrt(0.75)]),
        ([0, 30, 0], [-0.5, 0, -np.sqrt(0.75)]),
        ([0, 0, 30], [0, 0, -1]),
    ],
    ids=["pitch is down", "yaw is to the left", "roll leaves the direction"],
)
def test_their_angles_turn_a_known_direction(degrees, forward):
    rotation = keypoints.rotation_from_degrees(np.array(degrees, float))
    np.testing.assert_allclose(rotation @ [0, 0, -1.0], forward, atol=1e-12)


def test_their_roll_is_clockwise():
    rotation = keypoints.rotation_from_degrees(np.array([0.0, 0.0, 30.0]))
    np.testing.assert_allclose(rotation @ [1.0, 0, 0], [np.sqrt(0.75), 0.5, 0])


def test_head_angles_of_theirs_are_the_same_rotation():
    rng = np.random.default_rng(0)
    degrees = rng.uniform(-60, 60, (50, 3))
    head = keypoints.head_from_degrees(degrees)
    np.testing.assert_allclose(
        head_to_matrix(head), keypoints.rotation_from_degrees(degrees), atol=1e-12
    )
    single = np.diag([20.0, 20.0, 20.0])
    np.testing.assert_allclose(
        np.rad2deg(keypoints.head_from_degrees(single)),
        np.diag([-20.0, 20.0, 20.0]),
        atol=1e-12,
    )


def test_degrees_are_expected_over_bins():
    logits = np.full((2, 66), -50, np.float32)
    logits[0, 0] = logits[1, 40] = logits[1, 41] = 50
    np.testing.assert_allclose(
        keypoints.expected_degrees(jnp.asarray(logits)), [-97.5, 24.0], atol=1e-4
    )


def test_a_head_turns_its_keypoints_as_motion_says():
    """A nose before the head: up, to the left, and around."""
    nose = np.zeros((3, 1, 3), np.float32)
    nose[:, 0] = [0, 0.1, -0.5]
    head = np.float32([[0.3, 0, 0], [0, 0.3, 0], [0, 0, 0.3]])
    ones = np.ones((3, 1), np.float32)
    placed = keypoints.place(
        jnp.asarray(nose),
        jnp.asarray(head_to_matrix(head)),
        jnp.zeros((3, 1, 3)),
        jnp.asarray(2 * ones),
        jnp.asarray(np.float32([[0.1, 0.2, 5.0]] * 3)),
    )[:, 0]
    s, c = np.sin(0.3), np.cos(0.3)
    turned = np.array(
        [
            [0, 0.1 * c - 0.5 * s, -0.5 * c - 0.1 * s],
            [-0.5 * s, 0.1, -0.5 * c],
            [-0.1 * s, 0.1 * c, -0.5],
        ]
    )
    # Depth does not shift.
    np.testing.assert_allclose(placed, 2 * turned + [0.1, 0.2, 0], atol=1e-6)


def test_eyes_move_where_they_look():
    right, up = jnp.array([30.0, -30, 0, 0]), jnp.array([0.0, 0, 40, 0])
    moved = np.asarray(keypoints.eyes_moved(right, up))
    expected = np.zeros((4, 21, 3))
    expected[0, [11, 15], 0] = 0.021, 0.03
    expected[1, [11, 15], 0] = -0.03, -0.021
    expected[2, [11, 15], 1] = -0.02
    expected[2, [13, 16], 1] = -0.006
    np.testing.assert_allclose(moved, expected, atol=1e-7)


@cache
def portrait():
    return animation().source(Face(picture(), EYES[0], 0.0))


@cache
def without_stitching(**options):
    small = params()["retargeting"]
    still = jax.tree.map(np.zeros_like, small["stitching"])
    weights = params() | {"retargeting": small | {"stitching": still}}
    return Animation(weights, SMALL, **options)


def own_head():
    return np.asarray(matrix_to_head(portrait().rotation[0]))


def unstitched(gaze, head, shut=None, looking=(0.0, 0.0), **options):
    """Where the keypoints go before they are stitched, and the portrait."""
    animated, source = without_stitching(**options), portrait()
    shut = np.zeros(len(gaze)) if shut is None else np.array(shut)
    points = animated.points(source, gaze, head, shut, np.array(looking))
    return np.asarray(points), source


def test_gaze_moves_the_eyes_by_its_angle_in_the_head():
    """10° to the image's left and 5° up in a head that is turned itself."""
    head = np.deg2rad([[0, 0, 0], [0, 0, 0], [10, -15, 5], [10, -15, 5]])
    eye = np.deg2rad([[0, 0], [5, 10], [0, 0], [5, 10]])
    gaze = gaze_in_camera(eye, head)
    points, source = unstitched(gaze, head)
    scale = float(source.scale[0, 0])
    for still, moved in ((0, 1), (2, 3)):
        change = (points[moved] - points[still]) / scale
        expected = np.zeros((21, 3))
        own = np.rad2deg(
            gaze_in_head(np.zeros(2), np.asarray(matrix_to_head(source.rotation))[0])
        )
        # The rule differs for left and right; both turns must be on one side.
        assert own[1] < 0
        expected[[11, 15], 0] = -10 * np.array([0.001, 0.0007])
        expected[[11, 15], 1] = -0.0005 * 10
        expected[[13, 16], 1] = -0.00015 * 10
        np.testing.assert_allclose(change, expected, atol=2e-5)


def test_the_portraits_own_gaze_leaves_its_eyes():
    looking = np.deg2rad([3.0, -8.0])
    points, source = unstitched(
        looking[None],
        own_head()[None],
        None,
        looking,
    )
    np.testing.assert_allclose(points[0], source.keypoints[0], atol=2e-6)


def test_eye_units_are_a_gain():
    head = own_head()[None]
    gaze = gaze_in_camera(
        gaze_in_head(np.zeros((1, 2)), head) + np.deg2rad([[6.0, 4.0]]), head
    )
    (one,), source = unstitched(gaze, head, units_per_degree=(1.0, 1.0))
    (two,), _ = unstitched(gaze, head, units_per_degree=(2.0, 3.0))
    rest = np.asarray(source.keypoints[0])
    np.testing.assert_allclose(
        (two - rest)[[11, 15], 0], 3 * (one - rest)[[11, 15], 0], atol=2e-6
    )
    np.testing.assert_allclose(
        (two - rest)[[13, 16], 1], 2 * (one - rest)[[13, 16], 1], atol=2e-6
    )
    assert abs((one - rest)[11, 0]) > 1e-3


def test_lids_shut_by_degrees_and_rest_when_open():
    head = np.repeat(own_head()[None], 3, 0)
    (rest, half, full), source = unstitched(np.zeros((3, 2)), head, [0.0, 0.5, 1.0])
    np.testing.assert_allclose(rest, source.keypoints[0], atol=2e-6)
    weights = params()["retargeting"]["eye"]
    network = Mlp(mlp_widths(SMALL, "eye"))
    flat = np.asarray(source.keypoints).reshape(1, -1)
    now = EYES.mean()
    told = lambda aim: run(
        network, weights, np.concatenate([flat, EYES, [[aim]]], 1).astype(np.float32)
    )
    for points, aim in ((half, now / 2), (full, 0.0)):
        nudge = np.asarray(told(aim) - told(now)).reshape(21, 3)
        assert np.abs(nudge).max() > 1e-3
        np.testing.assert_allclose(points - rest, nudge, atol=5e-6)


# --- sampling --------------------------------------------------------------------------


def trilinear(volume, x, y, z):
    """One sample with the outer faces at −1 and 1, by definition."""
    cells = volume.shape[2::-1]  # w, h, d
    at = [((u + 1) * n - 1) / 2 for u, n in zip((x, y, z), cells, strict=True)]
    total = 0.0
    for i in range(volume.shape[2]):
        for j in range(volume.shape[1]):
            for k in range(volume.shape[0]):
                weight = np.prod(
                    [max(0, 1 - abs(a - b)) for a, b in zip(at, (i, j, k), strict=True)]
                )
                total = total + weight * volume[k, j, i]
    return total


def test_sampling_is_trilinear_with_nought_outside():
    rng = np.random.default_rng(3)
    volume = rng.standard_normal((1, 3, 4, 5, 2)).astype(np.float32)
    where = rng.uniform(-1.4, 1.4, (1, 4, 3, 2, 3)).astype(np.float32)
    where[0, 0, 0, 0] = 0, 0, 5  # far outside
    got = jax.jit(sampling.sample)(volume, where)[0]
    expected = [trilinear(volume[0], *p) for p in where[0].reshape(-1, 3)]
    np.testing.assert_allclose(got.reshape(-1, 2), expected, atol=1e-5)
    assert not np.any(got[0, 0, 0])


def test_shifted_grids_are_sampled_alike():
    rng = np.random.default_rng(4)
    volume = rng.standard_normal((2, 4, 6, 5, 3)).astype(np.float32)
    shift = rng.uniform(-1, 1, (2, 7, 3)).astype(np.float32)
    got = np.asarray(jax.jit(sampling.shifted)(volume, shift))
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in (4, 6, 5)), indexing="ij")
    base = np.stack([x, y, z], -1).astype(np.float32)
    for k in range(7):
        where = base[None] + shift[:, None, None, None, k]
        expected = sampling.sample(jnp.asarray(volume), jnp.asarray(where))
        np.testing.assert_allclose(got[..., k, :], expected, atol=1e-5)


@pytest.mark.parametrize("size", [1, 3, 7])
def test_planewise_convolution_is_the_direct_one(size):
    rng = np.random.default_rng(5)
    x = rng.standard_normal((2, 4, 6, 5, 3)).astype(np.float32)
    weights = {
        "kernel": rng.standard_normal((size, size, size, 3, 2)).astype(np.float32),
        "bias": rng.standard_normal(2).astype(np.float32),
    }
    edge = size // 2
    padded = np.pad(x, ((0, 0), *[(edge, edge)] * 3, (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size,) * 3, (1, 2, 3))
    expected = np.einsum("bdhwixyz,xyzio->bdhwo", windows, weights["kernel"])
    got = run(Conv3d(2, size), weights, x)
    np.testing.assert_allclose(got, expected + weights["bias"], atol=1e-4)


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_an_enlarged_picture_is_convolved_as_if_it_were_large(factor):
    rng = np.random.default_rng(6)
    x = rng.standard_normal((2, 5, 6, 3)).astype(np.float32)
    weights = {
        "kernel": rng.standard_normal((3, 3, 3, 4)).astype(np.float32),
        "bias": rng.standard_normal(4).astype(np.float32),
    }
    large = x.repeat(factor, 1).repeat(factor, 2)
    padded = np.pad(large, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
    expected = np.einsum("bhwixy,xyio->bhwo", windows, weights["kernel"])
    got = run(UpsampledConv(4, factor), weights, x)
    np.testing.assert_allclose(got, expected + weights["bias"], atol=1e-4)


# --- sizes and crops -------------------------------------------------------------------

# Trained numbers in each network as its authors' modules count them; a folded batch norm
# takes two for each of its channels with it.
COUNTS = {
    "appearance": 836_224,
    "motion": 28_118_728,
    "warping": 45_529_829,
    "generator": 55_365_388,
    "retargeting": 45_249 + 37_311 + 144_703,
}


def full_inputs():
    net = PUBLISHED
    zeros = lambda *shape: jax.ShapeDtypeStruct(shape, jnp.float32)
    image = zeros(1, 256, 256, 3)
    volume, points = zeros(1, 16, 64, 64, 32), zeros(1, 21, 3)
    return {
        "appearance": (AppearanceExtractor(net), image),
        "motion": (MotionExtractor(net), image),
        "warping": (Warping(net), volume, points, points),
        "generator": (SpadeGenerator(net), zeros(1, 64, 64, 256)),
    }


@pytest.mark.parametrize("name", NAMES)
def test_full_networks_have_the_published_size(name):
    layout = json.loads(golden()["layouts"].tobytes())[name]
    norms = [k.removesuffix("running_mean") for k in layout if "running_mean" in k]
    # The norms that no convolution precedes stay.
    folded = sum(layout[f"{n}weight"][0] for n in norms if ".norm1." not in n)
    if name == "retargeting":
        made = {
            small: jax.eval_shape(
                Mlp(mlp_widths(PUBLISHED, small)).init,
                jax.random.key(0),
                jax.ShapeDtypeStruct((1, inputs), jnp.float32),
            )
            for small, inputs in (("stitching", 126), ("lip", 65), ("eye", 66))
        }
    else:
        network, *inputs = full_inputs()[name]
        made = jax.eval_shape(network.init, jax.random.key(0), *inputs)
    count = sum(leaf.size for leaf in jax.tree.leaves(made))
    assert count + 2 * folded == COUNTS[name]


def test_full_pictures_are_512():
    network, *inputs = full_inputs()["generator"]
    drawn, _ = jax.eval_shape(network.init_with_output, jax.random.key(0), *inputs)
    assert drawn.shape == (1, 512, 512, 3)


def test_squares_are_placed_by_the_originals_rule():
    golden_ = golden()
    for points, (eyes, lips), warp in zip(
        golden_["crop_points"], golden_["crop_ends"], golden_["crop_warp"], strict=True
    ):
        got = similarity(*(a.astype(float) for a in (points, eyes, lips)), 512)
        np.testing.assert_allclose(got[:2], warp, atol=5e-3)
        np.testing.assert_array_equal(got[2], [0, 0, 1])
