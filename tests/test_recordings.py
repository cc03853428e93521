"""Recordings: their axes and signs, their faults, and how they are cut."""

import csv
import gzip

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gazehead_jax import build, recordings
from gazehead_jax.errors import GazeheadError
from gazehead_jax.motion import head_to_matrix, wrap
from gazehead_jax.recordings import converted, eyenavgs, sgaze, vr_objects
from gazehead_jax.recordings.recording import (
    STEEP,
    YAW_LIMIT,
    Recording,
    Rejected,
    sequences,
)

# Where the right ear is, seen from the head: on the image's left.
RIGHT_EAR = np.array([-1.0, 0.0, 0.0])
SCALP = np.array([0.0, -1.0, 0.0])


def wave(time, amplitude_deg, *hertz, phase=0.0):
    """A smooth angle, radians."""
    angle = sum(np.sin(2 * np.pi * f * time + phase + i) for i, f in enumerate(hertz))
    return np.deg2rad(amplitude_deg) * angle / len(hertz)


def angles(time):
    """Head (pitch, yaw, roll) and eye (pitch, yaw) in this project's signs."""
    head = [
        wave(time, 15, 0.13, 0.31),
        wave(time, 50, 0.07, 0.23, phase=1),
        wave(time, 20, 0.11, 0.37, phase=2),
    ]
    eye = [wave(time, 12, 0.7, 1.1), wave(time, 20, 0.5, 0.9, phase=2)]
    return np.stack(head, -1), np.stack(eye, -1)


def a_recording(seconds=12.0, rate=60.0, **changes):
    time = np.arange(round(seconds * rate)) / rate
    head, eye = angles(time)
    values = {
        "time": time,
        "head": head,
        "eye": eye,
        "valid": np.ones(len(time), bool),
        "person": "vr_objects:1",
        "source": "vr_objects/scene/1/S001",
        "fps": rate,
    }
    return Recording(**{**values, **changes})


