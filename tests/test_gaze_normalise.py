"""Normalised faces: where points land, and gaze there and back."""

import jax
import numpy as np
import pytest

from gazehead_jax.face_geometry import (
    LEFT_EYE,
    RIGHT_EYE,
    RIGID_POINTS,
    RIGID_XYZ_CM,
    Camera,
    fit_head,
)
from gazehead_jax.gaze.normalise import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    MM_PER_CM,
    NOSE_WINGS,
    NormalisedSpace,
    SquareSpace,
    cut,
    position_mm,
    sample,
    to_camera,
)
from gazehead_jax.motion import (
    angles_to_vector,
    head_to_matrix,
    matrix_to_head,
    vector_to_angles,
)

CAMERA = Camera(1920, 1080, 1700.0)
NOSE_CM = np.array([[-1.41, 1.71, -5.24], [1.41, 1.71, -5.24]])
# head angles in degrees, place of the head's origin in cm
POSES = {
    "frontal": ([0, 0, 0], [0, 0, 150]),
    "turned": ([10, 25, 0], [5, -3, 150]),
    "rolled": ([-5, 10, 30], [-10, 5, 170]),
    "off-centre": ([5, -20, -15], [55, 20, 150]),
    "corner": ([0, 35, 10], [-70, -35, 160]),
    "near": ([0, 0, 0], [0, 0, 70]),
}


def head_model() -> np.ndarray:
    """478 points in cm: the rigid ones and the nose's true, the others within."""
    points = np.random.default_rng(0).uniform(-5, 5, (478, 3)) * [1, 1, 0.3]
    points[RIGID_POINTS] = RIGID_XYZ_CM
    points[list(NOSE_WINGS)] = NOSE_CM
    return points


def seen(name):
    """Landmarks of a posed head, as an ideal landmark net gives them, and the truth."""
    angles, place = POSES[name]
    rotation = head_to_matrix(np.deg2rad(np.array(angles, float)))
    points = head_model() @ rotation.T + np.array(place, float)
    landmarks = CAMERA.focal_px * points / points[:, 2:]
    landmarks[:, :2] += CAMERA.principal_point
    # Depth along the ray, in pixels.
    range_cm = np.linalg.norm(points, axis=-1)
    middle = np.linalg.norm(place)
    landmarks[:, 2] = (range_cm - middle) * CAMERA.focal_px / place[2]
    return landmarks[None], points, rotation


def placed(space, name):
    landmarks, points, rotation = seen(name)
    fit = fit_head(landmarks, CAMERA)
    turn, warp = space.place(fit, landmarks, CAMERA)
    return turn[0], warp[0], points, rotation


def through(matrix, xy):
    out = np.concatenate([xy, np.ones_like(xy[..., :1])], -1) @ matrix.T
    return out[..., :2] / out[..., 2:]


def project(points):
    return CAMERA.focal_px * points[:, :2] / points[:, 2:] + CAMERA.principal_point


def face_centre(points):
    eyes = points[[*RIGHT_EYE, *LEFT_EYE]].mean(0)
    return (eyes + points[list(NOSE_WINGS)].mean(0)) / 2


def published_turn(points, rotation):
    """Rows right, down, forward; the published face model leans 2.6° to its eyes."""
    model = rotation @ head_to_matrix(np.array([0.0, 0.0, np.deg2rad(-2.6)]))
    forward = face_centre(points) / np.linalg.norm(face_centre(points))
    down = np.cross(forward, model[:, 0])
    down /= np.linalg.norm(down)
    return np.stack([np.cross(down, forward), down, forward])


@pytest.mark.parametrize("name", POSES)
def test_the_face_centre_lands_in_the_middle(name):
    _, warp, points, _ = placed(NormalisedSpace(), name)
    xy = through(warp, project(face_centre(points)[None]))
    np.testing.assert_allclose(xy, [[112, 112]], atol=1.5)


