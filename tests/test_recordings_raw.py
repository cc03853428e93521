"""Raw recordings of each source: known angles, their faults, and what is expected."""

import numpy as np
import pytest
from recording_files import angles, write_eyenavgs, write_sgaze, write_vr_objects

from gazehead_jax import recordings
from gazehead_jax.errors import GazeheadError
from gazehead_jax.motion import wrap
from gazehead_jax.recordings import eyenavgs, sgaze, vr_objects
from gazehead_jax.recordings.recording import Rejected, sequences

# --- vr_objects ----------------------------------------------------------------------


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