def direction(pitch, yaw):
    """Independent of motion.py: camera x right, y down, z away; yaw to image-left."""
    return np.stack(
        [-np.cos(pitch) * np.sin(yaw), -np.sin(pitch), -np.cos(pitch) * np.cos(yaw)], -1
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


def test_converted_roll_changes_sign(tmp_path):
    write_converted(tmp_path)
    (entry,) = converted.find(tmp_path)
    recording = converted.load(entry)
    with np.load(entry.paths[0]) as file:
        stored = file["head"]
    # Right ear down in the file: the ear is low in the image.
    t = np.argmax(stored[:, 2])
    roll_only = np.array([0, 0, recording.head[t, 2]])
    assert (head_to_matrix(roll_only) @ RIGHT_EAR)[1] > 0.1
    np.testing.assert_array_equal(recording.head[:, :2], stored[:, :2])


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


# --- vr_objects ----------------------------------------------------------------------


def write_vr_objects(root, person="6", scene="office_cube", seconds=8.0, lost=()):
    """Two trials of a made-up session, in Unity's axes; the eye is late as it is."""
    trackers = root / "data" / scene / person / "S001" / "trackers"
    trackers.mkdir(parents=True)
    for trial in (1, 2):
        time = 20.0 + 100 * trial + np.arange(round(seconds * 90)) / 90
        head = angles(time)[0]
        pitch, yaw = angles(time - vr_objects.EYE_LAG_S)[1].T
        forward = np.stack(
            [np.cos(pitch) * np.sin(yaw), np.sin(pitch), np.cos(pitch) * np.cos(yaw)],
            -1,
        )
        pupils = np.full((len(time), 2), 3.1)
        for i in lost:
            pupils[i, 1] = -1
        with (trackers / f"Eye_gaze_T{trial:03d}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(
                "time,ori_x,ori_y,ori_z,dir_x,dir_y,dir_z,gaze_x,gaze_y,gaze_z,"
                "gaze_object,pupil_l,pupil_r".split(",")
            )
            for t, d, p in zip(time, forward, pupils, strict=True):
                writer.writerow([t, 0, 0, 0, *d, -99999, -99999, 0, "Mug", *p])
        euler = np.rad2deg(head * [-1, 1, 1]) % 360
        with (trackers / f"VR_move_T{trial:03d}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(
                "time,head_pos_x,head_pos_y,head_pos_z,head_rot_x,head_rot_y,"
                "head_rot_z,grab".split(",")
            )
            for t, e in zip(time, euler, strict=True):
                writer.writerow([t, 0, 1.6, 0, *e, "False"])
    return trackers


def test_vr_objects_known_angles(tmp_path):
    write_vr_objects(tmp_path / "jov2023-vr-objects-main", lost=(300,))
    (entry,) = vr_objects.find(tmp_path)
    assert entry.person == "vr_objects:6"
    assert entry.source == "vr_objects/office_cube/6/S001"
    recording = vr_objects.load(entry)
    assert np.diff(recording.time).min() > 0
    # Five samples on both sides of a lost pupil go with it.
    np.testing.assert_array_equal(
        np.flatnonzero(~recording.valid[:720]), np.arange(295, 306)
    )
    motions = sequences(recording)
    assert len(motions) == 2  # One a trial: the gap between them cuts.
    for trial, motion in enumerate(motions, 1):
        assert motion.fps == 60
        time = 20.0 + 100 * trial + np.arange(len(motion)) / 60
        head, eye = angles(time)
        eye = eye - np.deg2rad(motion.meta["eye_median_deg"])
        ok = motion.valid
        assert 0.96 < ok.mean() < 1
        np.testing.assert_allclose(motion.head[:, 0], head[:, 0], atol=1e-3)
        np.testing.assert_allclose(motion.head[:, 2], head[:, 2], atol=1e-3)
        turned = motion.head[:, 1] - head[:, 1]
        assert np.ptp(turned) < 2e-3
        np.testing.assert_allclose(motion.gaze_in_head[ok], eye[ok], atol=3e-3)


def test_vr_objects_tells_what_it_expects(tmp_path):
    with pytest.raises(GazeheadError, match="no such folder"):
        vr_objects.find(tmp_path / "nowhere")
    with pytest.raises(GazeheadError, match="jov2023-vr-objects"):
        vr_objects.find(tmp_path)
    trackers = write_vr_objects(tmp_path / "clone")
    (trackers / "VR_move_T002.csv").write_text("time,head_rot_x\n1,2\n")
    (entry,) = vr_objects.find(tmp_path)
    with pytest.raises(GazeheadError, match="missing column.*head_rot_y"):
        vr_objects.load(entry)
    (trackers / "VR_move_T002.csv").write_text(
        "time,head_rot_x,head_rot_y,head_rot_z\n120,1,2,3\n"
    )
    with pytest.raises(GazeheadError, match="same times"):
        vr_objects.load(entry)
    (trackers / "VR_move_T002.csv").write_text(
        "time,head_rot_x,head_rot_y,head_rot_z\n"
    )
    with pytest.raises(GazeheadError, match="no rows"):
        vr_objects.load(entry)
    (trackers / "VR_move_T002.csv").write_text(
        "time,head_rot_x,head_rot_y,head_rot_z\n120,1,two,3\n"
    )
    with pytest.raises(GazeheadError, match="not a whole table"):
        vr_objects.load(entry)
    (trackers / "VR_move_T002.csv").unlink()
    with pytest.raises(GazeheadError, match="no VR_move_T002.csv"):
        vr_objects.find(tmp_path)


# --- EyeNavGS ------------------------------------------------------------------------

TILT = Rotation.from_euler("XZ", [-20, 8], degrees=True)


def write_eyenavgs(root, rutgers=False, user=10, age=0.06, eyes="alive", seconds=15.0):
    """A made-up recording: x right, y up, z back; a tilted scene; a stale head."""
    scenes = root / "dataset" if rutgers else root
    (scenes / "alameda").mkdir(parents=True, exist_ok=True)
    quaternion = ", ".join(f"{x:.8f}" for x in TILT.as_quat())
    (root / "scene_setting.csv").write_text(
        f'Scene_Name,Quaternion,Scale\nalameda,"{quaternion}",0.4\n', "utf-8-sig"
    )
    site = eyenavgs.RUTGERS if rutgers else eyenavgs.NTHU
    time = np.round(np.arange(0, 1000 * seconds, 1000 / 72)) / 1000

    def head_at(t):
        # Upright first, then as the tilted scene has it.
        head = angles(t)[0]
        upright = Rotation.from_euler("YXZ", head[:, [1, 0, 2]] * [-1, 1, 1])
        return TILT.inv() * upright

    eye = angles(time - age - site.eye_lag_s)[1]
    eye = 0.02 * eye if eyes == "glued" else eye
    scale = "XYZW"
    columns = [f"Quaternion{k}" for k in scale] + [f"GazeQ{k}" for k in scale]
    table = []
    logged = head_at(time)
    for view, vergence in ((0, -0.03), (1, 0.03)):
        if eyes == "identical":
            vergence = 0
        local = Rotation.from_euler(
            "YX", np.stack([-eye[:, 1] + vergence, eye[:, 0]], -1)
        )
        gaze = head_at(time - age) * local
        table.append(
            np.column_stack(
                [
                    np.full(len(time), view),
                    logged.as_quat(),
                    gaze.as_quat(),
                    1000 * time + 7 * view,
                ]
            )
        )
    path = scenes / "alameda" / f"user{user}_alameda.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["ViewIndex", *columns, site.time])
        writer.writerows(np.stack(table, 1).reshape(-1, 10).tolist())
    return path


@pytest.mark.parametrize("rutgers", [False, True])
def test_eyenavgs_known_angles_and_age(tmp_path, rutgers):
    write_eyenavgs(tmp_path / "clone", rutgers)
    (entry,) = eyenavgs.find(tmp_path)
    site = "eyenavgs_rutgers" if rutgers else "eyenavgs_nthu"
    assert entry.person == f"{site}:10"
    recording = eyenavgs.load(entry)
    assert recording.eye_lag_s == (0.025 if rutgers else 0.045)
    assert abs(recording.meta["head_retimed_s"] - 0.06) < 0.002
    # Row times of what was kept; its head is the one that the gaze was built on.
    first = np.round(np.arange(0, 300, 1000 / 72)) / 1000
    first = first[first >= recording.meta["head_retimed_s"]][0]
    truth = angles(recording.time + first - 0.06)[0]
    np.testing.assert_allclose(wrap(recording.head - truth), 0, atol=4e-3)
    (motion,) = sequences(recording)
    head, eye = angles(np.arange(len(motion)) / 30 + first - 0.06)
    eye = eye - np.deg2rad(motion.meta["eye_median_deg"])
    np.testing.assert_allclose(motion.gaze_in_head, eye, atol=8e-3)
    np.testing.assert_allclose(motion.head[:, 2], head[:, 2], atol=5e-3)


@pytest.mark.parametrize(
    ("eyes", "reason"), [("identical", "same pose"), ("glued", "glued")]
)
def test_eyenavgs_rejects_dead_eye_tracking(tmp_path, eyes, reason):
    write_eyenavgs(tmp_path, eyes=eyes)
    (entry,) = eyenavgs.find(tmp_path)
    with pytest.raises(Rejected, match=reason):
        eyenavgs.load(entry)
    with pytest.raises(GazeheadError, match=f"none of 1 eyenavgs.*{reason}"):
        list(recordings.motions("eyenavgs", [entry]))


def test_eyenavgs_rejects_a_scene_whose_vertical_is_unknown(tmp_path):
    path = write_eyenavgs(tmp_path)
    (tmp_path / "trian").mkdir()
    path.rename(tmp_path / "trian" / "user10_trian.csv")
    (entry,) = eyenavgs.find(tmp_path)
    with pytest.raises(Rejected, match="scene_setting for 'trian'"):
        eyenavgs.load(entry)


def test_eyenavgs_tells_what_it_expects(tmp_path):
    with pytest.raises(GazeheadError, match="scene_setting.csv"):
        eyenavgs.find(tmp_path)
    path = write_eyenavgs(tmp_path)
    (tmp_path / "scene_setting.csv").write_text("Scene_Name,Quaternion\nalameda,1\n")
    with pytest.raises(GazeheadError, match="four numbers"):
        eyenavgs.find(tmp_path)
    write_eyenavgs(tmp_path)
    path.write_text(path.read_text().replace("GazeQW", "GazeW"))
    with pytest.raises(GazeheadError, match="missing column.*GazeQW"):
        eyenavgs.load(*eyenavgs.find(tmp_path))


# --- SGaze ---------------------------------------------------------------------------


def write_sgaze(path, seconds=40.0, fold=None):
    time = np.arange(round(seconds * 100)) / 100
    head, eye = angles(time)
    velocity = np.rad2deg(np.gradient(head[:, [1, 0]], 0.01, axis=0))
    if fold is not None:
        lo, hi = fold
        velocity[lo - 20 : hi + 20, 0] = 70
        velocity[lo:hi, 1] = -70
        velocity[lo - 5 : lo, 1] = velocity[hi : hi + 5, 1] = 70
    table = np.zeros((len(time), 12))
    table[:, [1, 0]], table[:, 4:6] = np.rad2deg(eye), velocity
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gz":
        with gzip.open(path, "wt") as file:
            np.savetxt(file, table, "%.6f", delimiter="\t")
    else:
        np.savetxt(path, table, "%.6f", delimiter="\t")
    return head, eye


def test_sgaze_head_is_the_integral_of_its_velocity(tmp_path):
    head, eye = write_sgaze(tmp_path / "recording_05.txt.gz")
    (entry,) = sgaze.find(tmp_path)
    assert entry.person == "sgaze:05"
    motions = sequences(sgaze.load(entry))
    assert [len(m) for m in motions] == [1000] * 4
    for i, motion in enumerate(motions):
        truth = head[1000 * i : 1000 * (i + 1)]
        truth = (truth - truth.mean(0)) * [1, 1, 0]
        truth[:, 1] -= np.median(truth[:, 1])
        np.testing.assert_allclose(motion.head, truth, atol=3e-3)
        part = eye[1000 * i : 1000 * (i + 1)] - np.median(eye, axis=0)
        np.testing.assert_allclose(motion.gaze_in_head, part, atol=1e-4)


def test_sgaze_folded_velocity_cuts(tmp_path):
    write_sgaze(tmp_path / "recording_01.txt", fold=(1500, 1560))
    recording = sgaze.load(*sgaze.find(tmp_path))
    unknown = ~np.isfinite(recording.head).all(-1)
    assert unknown[1490:1570].sum() >= 70
    assert unknown.sum() <= 80
    motions = sequences(recording)
    for motion in motions:
        lo = round(motion.meta["start_s"] * 100)
        assert not unknown[lo : lo + len(motion)].any()
    assert sum(len(m) for m in motions) > 3800


def test_sgaze_numbers_recordings_by_their_date(tmp_path):
    stem = "GazeSalPosHeadVelAccMeanStd_SalPos_GazeVideoAligned_bandicam 2018-10-09 "
    data = tmp_path / "SGaze" / "Dataset" / "Data"
    for clock in ("14-10-38-093", "14-06-16-873"):
        write_sgaze(data / f"{stem}{clock}.txt", seconds=4)
    (data / "filelist.txt").write_text("names")
    entries = sgaze.find(tmp_path)
    assert [e.person for e in entries] == ["sgaze:01", "sgaze:02"]
    assert "14-06" in entries[0].paths[0].name
    np.savetxt(entries[0].paths[0], np.zeros((5, 3)))
    with pytest.raises(GazeheadError, match="12 columns, got 3"):
        sgaze.load(entries[0])
    with pytest.raises(GazeheadError, match="CraneHzm/SGaze"):
        sgaze.find(data)


# --- converted -----------------------------------------------------------------------


def write_converted(root, file="vr_objects/a.npz", person="ischtz:6", roll=0.0):
    time = np.arange(900) / 90
    head, eye = angles(time)
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        root / file,
        t=time.astype(np.float32),
        head=(head + [0, 0, roll]).astype(np.float32),
        eye_in_head=eye.astype(np.float32),
        valid=np.ones(900, bool),
        eye_lag_s=np.float32(0.087),
    )
    with (root / "manifest.csv").open("w", newline="") as manifest:
        writer = csv.writer(manifest)
        writer.writerow(["file", "person", "licence", "task"])
        writer.writerow([file, person, "MIT", "a task"])


