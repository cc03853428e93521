"""Files of other programs: known angles in each format's own numbers."""

from pathlib import Path

import numpy as np
import pytest
from format_files import (
    EULER,
    EYES,
    MATRIX,
    live_columns,
    mediapipe_columns,
    openface_columns,
    pyfeat_columns,
    write,
)

from gazehead_jax import cli, formats
from gazehead_jax.errors import GazeheadError
from gazehead_jax.formats import live_link, mediapipe_csv, openface, pyfeat, reading
from gazehead_jax.motion import gaze_in_head, head_to_matrix, matrix_to_head
from gazehead_jax.motion_io import load_motion

DEG = np.pi / 180


def turned(axis: str, angle: float) -> np.ndarray:
    """4 × 4 with a right-handed turn about x, y or z."""
    c, s = np.cos(angle), np.sin(angle)
    i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    out = np.eye(4)
    out[i, i] = out[j, j] = c
    out[i, j], out[j, i] = -s, s
    return out


def near(got, degrees, atol=0.01):
    np.testing.assert_allclose(
        np.rad2deg(got), np.tile(degrees, (len(got), 1)), atol=atol
    )


# --- OpenFace ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pose", "head"),
    [
        # A head turned 30° to its own right has pose_Ry = +0.5236.
        ({"pose_Ry": 0.5235988}, (0, 30, 0)),
        ({"pose_Ry": -0.5235988}, (0, -30, 0)),
        # Bowing is + in OpenFace, - here.
        ({"pose_Rx": 0.1745329}, (-10, 0, 0)),
        ({"pose_Rz": 0.3490659}, (0, 0, 20)),
    ],
)
def test_openface_head(tmp_path, pose, head):
    motion = formats.load(write(tmp_path / "o.csv", openface_columns(**pose)))
    near(motion.head, head)
    assert motion.fps == 25
    assert motion.valid.all()


def test_openface_turns_about_x_of_the_camera_last(tmp_path):
    # R = Rx(20°)·Ry(30°)·Rz(10°), multiplied out by hand with a calculator.
    pose = dict(zip(EULER, np.deg2rad([20, 30, 10]), strict=True))
    motion = formats.load(write(tmp_path / "o.csv", openface_columns(**pose)))
    expected = [
        [0.852869, -0.150384, 0.500000],
        [0.331583, 0.895713, -0.296198],
        [-0.403313, 0.418407, 0.813798],
    ]
    np.testing.assert_allclose(head_to_matrix(motion.head[0]), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("vector", "gaze"),
    [
        # Towards the image's left is -x there and + yaw here; down is +y there.
        ((-0.5, 0.0, -0.8660254), (0, 30)),
        ((0.5, 0.0, -0.8660254), (0, -30)),
        ((0.0, 0.1736482, -0.9848078), (-10, 0)),
    ],
)
def test_openface_gaze(tmp_path, vector, gaze):
    eyes = {
        f"gaze_{eye}_{a}": v for eye in "01" for a, v in zip("xyz", vector, strict=True)
    }
    near(formats.load(write(tmp_path / "o.csv", openface_columns(**eyes))).gaze, gaze)


def test_openface_gaze_is_the_mean_of_the_eyes(tmp_path):
    a, b = np.deg2rad(10), np.deg2rad(20)
    eyes = {"gaze_0_x": -np.sin(a), "gaze_0_z": -np.cos(a)}
    eyes |= {"gaze_1_x": -np.sin(b), "gaze_1_z": -np.cos(b)}
    near(
        formats.load(write(tmp_path / "o.csv", openface_columns(**eyes))).gaze, (0, 15)
    )


def test_openface_gaze_angles_alone(tmp_path):
    columns = openface_columns(gaze_angle_x=-0.3490659, gaze_angle_y=0.1745329)
    for name in (*EYES, *EULER):
        del columns[name]
    motion = formats.load(write(tmp_path / "o.csv", columns))
    assert motion.head is None
    # tan of each, then pitch over the longer way: atan(tan 10° · cos 20°) = 9.41°.
    near(motion.gaze, (-9.4108, 20))


def test_openface_lost_and_unsure_frames_are_invalid(tmp_path):
    columns = openface_columns(
        5, success=[1, 0, 1, 1, 1], confidence=[0.9, 0.9, 0.2, 0.9, 0.9]
    )
    columns["gaze_0_z"] = [-1.0, 0.0, -1.0, "-nan(ind)", -1.0]
    motion = formats.load(write(tmp_path / "o.csv", columns))
    assert motion.valid.tolist() == [True, False, False, False, True]


