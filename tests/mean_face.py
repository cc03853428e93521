"""Landmarks of the mean face through an independent pinhole camera."""

import numpy as np

from gazehead_jax import face_geometry as fg
from gazehead_jax.gaze import iris as eye_geometry
from gazehead_jax.motion import head_to_matrix

CAMERA = fg.Camera(640, 480, 900.0)


def project(head, eye, position_cm):
    """Landmarks [t, 478, 3] of the mean face: an independent pinhole camera.

    eye [t, 2] is what the landmark net shows: the iris moves 1/gain up and down.
    """
    face = np.zeros((478, 3))
    face[fg.RIGID_POINTS] = fg.RIGID_XYZ_CM
    out = []
    for h, (pitch, yaw), at in zip(head, eye, position_cm, strict=True):
        points = face.copy()
        pitch = pitch / eye_geometry.PITCH_GAIN
        for iris, corners in ((468, fg.RIGHT_EYE), (473, fg.LEFT_EYE)):
            look = np.array(
                [
                    -np.sin(yaw) * np.cos(pitch),
                    -np.sin(pitch),
                    -np.cos(yaw) * np.cos(pitch),
                ]
            )
            centre = face[list(corners)].mean(0) + eye_geometry.EYE_CENTRE_CM
            points[iris] = centre + 1.05 * look
            side = np.array([1.05 / eye_geometry.EYE_RADIUS_PER_IRIS / 2, 0, 0])
            points[iris + 1], points[iris + 3] = (
                points[iris] + side,
                points[iris] - side,
            )
        points = points @ head_to_matrix(h).T + at
        x, y, z = points.T
        # The net sees a crop about the face: its depth is along the ray to it.
        middle = fg.RIGID_WEIGHTS @ points[fg.RIGID_POINTS]
        depth = (points - middle) @ middle / np.linalg.norm(middle)
        pixels = [x / z, y / z, depth / middle[2]]
        out.append(
            CAMERA.focal_px * np.stack(pixels, -1)
            + [
                *CAMERA.principal_point,
                0,
            ]
        )
    return np.array(out)