def test_converted_is_read_as_the_raw_copy_names_it(tmp_path):
    write_converted(tmp_path, person="ischtz:7")
    (entry,) = converted.find(tmp_path)
    assert entry.person == "vr_objects:7"
    assert recordings.split_of(entry.person) == "test"
    motions = list(recordings.motions("converted", [entry], fps=50.0))
    assert {m.fps for m in motions} == {50.0}
    assert motions[0].meta["licence"] == "MIT"
    assert motions[0].meta["eye_lag_s"] == pytest.approx(0.087)


def test_converted_rejects_a_head_that_is_not_upright(tmp_path):
    write_converted(tmp_path, roll=np.deg2rad(26))
    with pytest.raises(Rejected, match="rolls by -26°"):
        converted.load(*converted.find(tmp_path))


def test_converted_tells_what_it_expects(tmp_path):
    with pytest.raises(GazeheadError, match="manifest.csv"):
        converted.find(tmp_path)
    (tmp_path / "manifest.csv").write_text("file,person\n")
    with pytest.raises(GazeheadError, match="missing column.*licence, task"):
        converted.find(tmp_path)
    (tmp_path / "manifest.csv").write_text("file,person,licence,task\n")
    with pytest.raises(GazeheadError, match="no row"):
        converted.find(tmp_path)
    write_converted(tmp_path, file="phone/a.npz")
    with pytest.raises(GazeheadError, match="one of vr_objects"):
        converted.find(tmp_path)
    write_converted(tmp_path)
    (entry,) = converted.find(tmp_path)
    np.savez(entry.paths[0], t=np.zeros(3))
    with pytest.raises(GazeheadError, match="missing head"):
        converted.load(entry)
    entry.paths[0].write_bytes(b"no zip")
    with pytest.raises(GazeheadError, match="not a readable .npz"):
        converted.load(entry)
    entry.paths[0].unlink()
    with pytest.raises(GazeheadError, match="not there"):
        converted.find(tmp_path)