def test_openface_frames_left_out_are_invalid(tmp_path):
    columns = openface_columns(6, fps=30.0)
    kept = [0, 1, 3, 4, 5]
    columns = {k: np.asarray(v)[kept] if np.ndim(v) else v for k, v in columns.items()}
    columns["pose_Ry"] = [0.0, 0.1, 0.3, 0.4, 0.5]
    motion = formats.load(write(tmp_path / "o.csv", columns))
    assert motion.fps == 30
    assert motion.valid.tolist() == [True, True, False, True, True, True]
    np.testing.assert_allclose(motion.head[motion.valid, 1], [0, 0.1, 0.3, 0.4, 0.5])


@pytest.mark.parametrize("comma", [",", ", "])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
def test_ways_of_writing_csv(tmp_path, comma, end, encoding):
    columns = openface_columns(pose_Ry=0.1, note="Zoë")
    path = write(tmp_path / "o.csv", columns, comma=comma, end=end, encoding=encoding)
    np.testing.assert_allclose(formats.load(path).head[:, 1], 0.1, rtol=1e-6)


def test_one_of_several_faces_is_chosen(tmp_path):
    columns = openface_columns(3)
    both = {k: np.repeat(v, 2) if np.ndim(v) else v for k, v in columns.items()}
    both |= {"face_id": [0, 1] * 3, "pose_Ry": [0.1, 0.2] * 3}
    path = write(tmp_path / "o.csv", both)
    with pytest.raises(GazeheadError, match=r"face_id has 2: 0 \(3 rows\), 1 .*--face"):
        formats.load(path)
    np.testing.assert_allclose(formats.load(path, face="1").head[:, 1], 0.2, rtol=1e-6)
    with pytest.raises(GazeheadError, match="no face '7'"):
        formats.load(path, face="7")


# --- py-feat -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pose", "head"),
    [
        # py-feat: + up, + turn to the subject's right, + tilt to the subject's right.
        ({"Yaw": 30 * DEG}, (0, 30, 0)),
        ({"Pitch": 10 * DEG}, (10, 0, 0)),
        ({"Roll": 20 * DEG}, (0, 0, -20)),
    ],
)
def test_pyfeat_detector_head(tmp_path, pose, head):
    path = write(tmp_path / "p.csv", pyfeat_columns(**pose))
    motion = formats.load(path, fps=25)
    near(motion.head, head)
    assert motion.fps == 25


def test_pyfeat_detector_rotation_order():
    # Rz(-roll)·Ry(yaw)·Rx(-pitch): first the nod, about the camera's x.
    pitch, roll, yaw = np.deg2rad([10.0, 20.0, 30.0])
    expected = (turned("z", -roll) @ turned("y", yaw) @ turned("x", -pitch))[:3, :3]
    got = pyfeat.detector_head(np.array([[pitch, roll, yaw]]))
    np.testing.assert_allclose(head_to_matrix(got[0]), expected, atol=1e-9)


@pytest.mark.parametrize(
    ("pose", "head"),
    [
        # Axes y up, z towards the viewer: + about x is a bow, + about y the subject's
        # left, + about z a tilt to the subject's right; the names say otherwise.
        ({"Pitch": 10 * DEG}, (-10, 0, 0)),
        ({"Roll": 30 * DEG}, (0, -30, 0)),
        ({"Yaw": 20 * DEG}, (0, 0, -20)),
    ],
)
def test_pyfeat_mpdetector_head(tmp_path, pose, head):
    columns = pyfeat_columns(**pose) | {"x_0": 1.0, "y_0": 2.0, "z_0": 3.0}
    near(formats.load(write(tmp_path / "p.csv", columns), fps=25).head, head)


def test_pyfeat_gaze_frames(tmp_path):
    path = write(
        tmp_path / "p.csv", pyfeat_columns(gaze_yaw=0.2, gaze_pitch=0.1, Yaw=0.3)
    )
    camera = formats.load(path, fps=25)
    np.testing.assert_allclose(camera.gaze[0], [0.1, 0.2], rtol=1e-5)
    assert "--gaze-frame head" in camera.meta["notes"][0]
    head = formats.load(path, fps=25, gaze_frame="head")
    np.testing.assert_allclose(
        gaze_in_head(head.gaze, head.head)[0], [0.1, 0.2], rtol=1e-5
    )
    assert head.gaze[0, 1] == pytest.approx(0.5, abs=1e-5)


