"""Conventions on known vectors, and what Motion refuses."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gazehead_jax.errors import GazeheadError
from gazehead_jax.motion import (
    Motion,
    angles_to_vector,
    as_seen_from,
    gaze_in_camera,
    gaze_in_head,
    head_to_matrix,
    matrix_to_head,
    mirror,
    resample,
    vector_to_angles,
    wrap,
)
from gazehead_jax.normaliser import Normaliser

RNG = np.random.default_rng(0)
UP, LEFT, RIGHT = np.array([0, -1, 0]), np.array([-1, 0, 0]), np.array([1, 0, 0])
TO_CAMERA = np.array([0, 0, -1])


# --- every sign, on a known vector ---------------------------------------------------


@pytest.mark.parametrize(
    ("angles_deg", "direction"),
    [
        ((0, 0), TO_CAMERA),
        ((90, 0), UP),
        ((-90, 0), -UP),
        ((0, 90), LEFT),
        ((0, -90), RIGHT),
        ((45, 0), (TO_CAMERA + UP) / np.sqrt(2)),
        ((0, 45), (TO_CAMERA + LEFT) / np.sqrt(2)),
    ],
)
def test_direction_signs(angles_deg, direction):
    angles = np.deg2rad(np.array(angles_deg, float))
    np.testing.assert_allclose(angles_to_vector(angles), direction, atol=1e-12)
    again = vector_to_angles(direction * 3.0)
    if abs(angles_deg[0]) == 90:  # straight up, every yaw is right
        again, angles = again[:1], angles[:1]
    np.testing.assert_allclose(again, angles, atol=1e-12)


@pytest.mark.parametrize(
    ("head_deg", "of", "becomes"),
    [
        # The nose (towards the camera) follows pitch and yaw.
        ((30, 0, 0), TO_CAMERA, angles_to_vector(np.deg2rad([30.0, 0]))),
        ((0, 30, 0), TO_CAMERA, angles_to_vector(np.deg2rad([0, 30.0]))),
        # Roll +90° turns the image clockwise: what pointed up points right.
        ((0, 0, 90), UP, RIGHT),
        ((0, 0, 90), RIGHT, -UP),
        # Turned to image left, the ear on that side goes away from the camera.
        ((0, 90, 0), LEFT, -TO_CAMERA),
        ((90, 0, 0), UP, -TO_CAMERA),
    ],
)
def test_head_signs(head_deg, of, becomes):
    rotation = head_to_matrix(np.deg2rad(np.array(head_deg, float)))
    np.testing.assert_allclose(rotation @ of, becomes, atol=1e-12)


def test_head_matrix_is_the_documented_product():
    head = RNG.uniform(-1.4, 1.4, (50, 3))
    for (pitch, yaw, roll), got in zip(head, head_to_matrix(head), strict=True):
        expected = (
            Rotation.from_rotvec([0, yaw, 0])
            * Rotation.from_rotvec([-pitch, 0, 0])
            * Rotation.from_rotvec([0, 0, roll])
        )
        np.testing.assert_allclose(got, expected.as_matrix(), atol=1e-12)


def test_round_trips_in_numpy_and_jax():
    head = RNG.uniform(-1.4, 1.4, (50, 3))
    gaze = RNG.uniform(-1.4, 1.4, (50, 2))
    np.testing.assert_allclose(matrix_to_head(head_to_matrix(head)), head, atol=1e-10)
    np.testing.assert_allclose(
        vector_to_angles(angles_to_vector(gaze)), gaze, atol=1e-10
    )
    np.testing.assert_allclose(
        gaze_in_camera(gaze_in_head(gaze, head), head), gaze, atol=1e-10
    )
    eye = gaze_in_head(jnp.asarray(gaze), jnp.asarray(head))
    assert not isinstance(eye, np.ndarray)
    np.testing.assert_allclose(eye, gaze_in_head(gaze, head), atol=1e-5)


def test_gaze_in_head_is_a_rotation_not_a_subtraction():
    # Head turned and rolled 90° clockwise, gaze straight above the head's own forward.
    head = np.deg2rad([[0.0, 40, 90]])
    forward = head_to_matrix(head)[0] @ TO_CAMERA
    np.testing.assert_allclose(
        gaze_in_head(vector_to_angles(forward)[None], head), 0, atol=1e-12
    )
    # The eye looks to the head's own up: after the roll that is image right.
    eye_up = gaze_in_camera(np.deg2rad([[20.0, 0]]), np.deg2rad([[0.0, 0, 90]]))
    np.testing.assert_allclose(np.rad2deg(eye_up), [[0, -20]], atol=1e-9)
    # Both lifted by 40°, gaze 30° beside: subtraction says 30° of yaw, pitch 0°.
    eye = gaze_in_head(np.deg2rad([[40.0, 30]]), np.deg2rad([[40.0, 0, 0]]))
    pitch, yaw = np.rad2deg(eye[0])
    assert pitch > 3
    assert yaw < 25


def test_wrap():
    np.testing.assert_allclose(wrap(np.array([3.5, -3.5, 0.1])) % (2 * np.pi),
                               np.array([3.5, -3.5, 0.1]) % (2 * np.pi))  # fmt: skip
    assert np.abs(wrap(np.linspace(-20, 20, 99))).max() <= np.pi


# --- Motion ----------------------------------------------------------------------------


def make(time=50, fps=25.0, **changes) -> Motion:
    t = np.arange(time) / 25
    gaze = np.stack([0.1 * np.sin(t), 0.3 * np.sin(2 * t)], -1)
    head = np.stack([0.05 * np.sin(t), 0.2 * np.sin(2 * t), 0.02 * np.cos(t)], -1)
    return Motion(**{"gaze": gaze, "head": head, "fps": fps, **changes})


def test_motion_defaults_and_slices():
    motion = make()
    assert motion.gaze.dtype == np.float32
    assert motion.valid.all()
    assert motion[10:20].gaze.shape == (10, 2)
    assert motion.duration_s == 2.0
    np.testing.assert_allclose(
        gaze_in_camera(motion.gaze_in_head, motion.head), motion.gaze, atol=1e-6
    )


def test_motion_hides_numbers_at_invalid_frames():
    gaze = np.zeros((4, 2))
    gaze[1] = np.nan
    motion = Motion(gaze=gaze, head=None, fps=25, valid=np.arange(4) != 1)
    assert np.isfinite(motion.gaze).all()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"gaze": np.zeros((5, 3))}, r"gaze must be \[time, 2\]"),
        ({"gaze": np.zeros((0, 2)), "head": None}, "at least one frame"),
        ({"head": np.zeros((5, 3))}, "head must be"),
        ({"valid": np.ones(3, bool)}, "valid must be"),
        ({"fps": 0.0}, "fps must be a positive"),
        ({"fps": float("nan")}, "fps must be a positive"),
        ({"frame": "normalised"}, "frame must be one of"),
        ({"gaze": np.full((50, 2), np.nan)}, "must be finite where valid"),
        ({"gaze": np.full((50, 2), 20.0)}, "looks like degrees"),
        ({"head": np.full((50, 3), 5.0)}, "looks like degrees"),
    ],
)
def test_motion_refuses(changes, says):
    with pytest.raises(GazeheadError, match=says):
        make(**changes)


def test_mirror_flips_yaw_and_roll_and_undoes_itself():
    motion = make()
    flipped = mirror(motion)
    np.testing.assert_array_equal(flipped.gaze, motion.gaze * [1, -1])
    np.testing.assert_array_equal(flipped.head, motion.head * [1, -1, -1])
    np.testing.assert_array_equal(mirror(flipped).head, motion.head)
    # A mirrored world mirrors eye-in-head too: signs are those of a reflection.
    np.testing.assert_allclose(
        flipped.gaze_in_head, motion.gaze_in_head * [1, -1], atol=1e-6
    )


def test_another_camera_keeps_the_eye_in_the_head():
    motion = make()
    seen = as_seen_from(motion, np.deg2rad([-20.0, 30.0]))
    np.testing.assert_allclose(seen.gaze_in_head, motion.gaze_in_head, atol=1e-5)
    looking = Motion(np.deg2rad([[-20.0, 30.0]]), np.deg2rad([[-20.0, 30.0, 5.0]]), 25)
    seen = as_seen_from(looking, np.deg2rad([-20.0, 30.0]))
    np.testing.assert_allclose(np.rad2deg(seen.gaze), [[0, 0]], atol=1e-4)
    np.testing.assert_allclose(np.rad2deg(seen.head), [[0, 0, 5]], atol=1e-4)


# --- resampling --------------------------------------------------------------------------


@pytest.mark.parametrize("fps", [5, 10, 24, 30, 60, 120])
def test_resampling_keeps_a_slow_curve(fps):
    motion = make(time=251)
    out = resample(motion, fps)
    t = np.arange(len(out)) / fps
    assert len(out) == int(10 * fps) + 1
    assert out.valid.all()
    inner = slice(2, -2)
    np.testing.assert_allclose(
        out.gaze[inner, 1], 0.3 * np.sin(2 * t)[inner], atol=0.01
    )
    smooth = resample(out, 25, smooth=True)
    np.testing.assert_allclose(smooth.head[10:-10], motion.head[10:241], atol=0.01)


@pytest.mark.parametrize("fps", [5, 12.5, 20, 30, 60])
def test_invalid_frames_never_enter_valid_ones(fps):
    motion = make(time=101)
    valid = np.ones(101, bool)
    valid[30:41] = False
    motion = motion.replace(valid=valid)
    poisoned = motion.replace(
        gaze=np.where(valid[:, None], motion.gaze, 1.5),
        head=np.where(valid[:, None], motion.head, -1.5),
    )
    for smooth in (False, True):
        clean, dirty = resample(motion, fps, smooth=smooth), resample(poisoned, fps)
        if smooth:
            dirty = resample(poisoned, fps, smooth=True)
        np.testing.assert_array_equal(clean.valid, dirty.valid)
        np.testing.assert_array_equal(clean.gaze[clean.valid], dirty.gaze[clean.valid])
        np.testing.assert_array_equal(clean.head[clean.valid], dirty.head[clean.valid])
        assert not clean.valid[int(35 / 25 * fps)]
        assert clean.valid.mean() > 0.8


def test_box_mean_sees_a_saccade_between_slow_frames():
    gaze = np.zeros((25, 2))
    gaze[3:, 1] = 0.5  # between frames 0 and 1 of 5 fps; frame 1 covers 3…7
    out = resample(Motion(gaze=gaze, head=None, fps=25), 5)
    np.testing.assert_allclose(out.gaze[:3, 1], [0, 0.5, 0.5], atol=1e-6)


def test_resampling_across_the_wrap_stays_on_the_short_way():
    yaw = wrap(np.linspace(3.0, 3.4, 50))
    head = np.stack([np.zeros(50), yaw, np.zeros(50)], -1)
    out = resample(Motion(gaze=head[:, :2], head=head, fps=25), 10)
    assert (np.abs(out.head[:, 1]) > 2.85).all()


def test_no_valid_frame_survives_resampling():
    motion = make(valid=np.zeros(50, bool))
    for fps in (5, 20, 60):
        assert not resample(motion, fps).valid.any()


# --- normaliser --------------------------------------------------------------------------


def test_normaliser_is_the_mean_and_std_of_valid_frames():
    motion = make(time=200)
    valid = np.arange(200) % 3 != 0
    motion = motion.replace(
        valid=valid, gaze=np.where(valid[:, None], motion.gaze, 1.5)
    )
    n = Normaliser.fit([motion[:100], motion[100:]])
    np.testing.assert_allclose(n.gaze_mean, motion.gaze[valid].mean(0), atol=1e-6)
    np.testing.assert_allclose(n.head_std, motion.head[valid].std(0), rtol=1e-4)
    for d in (2, 3):
        head = motion.head[:, :d]
        np.testing.assert_allclose(n.head_inverse(n.head(head)), head, atol=1e-6)
    again = Normaliser.from_dict(n.to_dict())
    np.testing.assert_array_equal(again.head_std, n.head_std)


def test_normaliser_refuses():
    with pytest.raises(GazeheadError, match="zero valid frames"):
        Normaliser.fit([make(valid=np.zeros(50, bool))])
    with pytest.raises(GazeheadError, match="needs gaze_mean"):
        Normaliser.from_dict({"mean": [0.0]})