# --- splits and the builder ----------------------------------------------------------


def test_every_source_has_people_in_every_split():
    people = {
        "vr_objects": range(6, 22),
        "eyenavgs_nthu": range(1, 25),
        "eyenavgs_rutgers": range(101, 123),
        "sgaze": (f"{i:02d}" for i in range(1, 13)),
    }
    for source, ids in people.items():
        names = [recordings.split_of(f"{source}:{i}") for i in ids]
        assert set(names) == set(recordings.SPLITS)
        assert names.count("train") >= len(names) / 2 - 1
    assert recordings.split_of("someone new") == "train"


def test_an_unknown_source_is_told():
    with pytest.raises(GazeheadError, match="source must be one of vr_objects"):
        recordings.find("vr", ".")


def test_the_builder_makes_what_the_reader_reads(tmp_path):
    copy = tmp_path / "copy"
    for person in ("6", "11", "7"):
        write_vr_objects(copy / "jov2023-vr-objects", person)
    data_dir = tmp_path / "data"
    name = "eyehead_recordings/vr_objects"
    builder = build.prepare(name, data_dir, manual_dir=copy)
    assert "MIT" in builder.info.description
    assert "schuetz" in builder.info.citation
    entries = {e.person: e for e in recordings.find("vr_objects", copy)}
    for split, person in (("train", "6"), ("validation", "11"), ("test", "7")):
        made = {m.source: m for m in build.open_split(name, split, data_dir)}
        read = list(recordings.motions("vr_objects", [entries[f"vr_objects:{person}"]]))
        assert len(made) == len(read) == 2
        for motion in read:
            other = made[motion.source]
            np.testing.assert_array_equal(other.gaze, motion.gaze)
            np.testing.assert_array_equal(other.head, motion.head)
            np.testing.assert_array_equal(other.valid, motion.valid)
            assert other.subject == motion.subject == f"vr_objects:{person}"
            assert other.meta == motion.meta
    slower = build.prepare(name, data_dir, manual_dir=copy, fps=25.0)
    place = slower.data_dir
    assert build.open_split(place, "train")[0].fps == 25.0