def test_pyfeat_empty_frames_rate_and_units(tmp_path):
    columns = pyfeat_columns(
        6, gaze_yaw=[10, "", 10, 10, 10, 10], FaceScore=[0.9, 0, 0.9, 0.9, 0, 0.9]
    )
    path = write(tmp_path / "p.csv", columns)
    with pytest.raises(GazeheadError, match="--source-fps"):
        formats.load(path)
    motion = formats.load(path, fps=30, units="degrees")
    assert motion.valid.tolist() == [True, False, True, True, False, True]
    np.testing.assert_allclose(motion.gaze[motion.valid, 1], 10 * DEG, rtol=1e-5)
    # Every fifth frame of a 30 fps video.
    path = write(tmp_path / "q.csv", pyfeat_columns(frame=[0, 5, 10, 15]))
    assert formats.load(path, fps=30).fps == 6


# --- MediaPipe ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("matrix", "head"),
    [
        # y up, z to the viewer: + about y turns the nose (z) to the image's right.
        (turned("y", -30 * DEG), (0, 30, 0)),
        (turned("x", -10 * DEG), (10, 0, 0)),
        (turned("z", -20 * DEG), (0, 0, 20)),
    ],
)
@pytest.mark.parametrize("scale", [1.0, 1.3])
def test_mediapipe_head(tmp_path, matrix, head, scale):
    matrix = matrix.copy()
    matrix[:3, :3] *= scale
    matrix[:3, 3] = 1.0, -2.0, -40.0
    motion = formats.load(write(tmp_path / "m.csv", mediapipe_columns(matrix=matrix)))
    near(motion.head, head)
    assert motion.fps == 25


def test_mediapipe_matrix_column_by_column_and_by_number(tmp_path):
    matrix = turned("y", -30 * DEG)
    matrix[:3, 3] = 1.0, -2.0, -40.0
    columns = mediapipe_columns(matrix=matrix.T)
    named = {f"transform_{i}": columns.pop(name) for i, name in enumerate(MATRIX)}
    motion = formats.load(write(tmp_path / "m.csv", columns | named))
    near(motion.head, (0, 30, 0))


def test_mediapipe_gaze_is_turned_with_the_head(tmp_path):
    # Eyes to the subject's right: left eye in, right eye out.
    looks = {"eyeLookInLeft": 0.5, "eyeLookOutRight": 0.5}
    looks |= {"eyeLookUpLeft": 0.2, "eyeLookUpRight": 0.2}
    columns = mediapipe_columns(matrix=turned("y", -30 * DEG), **looks)
    motion = formats.load(write(tmp_path / "m.csv", columns))
    eye = gaze_in_head(motion.gaze, motion.head)
    np.testing.assert_allclose(
        eye, np.tile([0.2 * 0.55, 0.5 * 0.60], (4, 1)), rtol=1e-4
    )
    assert motion.gaze[0, 1] > motion.head[0, 1]


def test_the_head_is_repaired_before_the_eyes_are_turned_with_it(tmp_path):
    columns = mediapipe_columns(matrix=turned("y", 30 * DEG), eyeLookInLeft=0.5)
    path = write(tmp_path / "m.csv", columns)
    motion = formats.load(path, negate=["head_yaw"])
    near(motion.head, (0, 30, 0))
    np.testing.assert_allclose(motion.gaze[0], [0, 30 * DEG + 0.15], atol=1e-5)
    swapped = formats.load(path, swap=["head", "gaze"])
    near(swapped.head, (-30, 0, 0))
    np.testing.assert_allclose(swapped.gaze[0], [-30 * DEG + 0.15, 0], atol=1e-5)


def test_mediapipe_names_blinks_and_gaps(tmp_path):
    columns = mediapipe_columns(5)
    columns = {f"bs_{k}" if k.startswith("eye") else k: v for k, v in columns.items()}
    columns["bs_eyeBlinkLeft"] = columns["bs_eyeBlinkRight"] = [0, 0.9, 0, 0, 0]
    columns["m00"] = [1, 1, "", 1, 1]
    motion = formats.load(write(tmp_path / "m.csv", columns))
    assert motion.valid.tolist() == [True, False, False, True, True]