@pytest.mark.parametrize("name", POSES)
def test_the_face_has_the_published_size_and_no_roll(name):
    """By an independent camera: 960 px at 600 mm, before a head without roll."""
    _, warp, points, rotation = placed(NormalisedSpace(), name)
    axes = published_turn(points, rotation)
    near = (points - face_centre(points)) @ axes.T * MM_PER_CM
    # A homography scales about the camera: depths scale with the distance.
    distance = np.linalg.norm(face_centre(points)) * MM_PER_CM
    expected = 112 + 960 / 600 * near[:, :2] / (1 + near[:, 2:] / distance)
    got = through(warp, project(points))
    corners = [*RIGHT_EYE, *LEFT_EYE, *NOSE_WINGS]
    np.testing.assert_allclose(got[corners], expected[corners], atol=2.5)


def test_outer_eye_corners_in_the_crop():
    """8.89 cm of the mesh are 132 px; they lean 2.6° clockwise as in published crops."""
    _, warp, points, _ = placed(NormalisedSpace(), "frontal")
    right, left = through(warp, project(points))[[RIGHT_EYE[0], LEFT_EYE[0]]]
    across, down = left - right
    np.testing.assert_allclose(np.hypot(across, down), 132.3, atol=2)
    np.testing.assert_allclose(np.rad2deg(np.arctan2(down, across)), 2.6, atol=0.1)


def test_training_and_demo_sizes_are_one_map():
    training = NormalisedSpace(448, 960.0, 300.0)
    for name in POSES:
        turn, warp, _, _ = placed(NormalisedSpace(), name)
        big_turn, big_warp, _, _ = placed(training, name)
        np.testing.assert_allclose(turn, big_turn)
        half = np.diag([0.5, 0.5, 1.0]) @ big_warp
        np.testing.assert_allclose(half / half[2, 2], warp / warp[2, 2], rtol=1e-9)


@pytest.mark.parametrize("name", POSES)
def test_the_normalised_head_does_not_roll(name):
    landmarks, _, _ = seen(name)
    fit = fit_head(landmarks, CAMERA)
    turn, _ = NormalisedSpace().place(fit, landmarks, CAMERA)
    leaning = head_to_matrix(np.array([0.0, 0.0, np.deg2rad(-2.6)]))
    roll = matrix_to_head(turn[0] @ fit.rotation[0] @ leaning)[2]
    assert abs(roll) < 1e-9


@pytest.mark.parametrize("space", [NormalisedSpace(), SquareSpace()], ids=str)
@pytest.mark.parametrize("name", POSES)
def test_gaze_there_and_back(space, name):
    """There by the published code's formula: labels are asin and atan2 of −R g."""
    turn, _, _, _ = placed(space, name)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) > 0
    gaze = np.random.default_rng(1).uniform(-0.9, 0.9, (50, 2))
    x, y, z = -(turn @ angles_to_vector(gaze).T)
    label = np.stack([np.arcsin(y), np.arctan2(x, z)], -1)
    back = to_camera(label, np.tile(turn, (50, 1, 1)))
    np.testing.assert_allclose(back, gaze, atol=1e-9)


@pytest.mark.parametrize("space", [NormalisedSpace(), SquareSpace()], ids=str)
@pytest.mark.parametrize("name", POSES)
def test_a_network_that_says_straight_means_the_camera(space, name):
    turn, _, points, _ = placed(space, name)
    gaze = to_camera(np.zeros((1, 2)), turn[None])
    eyes = points[[*RIGHT_EYE, *LEFT_EYE]].mean(0)
    place = eyes if isinstance(space, SquareSpace) else face_centre(points)
    expected = vector_to_angles(-place)
    np.testing.assert_allclose(gaze[0], expected, atol=np.deg2rad(0.3))


def test_signs_of_a_far_left_face():
    """Left in the image and looking at the camera: gaze goes to the image's right."""
    turn, _, _, _ = placed(SquareSpace(), "corner")
    pitch, yaw = to_camera(np.zeros((1, 2)), turn[None])[0]
    assert yaw < -0.3  # yaw + is image-left
    assert pitch < -0.1  # it is high in the image, and looks down


@pytest.mark.parametrize("name", POSES)
def test_position_of_the_eyes(name):
    landmarks, points, _ = seen(name)
    eyes = points[list(RIGHT_EYE)].mean(0) * MM_PER_CM
    got = position_mm(fit_head(landmarks, CAMERA), CAMERA, RIGHT_EYE)[0]
    # Weak perspective: a percent or two of the distance, less across.
    np.testing.assert_allclose(got[2], eyes[2], rtol=0.03)
    np.testing.assert_allclose(got / got[2], eyes / eyes[2], atol=0.002)