def test_the_builder_leaves_out_splits_without_people(tmp_path):
    write_converted(tmp_path / "copy", person="ischtz:6")
    builder = build.prepare(
        "eyehead_recordings/converted", tmp_path, manual_dir=tmp_path / "copy"
    )
    assert list(builder.info.splits) == ["train"]


def test_the_builder_writes_nothing_from_a_wrong_or_dead_copy(tmp_path):
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "readme").write_text("hello")
    for source in recordings.SOURCES:
        with pytest.raises(GazeheadError, match="expected"):
            build.prepare(
                f"eyehead_recordings/{source}",
                tmp_path / "data",
                manual_dir=tmp_path / "copy",
            )
    write_eyenavgs(tmp_path / "copy", eyes="glued")
    with pytest.raises(GazeheadError, match="glued"):
        build.prepare(
            "eyehead_recordings/eyenavgs",
            tmp_path / "data",
            manual_dir=tmp_path / "copy",
        )
    assert not list(tmp_path.glob("data/**/dataset_info.json"))


# --- real recordings -----------------------------------------------------------------


def slow_phases(motions):
    """Eye and head velocity, °/s, where the eye does not jump."""
    eye, head = [], []
    for m in motions:
        ok = m.valid[1:] & m.valid[:-1]
        eye.append(np.rad2deg(np.diff(m.gaze_in_head, axis=0))[ok] * m.fps)
        head.append(np.rad2deg(np.diff(m.head[:, :2], axis=0))[ok] * m.fps)
    eye, head = np.concatenate(eye), np.concatenate(head)
    slow = np.abs(eye).max(-1) < 60
    return eye[slow], head[slow]