@pytest.mark.parametrize(
    ("name", "values", "fps"),
    [
        ("timestamp", [0, 33, 67, 100], 30),
        ("timestamp", [0, 0.04, 0.08, 0.12], 25),
        ("time_s", [0, 0.5, 1, 1.5], 2),
    ],
)
def test_mediapipe_times(tmp_path, name, values, fps):
    columns = mediapipe_columns()
    del columns["timestamp_ms"]
    motion = formats.load(write(tmp_path / "m.csv", columns | {name: values}))
    assert motion.fps == pytest.approx(fps, rel=0.01)


def test_mediapipe_without_head_or_gaze(tmp_path):
    columns = mediapipe_columns()
    looks = {k: v for k, v in columns.items() if not k.startswith("m")}
    with pytest.raises(GazeheadError, match="facial_transformation_matrixes"):
        formats.load(write(tmp_path / "m.csv", looks))
    matrix = {k: v for k, v in columns.items() if not k.startswith("eye")}
    with pytest.raises(GazeheadError, match="output_face_blendshapes"):
        formats.load(write(tmp_path / "m.csv", matrix))


@pytest.mark.parametrize("entry", ["m00", "m33"])
def test_mediapipe_matrix_must_be_a_rotation(tmp_path, entry):
    path = write(tmp_path / "m.csv", mediapipe_columns() | {entry: 0.1})
    with pytest.raises(GazeheadError, match="4 × 4 matrix must"):
        formats.load(path)


# --- Live Link Face ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("numbers", "head", "eye"),
    [
        ({"HeadYaw": 30 * DEG}, (0, 30, 0), (0, 0)),
        ({"HeadYaw": 0, "HeadPitch": 10 * DEG}, (-10, 0, 0), (0, 0)),
        ({"HeadYaw": 0, "HeadRoll": 20 * DEG}, (0, 0, 20), (0, 0)),
        (
            {"HeadYaw": 0.3, "LeftEyeYaw": 0.2, "RightEyeYaw": 0.1},
            None,
            (0, 0.15 / DEG),
        ),
        (
            {"HeadYaw": 0.3, "LeftEyePitch": 0.2, "RightEyePitch": 0.2},
            None,
            (-0.2 / DEG, 0),
        ),
    ],
)
def test_live_link_signs(tmp_path, numbers, head, eye):
    path = write(tmp_path / "l.csv", live_columns(**numbers))
    motion = formats.load(path, units="radians")
    if head:
        near(motion.head, head)
    near(gaze_in_head(motion.gaze, motion.head), eye)


def moving_eyes(unit: float, frames=60) -> dict:
    """Eyes that swing ±.3 rad, with shapes as the app writes them, in a unit."""
    yaw = 0.3 * np.sin(np.arange(frames) / 5)
    right, left = np.maximum(yaw, 0) / 0.6, np.maximum(-yaw, 0) / 0.6
    return live_columns(
        frames,
        EyeLookInLeft=right,
        EyeLookOutRight=right,
        EyeLookOutLeft=left,
        EyeLookInRight=left,
        LeftEyeYaw=yaw / unit,
        RightEyeYaw=yaw / unit,
        HeadYaw=0.2 / unit,
    )


@pytest.mark.parametrize("units", list(reading.UNITS))
def test_live_link_unit_is_read_off_the_eyes(tmp_path, units):
    path = write(tmp_path / "l.csv", moving_eyes(reading.UNITS[units]))
    motion = formats.load(path)
    assert motion.meta["units"] == units
    assert any(units in note for note in motion.meta["notes"])
    np.testing.assert_allclose(motion.head[:, 1], 0.2, rtol=1e-4)
    assert motion.fps == 30
    other = formats.load(path, units="degrees")
    assert other.meta["units"] == "degrees"
    assert not other.meta["notes"]


def test_live_link_says_when_eyes_run_backwards(tmp_path):
    path = write(tmp_path / "l.csv", moving_eyes(-1.0))
    assert any("--negate" in note for note in formats.load(path).meta["notes"])


def test_live_link_units_without_moving_eyes(tmp_path):
    path = write(tmp_path / "l.csv", live_columns(HeadYaw=20.0))
    assert formats.load(path).meta["units"] == "degrees"
    assert formats.load(write(path, live_columns())).meta["units"] == "radians"


def test_live_link_eyes_from_shapes_and_lost_rows(tmp_path):
    columns = live_columns(6, EyeLookInLeft=0.4, EyeLookOutRight=0.4)
    lines = write(tmp_path / "l.csv", columns).read_text().splitlines()
    lines[3] = ",".join(lines[3].split(",")[:1] + ["0"])
    blink = lines[5].split(",")
    blink[2] = blink[3] = "0.8"
    lines[5] = ",".join(blink)
    path = tmp_path / "l.csv"
    path.write_text("\n".join(lines))
    motion = formats.load(path)
    assert motion.valid.tolist() == [True, True, False, True, False, True]
    np.testing.assert_allclose(motion.gaze_in_head[0], [0, 0.24], atol=1e-5)


