"""Recordings: their signs, and how they are cut into motions."""

import numpy as np
import pytest
from recording_files import (
    RIGHT_EAR,
    SCALP,
    a_recording,
    angles,
    direction,
)
from scipy.spatial.transform import Rotation

from gazehead_jax.errors import GazeheadError
from gazehead_jax.motion import head_to_matrix, wrap
from gazehead_jax.recordings.recording import (
    STEEP,
    YAW_LIMIT,
    Recording,
    sequences,
)

# --- signs ---------------------------------------------------------------------------


def test_right_ear_down_is_anticlockwise_in_the_image():
    # The image has y down; its top must go to its right when it turns clockwise.
    clockwise = head_to_matrix(np.array([0.0, 0.0, 0.3]))
    assert (clockwise @ SCALP)[0] > 0
    assert (clockwise @ RIGHT_EAR)[1] < 0  # Up: clockwise lifts the right ear.
    assert (head_to_matrix(np.array([0.0, 0.0, -0.3])) @ RIGHT_EAR)[1] > 0


@pytest.mark.parametrize("seed", range(3))
def test_unity_euler_angles_are_the_same_rotation(seed):
    x, y, z = np.random.default_rng(seed).uniform([-60, -170, -40], [60, 170, 40])
    cx, cy, cz = np.cos(np.deg2rad([x, y, z]))
    sx, sy, sz = np.sin(np.deg2rad([x, y, z]))
    # Unity: x to the person's right, y up, z forward; R = Ry Rx Rz.
    unity = (
        np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        @ np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
        @ np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    )
    # Image right is the person's left, image down is down, away is against the gaze.
    to_camera = -np.eye(3)
    ours = head_to_matrix(np.deg2rad(np.array([-x, y, z])))
    np.testing.assert_allclose(ours, to_camera @ unity @ to_camera.T, atol=1e-12)


# --- cutting -------------------------------------------------------------------------


def test_gaze_is_head_times_eye_after_the_median_is_subtracted():
    offset = np.deg2rad([-14.0, 3.0])
    recording = a_recording()
    eye = recording.eye - np.median(recording.eye, axis=0)
    (motion,) = sequences(Recording(**{**vars(recording), "eye": eye + offset}))
    head = recording.head
    np.testing.assert_allclose(motion.gaze_in_head, eye, atol=1e-5)
    shift = np.median(head[:, 1])
    np.testing.assert_allclose(motion.head, head - [0, shift, 0], atol=1e-5)
    # R = Ry(yaw) Rx(-pitch) Rz(roll), by SciPy.
    rotation = Rotation.from_euler("YXZ", head[:, [1, 0, 2]] * [1, -1, 1])
    gaze = rotation.apply(direction(*eye.T))
    turned = Rotation.from_euler("Y", -shift).apply(gaze)
    np.testing.assert_allclose(direction(*motion.gaze.T), turned, atol=1e-5)
    np.testing.assert_allclose(motion.meta["eye_median_deg"], [-14, 3], atol=2e-3)


def test_the_eye_is_taken_after_its_lag():
    recording = a_recording(seconds=8, rate=200.0)
    head, eye = angles(recording.time)
    late = angles(recording.time - 0.08)[1]
    (motion,) = sequences(
        Recording(**{**vars(recording), "eye": late, "eye_lag_s": 0.08})
    )
    assert len(motion) == len(eye) - 16
    eye = eye[: len(motion)] - np.median(late, axis=0)
    np.testing.assert_allclose(motion.gaze_in_head, eye, atol=1e-4)
    np.testing.assert_allclose(motion.head[:, 0], head[: len(motion), 0], atol=1e-5)