def test_the_square_holds_the_face():
    landmarks, _, _ = seen("rolled")
    _, warp = SquareSpace().place(fit_head(landmarks, CAMERA), landmarks, CAMERA)
    face = through(warp[0], landmarks[0, :468, :2])
    low, high = face.min(0), face.max(0)
    np.testing.assert_allclose((high - low).max(), 448)
    np.testing.assert_allclose((high + low) / 2, [224, 224])
    assert warp[0, 0, 0] == warp[0, 1, 1]  # not stretched


# --- pictures ------------------------------------------------------------------------


def pattern(width, height):
    """A smooth picture as a function of continuous pixel coordinates."""

    def value(x, y):
        waves = [np.sin(x / 60), np.cos(y / 45), np.sin((x + y) / 80)]
        return 127 + 100 * np.stack(waves, -1)

    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    return np.round(value(x, y)).astype(np.uint8), value


def crop(image, warp, size):
    """The crop in 0 … 255."""
    picture, to_picture = cut(image, warp, size)
    assert picture.shape == (2 * size, 2 * size, 3)
    out = jax.jit(sample, static_argnames="size")(
        picture[None], to_picture[None].astype(np.float32), size
    )
    return (np.asarray(out[0]) * IMAGENET_STD + IMAGENET_MEAN) * 255


def tilted(scale, angle, shift, perspective=0.0):
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[c, -s, shift[0]], [s, c, shift[1]], [perspective, 0, 1.0]])


@pytest.mark.parametrize(
    "warp",
    [
        tilted(1.0, 0.0, (-100, -80)),
        tilted(0.5, 0.0, (-40, -20)),
        tilted(0.28, 0.0, (-2, -3)),
        tilted(2.5, 0.3, (-200, -300)),
        tilted(0.4, 0.7, (60, -60)),
        tilted(0.9, -0.2, (-90, -30), 3e-4),
    ],
    ids=["shift", "half", "small", "large", "turned", "perspective"],
)
def test_crops_show_what_the_homography_says(warp):
    size = 64
    image, value = pattern(500, 400)
    got = crop(image, warp, size)
    middle = np.arange(size) + 0.5
    u, v = np.meshgrid(middle, middle)
    x, y = np.moveaxis(through(np.linalg.inv(warp), np.stack([u, v], -1)), -1, 0)
    inside = (x > 4) & (x < 496) & (y > 4) & (y < 396)
    assert inside.mean() > 0.3
    assert np.abs(got - value(x, y))[inside].max() < 2.5
    outside = (x < -4) | (x > 504) | (y < -4) | (y > 404)
    assert np.abs(got[outside]).max(initial=0) < 1e-3


def test_shrinking_does_not_alias():
    """Fine stripes become grey; every n-th pixel of them would be black or white."""
    image = np.zeros((480, 480, 3), np.uint8)
    image[:, ::2] = 255
    for scale in (0.5, 0.25, 0.2, 0.15):
        got = crop(image, tilted(scale, 0.0, (0, 0)), 48)
        assert np.abs(got[4:-4, 4:-4] - 127.5).max() < 30, scale


@pytest.mark.parametrize("angle", [0.0, np.pi / 4])
def test_any_scale_fits_the_picture(angle):
    """Whatever does not fit is shrunk further; nothing of the crop is lost."""
    image = np.full((3000, 3000, 3), 200, np.uint8)
    for pixels in (20, 100, 190, 250, 490, 1000):
        scale = 64 / pixels
        centre = (
            scale
            * 1500
            * np.array([np.cos(angle) - np.sin(angle), np.sin(angle) + np.cos(angle)])
        )
        got = crop(image, tilted(scale, angle, 32 - centre), 64)
        np.testing.assert_allclose(got, 200, atol=0.01)


def test_a_face_outside_the_frame_is_black():
    image = np.full((100, 100, 3), 200, np.uint8)
    got = crop(image, tilted(1.0, 0.0, (300, 300)), 32)
    np.testing.assert_allclose(got, 0, atol=1e-3)
