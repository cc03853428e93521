import numpy as np
import pytest
from mean_face import CAMERA, project

from gazehead_jax import face_geometry as fg
from gazehead_jax.gaze import FaceFrames, GazeEstimator, make_estimator
from gazehead_jax.gaze import iris as eye_geometry
from gazehead_jax.motion import gaze_in_head, matrix_to_head


def gaze_and_head(landmarks):
    fit = fg.fit_head(landmarks, CAMERA)
    head = matrix_to_head(fit.rotation)
    estimator = make_estimator("iris")
    assert isinstance(estimator, GazeEstimator)
    # Two halves make a whole: what is measured is of single frames.
    half = len(landmarks) // 2
    parts = [slice(0, half), slice(half, None)]
    measured = np.concatenate(
        [
            estimator.measure(
                FaceFrames(
                    [],
                    landmarks[p],
                    fg.fit_head(landmarks[p], CAMERA),
                    head[p],
                    CAMERA,
                )
            )
            for p in parts
        ]
    )
    assert measured.shape == (len(landmarks), estimator.width)
    return estimator.resolve(measured, head, np.ones(len(head), bool)), head


@pytest.mark.parametrize("x_cm", [0.0, 60.0])
def test_eyes_are_recovered_with_their_sign_and_gain(x_cm):
    rng = np.random.default_rng(1)
    eye = np.deg2rad(rng.uniform([-25, -30], [25, 30], (200, 2)))
    head = np.deg2rad(
        np.random.default_rng(0).uniform(
            [-10, -17.5, -12.5], [10, 17.5, 12.5], (200, 3)
        )
    )
    landmarks = project(head, eye, np.tile([x_cm, 10.0, 300.0], (200, 1)))
    gaze, found = gaze_and_head(landmarks)
    seen = gaze_in_head(gaze, found)
    for i in range(2):
        slope = np.polyfit(eye[:, i], seen[:, i], 1)[0]
        assert slope == pytest.approx(1, abs=0.08)  # Weak perspective.
        assert np.corrcoef(eye[:, i], seen[:, i])[0, 1] > 0.99
    assert np.rad2deg(np.abs(seen - eye)).max() < 5


def test_fixating_eyes_leave_gaze_still_while_the_head_turns():
    yaw = np.deg2rad(np.linspace(-20, 20, 41))
    zero = np.zeros_like(yaw)
    landmarks = project(
        np.stack([zero, yaw, zero], -1),
        np.stack([zero, -yaw], -1),
        np.tile([0.0, 0, 300.0], (41, 1)),
    )
    gaze, _ = gaze_and_head(landmarks)
    assert np.rad2deg(np.ptp(gaze[:, 1])) < 2


def test_straying_irises_enlarge_the_eyeball():
    offset = np.zeros((200, 2))
    assert eye_geometry.eye_radius_cm(offset, np.full(200, 1.17)) == pytest.approx(1.0)
    offset[:50, 0] = 1.2
    radius = eye_geometry.eye_radius_cm(offset, np.full(200, 1.17))
    assert np.rad2deg(np.arcsin(1.2 / radius)) == pytest.approx(50)
