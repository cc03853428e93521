"""Face estimators: what the networks tell, in the camera frame."""

import functools

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest
from published_face_nets import flax_outputs, random_state, resnet_shapes, vit_shapes
from test_gaze_normalise import CAMERA, POSES, published_turn, seen
from test_torch_file import safetensors

from gazehead_jax.errors import GazeheadError
from gazehead_jax.face_geometry import HeadFit, fit_head
from gazehead_jax.gaze import face_nets
from gazehead_jax.gaze.estimator import CHUNK, FaceFrames, GazeEstimator
from gazehead_jax.gaze.face_nets import (
    FaceNet,
    L2csEstimator,
    UniGazeEstimator,
    XGazeEstimator,
    expected_angles,
)
from gazehead_jax.gaze.normalise import NormalisedSpace, SquareSpace, to_camera
from gazehead_jax.gaze.resnet import ResNetGaze, l2cs_from_torch, xgaze_from_torch
from gazehead_jax.gaze.vit import Architecture, ViTGaze, unigaze_from_torch
from gazehead_jax.motion import vector_to_angles

# --- what the networks tell, in the camera frame ---------------------------------------


def frames(names, shape=(1080, 1920)):
    landmarks = np.concatenate([seen(name)[0] for name in names])
    fit = fit_head(landmarks, CAMERA)
    image = np.zeros((*shape, 3), np.uint8)
    head = np.zeros((len(names), 3))
    return FaceFrames([image] * len(names), landmarks, fit, head, CAMERA)


def says(outputs, space, decode=lambda outputs: outputs):
    """An estimator whose network gives the same for any picture, and its traces."""
    traces = []

    class Says(nn.Module):
        @nn.compact
        def __call__(self, images):
            traces.append(images.shape)
            return jnp.tile(jnp.array(outputs, jnp.float32)[None], (len(images), 1))

    return FaceNet("says", "none", space, Says(), {}, decode), traces


@pytest.mark.parametrize(
    "normalised",
    [(0.0, 0.0), (0.3, 0.0), (0.0, 0.4), (-0.2, -0.5)],
    ids=["straight", "up", "image-left", "down image-right"],
)
def test_normalised_gaze_is_turned_into_the_camera_frame(normalised):
    """Oracle: the published v, its label of −gaze, undone with the inverse rotation."""
    net, _ = says(normalised, NormalisedSpace())
    gaze = net.measure(frames(list(POSES)))
    assert gaze.shape == (len(POSES), 2)
    pitch, yaw = normalised
    label = np.array(
        [np.cos(pitch) * np.sin(yaw), np.sin(pitch), np.cos(pitch) * np.cos(yaw)]
    )
    for got, name in zip(gaze, POSES, strict=True):
        _, points, rotation = seen(name)
        turn = published_turn(points, rotation)
        expected = vector_to_angles(np.linalg.inv(turn) @ -label)
        np.testing.assert_allclose(got, expected, atol=np.deg2rad(0.5))


def test_signs_of_normalised_gaze():
    """Up is up and image-left is image-left, but for the crop's lean of 2.6°."""
    for normalised, sign in (((0.3, 0.0), [1, 0]), ((0.0, 0.3), [0, 1])):
        net, _ = says(normalised, NormalisedSpace())
        gaze = net.measure(frames(["frontal"]))[0]
        np.testing.assert_allclose(gaze, 0.3 * np.array(sign), atol=0.02)


def logits(yaw_deg, pitch_deg):
    """L2CS-Net's outputs when it is sure: yaw's bins first."""
    bins = np.full((2, 90), -50.0)
    for row, angle in enumerate((yaw_deg, pitch_deg)):
        bins[row, round((angle + 180) / 4)] = 50.0
    return bins.ravel()


def test_l2cs_bins_are_yaw_then_pitch():
    outputs = jnp.array([logits(20, -12), logits(-180, 176)], jnp.float32)
    gaze = np.rad2deg(expected_angles(outputs))
    np.testing.assert_allclose(gaze, [[-12, 20], [176, -180]], atol=1e-3)


def test_l2cs_takes_the_mean_over_bins():
    random = np.random.default_rng(0)
    outputs = random.normal(0, 2, (5, 180))
    share = np.exp(outputs.reshape(5, 2, 90))
    share /= share.sum(-1, keepdims=True)
    degrees = share @ (np.arange(90) * 4.0 - 180)
    got = np.rad2deg(expected_angles(jnp.array(outputs, jnp.float32)))
    np.testing.assert_allclose(got, degrees[:, ::-1], atol=1e-3)


def test_l2cs_gaze_is_about_the_ray_to_the_eyes():
    """Gaze360's frame: 20° image-left and 12° down of the ray back to the camera."""
    net, _ = says(logits(20, -12), SquareSpace(), expected_angles)
    names = ["frontal", "off-centre", "corner"]
    for got, name in zip(net.measure(frames(names)), names, strict=True):
        _, points, _ = seen(name)
        ray = points[[33, 133, 263, 362]].mean(0)
        ray /= np.linalg.norm(ray)
        right = np.cross([0, 1, 0], ray)
        right /= np.linalg.norm(right)
        yaw, pitch = np.deg2rad(20), np.deg2rad(-12)
        # Its v has x to the left, y up and z along the ray.
        x, y, z = (
            np.cos(pitch) * np.sin(yaw),
            np.sin(pitch),
            -np.cos(pitch) * np.cos(yaw),
        )
        expected = -x * right - y * np.cross(ray, right) + z * ray
        np.testing.assert_allclose(
            got, vector_to_angles(expected), atol=np.deg2rad(0.5)
        )