def test_live_link_timecodes():
    app = ["13:13:04:31.652", "13:13:04:33.651", "13:13:04:35.651"]
    seconds, note = live_link._seconds(Path("f"), app)
    np.testing.assert_allclose(np.diff(seconds), 1 / 30, atol=1e-4)
    assert note is None
    thirty = [f"00:00:{i // 30:02d}:{i % 30:02d}" for i in range(200)]
    seconds, note = live_link._seconds(Path("f"), thirty)
    np.testing.assert_allclose(np.diff(seconds), 1 / 30, atol=1e-9)
    assert "30 frames" in note
    night = ["23:59:59:58", "23:59:59:59", "00:00:00:00"]
    np.testing.assert_allclose(np.diff(live_link._seconds(Path("f"), night)[0]), 1 / 60)


def test_live_link_without_head_or_eyes(tmp_path):
    path = tmp_path / "l.csv"
    with pytest.raises(GazeheadError, match="switched off in the app"):
        formats.load(write(path, live_columns(HeadYaw=0.0)))
    columns = live_columns()
    with pytest.raises(GazeheadError, match="no HeadYaw"):
        formats.load(write(path, {k: v for k, v in columns.items() if "Head" not in k}))
    with pytest.raises(GazeheadError, match="neither eye rotations"):
        formats.load(write(path, {k: v for k, v in columns.items() if "Eye" not in k}))
    with pytest.raises(GazeheadError, match=r"Timecode is hh:mm:ss:frame, got '1'"):
        formats.load(write(path, live_columns() | {"Timecode": [1, 2, 3, 4]}), fps=None)
    motion = formats.load(
        write(path, live_columns() | {"Timecode": [1, 2, 3, 4]}), fps=60
    )
    assert motion.fps == 60


# --- rotations, against matrices multiplied out ---------------------------------------


def test_matrix_head_takes_any_rotation():
    rng = np.random.default_rng(0)
    head = rng.uniform(-1, 1, (50, 3))
    flip = np.diag([1.0, -1, -1])
    matrix = np.tile(np.eye(4), (50, 1, 1))
    matrix[:, :3, :3] = flip @ head_to_matrix(head) @ flip
    np.testing.assert_allclose(
        mediapipe_csv.matrix_head(Path("f"), matrix), head, atol=1e-9
    )
    angles = rng.uniform(-1, 1, (50, 3))
    for i, (x, y, z) in enumerate(angles):
        expected = (turned("x", x) @ turned("y", y) @ turned("z", z))[:3, :3]
        got = openface.euler_to_matrix(angles)[i]
        np.testing.assert_allclose(got, expected, atol=1e-12)
        np.testing.assert_allclose(
            head_to_matrix(matrix_to_head(got)), expected, atol=1e-12
        )


# --- our own .csv with times that are not even ---------------------------------------


def test_a_native_csv_of_a_varying_camera_is_brought_to_one_rate(tmp_path, capsys):
    rng = np.random.default_rng(0)
    time = np.arange(90) / 30 + rng.uniform(-0.012, 0.012, 90)
    time = np.delete(time, slice(40, 60))  # and a gap
    yaw = 20 * np.sin(2 * time)
    lines = [f"{t:.4f},1,{y:.4f}" for t, y in zip(time, yaw, strict=True)]
    path, out = tmp_path / "camera.csv", tmp_path / "even.csv"
    path.write_text("time_s,gaze_pitch_deg,gaze_yaw_deg\n" + "\n".join(lines))
    with pytest.raises(GazeheadError, match="`gazehead convert .*camera.csv NEW.csv`"):
        load_motion(path)
    assert cli.main(["convert", str(path), str(out)]) == 0
    assert "not even" in capsys.readouterr().err
    made = load_motion(out)
    assert 28 < made.fps < 32
    known = made.valid
    assert not known.all()
    assert known.mean() > 0.6
    when = np.arange(len(made)) / made.fps + time[0]
    expected = 20 * np.sin(2 * when[known])
    np.testing.assert_allclose(np.rad2deg(made.gaze[known, 1]), expected, atol=0.4)
    named = formats.load(path, fps=25)
    assert (named.fps, len(named)) == (25, 70)