def test_repeated_eye_samples_are_bridged_not_stairs():
    recording = a_recording(rate=90.0)
    eye = recording.eye[np.arange(len(recording.eye)) // 3 * 3]
    (motion,) = sequences(Recording(**{**vars(recording), "eye": eye}))
    truth = recording.eye[: len(motion)] - np.median(eye, axis=0)
    error = np.abs(motion.gaze_in_head - truth)[motion.valid].max()
    assert error < 0.2 * np.abs(eye - recording.eye).max()


def test_uneven_times_become_uniform():
    time = np.arange(1000) / 50 + np.random.default_rng(0).uniform(0, 0.019, 1000)
    head, eye = angles(time)
    recording = a_recording(
        time=time, head=head, eye=eye, valid=np.ones(len(time), bool), fps=30.0
    )
    seen = 0
    for motion in sequences(recording):
        at = motion.meta["start_s"] + np.arange(len(motion)) / 30
        truth = angles(at)[0][:, 0] - angles(at)[0][0, 0]
        ours = motion.head[:, 0] - motion.head[0, 0]
        # start_s is rounded to milliseconds.
        np.testing.assert_allclose(ours[motion.valid], truth[motion.valid], atol=4e-3)
        seen += len(motion)
    assert seen > 580


def test_a_blink_stays_as_invalid_frames_and_a_loss_cuts():
    recording = a_recording()
    valid = recording.valid.copy()
    valid[120:132] = False  # 0.2 s
    valid[360:420] = False  # 1 s
    eye = np.where(valid[:, None], recording.eye, np.nan)
    first, second = sequences(
        Recording(**{**vars(recording), "valid": valid, "eye": eye})
    )
    assert (len(first), len(second)) == (360, 300)
    np.testing.assert_array_equal(first.valid, valid[:360])
    assert second.valid.all()
    assert second.meta["start_s"] == 7.0


def test_a_gap_in_time_cuts_and_short_rests_are_dropped():
    recording = a_recording()
    time = recording.time.copy()
    time[300:] += 0.2
    time[600:] += 0.2
    motions = sequences(Recording(**{**vars(recording), "time": time}))
    assert [len(m) for m in motions] == [300, 300]  # The last 2 s are too short.


def test_near_the_vertical_frames_are_invalid():
    recording = a_recording(
        eye=np.zeros((720, 2)) + 1e-6 * np.arange(1440).reshape(-1, 2)
    )
    head = recording.head.copy()
    head[300:330, 0] = np.deg2rad(-80)
    (motion,) = sequences(Recording(**{**vars(recording), "head": head}))
    assert not motion.valid[300:330].any()
    assert motion.valid[:300].all()
    assert np.abs(motion.head[motion.valid, 0]).max() < STEEP


def test_a_person_who_spins_is_cut_so_that_nothing_wraps():
    time = np.arange(60 * 40) / 60
    head, eye = angles(time)
    head[:, 1] += np.deg2rad(25) * time  # Nearly three turns.
    stored = np.stack([head[:, 0], wrap(head[:, 1]), head[:, 2]], -1)
    recording = a_recording(
        time=time, head=stored, eye=eye, valid=np.ones(len(time), bool)
    )
    motions = sequences(recording)
    assert len(motions) > 3
    assert sum(len(m) for m in motions) == len(time)
    for motion in motions:
        assert np.abs(motion.head[:, 1]).max() <= YAW_LIMIT + 1e-5
        assert np.abs(motion.gaze[:, 1]).max() <= YAW_LIMIT + 1e-5
        assert np.abs(np.diff(motion.gaze[:, 1])).max() < 0.2
        lo = round(motion.meta["start_s"] * 60)
        truth = head[lo : lo + len(motion), 1]
        np.testing.assert_allclose(
            motion.head[:, 1], truth - np.median(truth), atol=1e-5
        )


def test_sequences_are_at_most_thirty_seconds_and_equally_long():
    motions = sequences(a_recording(seconds=70))
    assert [len(m) for m in motions] == [1400, 1400, 1400]
    assert [m.source[-4:] for m in motions] == ["/000", "/001", "/002"]


def test_nothing_valid_gives_no_sequence():
    recording = a_recording()
    assert sequences(Recording(**{**vars(recording), "valid": ~recording.valid})) == []
    with pytest.raises(GazeheadError, match="fps"):
        sequences(recording, fps=-1.0)
