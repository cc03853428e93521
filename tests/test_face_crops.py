"""Crops of parts of a face: bilinear, averaged, level, and the edge goes on."""

import numpy as np
import pytest
from mean_face import CAMERA, project

from gazehead_jax.face_geometry import LEFT_EYE, RIGHT_EYE, fit_head
from gazehead_jax.gaze import adas, face_crops

RNG = np.random.default_rng(5)


def test_a_crop_of_whole_pixels_is_a_slice():
    image = RNG.integers(0, 256, (40, 50, 3), np.uint8)
    corners = np.array([[7.0, 5.0], [27.0, 5.0], [7.0, 25.0]])
    got = face_crops.sample(image, *corners, 20)
    np.testing.assert_allclose(got, image[5:25, 7:27], atol=1e-4)
    # Turned a quarter: its right is the image's down.
    corners = np.array([[27.0, 5.0], [27.0, 25.0], [7.0, 5.0]])
    got = face_crops.sample(image, *corners, 20)
    np.testing.assert_allclose(
        got, image[5:25, 7:27][:, ::-1].swapaxes(0, 1), atol=1e-4
    )


def test_a_slanted_crop_is_bilinear():
    """On a picture that is linear in x and y every method must give the plane itself."""
    y, x = np.mgrid[:90, :120] + 0.5
    image = np.stack([2 * x, 2.5 * y, x + y], -1)
    image = np.floor(image).astype(np.uint8)
    corners = np.array([[30.0, 20.0], [60.0, 32.0], [18.0, 50.0]])
    got = face_crops.sample(image, *corners, 15)
    part = (np.arange(15) + 0.5) / 15
    at = corners[0] + part[None, :, None] * [30, 12] + part[:, None, None] * [-12, 30]
    want = np.stack([2 * at[..., 0], 2.5 * at[..., 1], at.sum(-1)], -1)
    assert np.abs(got - want).max() < 1.1  # The picture was rounded down.


def test_a_crop_of_many_pixels_takes_their_means():
    stripes = np.zeros((600, 600, 3), np.uint8)
    stripes[:, ::2] = 200
    corners = np.array([[101.3, 100.0], [461.3, 130.0], [71.3, 460.0]])
    got = face_crops.sample(stripes, *corners, 60)
    assert np.abs(got - 100).max() < 1e-3
    image = RNG.integers(0, 256, (600, 600, 3), np.uint8)
    corners = np.array([[120.0, 60.0], [480.0, 60.0], [120.0, 420.0]])
    got = face_crops.sample(image, *corners, 60)
    want = image[60:420, 120:480].reshape(60, 6, 60, 6, 3).mean((1, 3))
    np.testing.assert_allclose(got, want, atol=1e-3)


@pytest.mark.parametrize("at", [-5.0, 35.0, -900.0, 900.0])
@pytest.mark.parametrize("side", [20.0, 200.0])
def test_beyond_the_edge_the_edge_goes_on(at, side):
    image = np.broadcast_to(np.arange(40, dtype=np.uint8)[:, None] * 6, (40, 40, 3)[:2])
    image = np.repeat(image[..., None], 3, -1)
    corners = np.array([[at, at], [at + side, at], [at, at + side]])
    got = face_crops.sample(np.ascontiguousarray(image), *corners, 10)
    assert got.shape == (10, 10, 3)
    assert got.min() >= 0
    assert got.max() <= 39 * 6
    if abs(at) == 900:
        # Up to the means of a few edge pixels.
        np.testing.assert_allclose(got, 0 if at < 0 else 39 * 6, atol=60)


@pytest.mark.parametrize(
    "head_deg", [(0, 0, 0), (0, 0, 25), (-12, 30, -15), (20, -25, 10)]
)
def test_eyes_are_level_and_centred_in_their_crops(head_deg):
    """Also of a turned and pitched head, off the frame's middle."""
    head = np.deg2rad([head_deg])
    landmarks = project(head, np.zeros((1, 2)), np.array([[25.0, -12.0, 150.0]]))
    fit = fit_head(landmarks, CAMERA)
    corners = adas.eye_corners(fit, CAMERA)[0]
    for eye, square in zip((RIGHT_EYE, LEFT_EYE), corners, strict=True):
        sides = np.stack([square[1] - square[0], square[2] - square[0]], 1)
        points = landmarks[0, eye, :2]
        u, v = np.linalg.solve(sides, (points - square[0]).T)
        assert u.mean() == pytest.approx(0.5, abs=0.01)
        assert np.abs(np.diff(u))[0] == pytest.approx(1 / 1.8, abs=0.02)
        assert v.mean() == pytest.approx(0.5, abs=0.01)
        # The outer corner of the subject's right eye is at the left.
        assert np.diff(u)[0] * (1 if eye is RIGHT_EYE else -1) > 0
    # The line through all four corners is that of the head's axis. Perspective tilts it a
    # little, as the eyes are not equally far away.
    line = fit.landmarks[0, LEFT_EYE[0], :2] - fit.landmarks[0, RIGHT_EYE[0], :2]
    slope = np.arctan2(line[1], line[0])
    assert face_crops.head_slope(fit)[0] == pytest.approx(slope, abs=0.02)