@pytest.mark.parametrize(
    "source",
    [
        "vr_objects/kitchen_cube_10_S002",
        "eyenavgs_nthu/user10_alameda",
        "eyenavgs_rutgers/user101_alameda",
        "tobii_demo/demo_gzz7stc",
        "sgaze/recording_01",
    ],
)
def test_real_eyes_counter_roll_the_head(shared, source):
    """The vestibulo-ocular reflex fixes the relative signs of eye and head."""
    name, folder = ("converted", shared / "data" / "eyehead")
    if source.startswith("sgaze"):
        name, folder = "sgaze", shared / "data" / "sgaze"
    entries = [e for e in recordings.find(name, folder) if e.source == source]
    motions = list(recordings.motions(name, entries))
    eye, head = slow_phases(motions)
    for axis, least in ((0, 5), (1, 10)):
        moving = np.abs(head[:, axis]) > least
        assert np.corrcoef(eye[moving, axis], head[moving, axis])[0, 1] < -0.1
    gaze = np.concatenate([m.gaze[m.valid] for m in motions])
    heads = np.concatenate([m.head[m.valid] for m in motions])
    assert np.corrcoef(gaze[:, 1], heads[:, 1])[0, 1] > 0.5
    assert abs(np.rad2deg(np.median(heads[:, 2]))) < 8


def test_real_recordings_are_all_found_and_split(shared):
    entries = recordings.find("converted", shared / "data" / "eyehead")
    assert len(entries) == 374
    people = {e.person for e in entries}
    splits = [
        {p for p in people if recordings.split_of(p) == s} for s in recordings.SPLITS
    ]
    assert [len(s) for s in splits] == [36, 6, 6]