# --- the estimators ----------------------------------------------------------------


def test_compiles_once_for_any_number_and_size_of_frames():
    net, traces = says((0.1, 0.2), NormalisedSpace())
    names = list(POSES)
    for count, shape in ((1, (1080, 1920)), (6, (1080, 1920)), (3, (360, 640))):
        assert net.measure(frames(names[:count], shape)).shape == (count, 2)
    assert traces == [(CHUNK, 224, 224, 3)]
    with pytest.raises(GazeheadError, match="up to 32 at a time, got 33"):
        net.measure(frames(["frontal"] * 33))


def test_padding_does_not_reach_the_frames():
    """A frame gets the same alone and among others, and each gets its own."""

    class Mean(nn.Module):
        @nn.compact
        def __call__(self, images):
            return images.mean((1, 2))[:, :2]

    net = FaceNet("mean", "none", NormalisedSpace(), Mean(), {})
    together = frames(["frontal"] * 3)
    for i, image in enumerate(plain_pictures(3)):
        together.images[i] = image
    all_three = net.measure(together)
    assert np.ptp(all_three, axis=0).min() > 0.01
    for i in range(3):
        one = FaceFrames(
            [together.images[i]],
            together.landmarks[i : i + 1],
            HeadFit(
                *(
                    getattr(together.fit, name)[i : i + 1]
                    for name in ("rotation", "seen", "landmarks", "pixels_per_cm")
                )
            ),
            together.head[i : i + 1],
            CAMERA,
        )
        np.testing.assert_allclose(net.measure(one)[0], all_three[i], atol=1e-6)


def plain_pictures(count):
    random = np.random.default_rng(2)
    return [
        np.full((1080, 1920, 3), random.integers(0, 255, 3), np.uint8)
        for _ in range(count)
    ]


def test_resolve_keeps_what_was_measured():
    net, _ = says((0.1, 0.2), NormalisedSpace())
    assert isinstance(net, GazeEstimator)
    measured = np.array([[0.1, 0.2], [np.nan, np.nan]])
    head = np.zeros((2, 3))
    np.testing.assert_array_equal(
        net.resolve(measured, head, np.array([True, False])), measured
    )


def checkpoint(tmp_path, state):
    tensors = {
        name: ("I64" if value.dtype == np.int64 else "F32", value)
        for name, value in state.items()
    }
    return safetensors(tmp_path / "net.safetensors", tensors)


@pytest.mark.parametrize("name", ["xgaze", "l2cs", "unigaze"])
def test_estimators_read_their_checkpoint_and_measure(name, tmp_path, monkeypatch):
    """With narrow networks: the whole way from a file to angles."""
    monkeypatch.setattr(face_nets, "CHUNK", 2)
    small = Architecture(14, 32, 2, 4)
    monkeypatch.setitem(face_nets.UNIGAZE, "h", small)
    for function in ("ResNetGaze", "xgaze_from_torch", "l2cs_from_torch"):
        narrow = functools.partial(getattr(face_nets, function), width=4)
        monkeypatch.setattr(face_nets, function, narrow)
    shapes = vit_shapes(small) if name == "unigaze" else resnet_shapes(name, 4)
    state = random_state(shapes)
    path = checkpoint(tmp_path, state)
    estimator, network, params, size = {
        "xgaze": lambda: (
            XGazeEstimator(path),
            ResNetGaze(2, width=4),
            xgaze_from_torch(state, width=4),
            224,
        ),
        "l2cs": lambda: (
            L2csEstimator(path),
            ResNetGaze(180, width=4),
            l2cs_from_torch(state, width=4),
            448,
        ),
        "unigaze": lambda: (
            UniGazeEstimator(path, "h"),
            ViTGaze(small),
            unigaze_from_torch(state, small),
            224,
        ),
    }[name]()
    assert estimator.name == name
    assert "non-commercial" in estimator.licence or "research" in estimator.licence
    two = frames(["frontal", "turned"])
    two.images[:] = plain_pictures(2)
    gaze = estimator.measure(two)
    assert gaze.shape == (2, estimator.width)
    # A plain picture is plain in any crop.
    crops = np.stack([np.broadcast_to(x[0, 0], (size, size, 3)) for x in two.images])
    crops = (crops / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    outputs = jnp.asarray(flax_outputs(network, params, crops.astype(np.float32)))
    outputs = expected_angles(outputs) if name == "l2cs" else outputs
    space = SquareSpace() if name == "l2cs" else NormalisedSpace()
    turn, _ = space.place(two.fit, two.landmarks, CAMERA)
    expected = to_camera(np.asarray(outputs, np.float64), turn)
    np.testing.assert_allclose(gaze, expected, atol=1e-4)


def test_an_unknown_variant_is_told_the_known_ones(tmp_path):
    with pytest.raises(GazeheadError, match=r"one of b, l, h; got 's'"):
        UniGazeEstimator(tmp_path / "any", "s")


def test_a_missing_checkpoint_is_one_sentence(tmp_path):
    for make in (XGazeEstimator, L2csEstimator, UniGazeEstimator):
        with pytest.raises(GazeheadError, match="could not be read"):
            make(tmp_path / "net.pth")
