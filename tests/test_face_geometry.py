import numpy as np
import pytest
from mean_face import CAMERA, project

from gazehead_jax import face_geometry as fg
from gazehead_jax.motion import matrix_to_head


def turned(n=200, seed=0):
    rng = np.random.default_rng(seed)
    return np.deg2rad(rng.uniform([-20, -35, -25], [20, 35, 25], (n, 3)))


def test_the_rigid_face_is_symmetric_and_faces_the_camera():
    assert len(fg.RIGID_POINTS) == len(set(fg.RIGID_POINTS)) == 33
    assert fg.RIGID_WEIGHTS.sum() == pytest.approx(1)
    assert (fg.RIGID_WEIGHTS @ fg.RIGID_XYZ_CM)[0] == pytest.approx(0, abs=1e-9)
    nose, forehead = (fg.RIGID_XYZ_CM[list(fg.RIGID_POINTS).index(i)] for i in (4, 10))
    assert nose[2] < -7  # The tip is nearest to the camera,
    assert forehead[1] < -8  # and the forehead is on top: y points down.


@pytest.mark.parametrize("x_cm", [0.0, 60.0, -60.0])
def test_head_is_recovered_wherever_the_face_is(x_cm):
    head = turned()
    position = np.tile([x_cm, x_cm / 4, 250.0], (len(head), 1))
    landmarks = project(head, np.zeros((len(head), 2)), position)
    found = matrix_to_head(fg.fit_head(landmarks, CAMERA).rotation)
    assert np.rad2deg(np.abs(found - head)).max() < 0.5


def test_off_centre_without_the_ray_would_read_as_turned():
    landmarks = project(np.zeros((1, 3)), np.zeros((1, 2)), [[60.0, 0.0, 250.0]])
    fit = fg.fit_head(landmarks, CAMERA)
    seen_yaw = np.arctan2(fit.seen[0, 0, 2], fit.seen[0, 2, 2])
    assert abs(np.rad2deg(seen_yaw)) == pytest.approx(
        np.rad2deg(np.arctan2(60, 250)), abs=0.5
    )


def test_a_face_close_to_the_camera_is_still_roughly_right():
    head = turned() / 2
    landmarks = project(
        head, np.zeros((len(head), 2)), np.tile([5.0, 0, 45.0], (len(head), 1))
    )
    found = matrix_to_head(fg.fit_head(landmarks, CAMERA).rotation)
    assert np.rad2deg(np.abs(found - head)).max() < 4


def test_a_face_that_fills_the_frame_tells_of_a_crop():
    landmarks = project(np.zeros((2, 3)), np.zeros((2, 2)), [[0.0, 0, 150.0]] * 2)
    # 900 pixels at 150 cm show 6 pixels per cm, so that 60 cm makes 360 pixels,
    assert fg.likely_camera(landmarks, (640, 480)).focal_px == 640
    # which is the shortest that a crop of 200 pixels can have.
    landmarks[..., :2] += np.array([100, 100]) - CAMERA.principal_point
    assert fg.likely_camera(landmarks, (200, 200)).focal_px == pytest.approx(
        360, rel=0.05
    )
