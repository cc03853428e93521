"""What all formats share: times, which format a file has, and bad files."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from format_files import (
    live_columns,
    mediapipe_columns,
    openface_columns,
    pyfeat_columns,
    write,
)

from gazehead_jax import formats
from gazehead_jax.errors import GazeheadError
from gazehead_jax.formats import openface, pyfeat, reading
from gazehead_jax.formats.table import Table
from gazehead_jax.motion import Motion
from gazehead_jax.motion_io import save_motion

# --- times -------------------------------------------------------------------------


def uniform(time_s, values=None, valid=None):
    time_s = np.asarray(time_s, float)
    values = time_s if values is None else np.asarray(values, float)
    valid = np.ones(len(time_s), bool) if valid is None else np.asarray(valid)
    return reading.uniform(Path("f.csv"), time_s, values[:, None], valid)


def test_rounded_times_keep_the_numbers_over_an_hour():
    frames = np.delete(np.arange(30 * 3600), [5, 6, 50_000])
    fps, values, valid = uniform(np.round(frames / 30, 3), frames)
    assert fps == 30
    assert (~valid).nonzero()[0].tolist() == [5, 6, 50_000]
    np.testing.assert_array_equal(values[valid, 0], frames)


def test_29_97_is_not_30():
    assert uniform(np.round(np.arange(1000) / 29.97, 3))[0] == pytest.approx(
        29.97, abs=1e-3
    )


def test_varying_rate_is_interpolated_but_not_over_gaps():
    time = np.array([0, 0.1, 0.2, 0.245, 0.34, 0.45, 0.55, 0.95, 1.06, 1.15])
    fps, values, valid = uniform(time)
    grid = np.arange(len(values)) / fps
    assert fps == pytest.approx(10, rel=0.01)
    np.testing.assert_allclose(values[:, 0], grid, atol=1e-9)
    assert not valid[(grid > 0.56) & (grid < 0.94)].any()
    assert valid[grid < 0.54].all()
    _, values, _ = uniform([0, 0.1, 0.2, 0.26, 0.4], [3.0, 3.1, -3.08, -3.02, -2.88])
    # Past 180° the short way round: .3 s lies 4/14 of the way.
    assert values[3, 0] == pytest.approx(-2.98, abs=0.01)


@pytest.mark.parametrize(
    ("time", "says"),
    [
        ([0.0], "at least two rows"),
        ([0, 0.04, 0.04, 0.08], "rows 2 and 3"),
        ([0, 0.04, 0.02], "increase"),
        ([0, np.nan, 0.08], "increase"),
        ([0, 0.04, 0.08, 86400], "times jump"),
    ],
)
def test_bad_times(time, says):
    with pytest.raises(GazeheadError, match=says):
        uniform(time)


# --- which format, and bad files ---------------------------------------------------


def test_formats_are_told_from_their_headers(tmp_path):
    made = {
        "openface": openface_columns(),
        "pyfeat": pyfeat_columns(),
        "mediapipe": mediapipe_columns(),
        "livelink": live_columns(),
    }
    assert {*made, "gazehead"} == set(formats.FORMATS)
    for name, columns in made.items():
        path = write(tmp_path / f"{name}.csv", columns)
        assert formats.load(path, fps=25).meta["format"] == name
        assert formats.load(path, name, fps=25).source == name


@pytest.mark.parametrize("suffix", [".npz", ".csv"])
def test_own_files_too(tmp_path, suffix):
    gaze = np.linspace(-0.5, 0.5, 20).reshape(10, 2)
    path = save_motion(tmp_path / f"m{suffix}", Motion(gaze=gaze, head=None, fps=25))
    motion = formats.load(path)
    np.testing.assert_allclose(motion.gaze, gaze, atol=1e-6)
    assert formats.load(path, fps=50).fps == 50
    # Radians that stood in columns of degrees.
    scale = 180 / np.pi if suffix == ".csv" else 1
    small = save_motion(path, motion.replace(gaze=gaze / scale))
    np.testing.assert_allclose(
        formats.load(small, units="radians").gaze, gaze, atol=1e-5
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", r"empty \(0 bytes\)"),
        (b"\n\r\n", "expected a header"),
        (b"a,b\n1,2\n", "no known format.*OpenFace 2.*got a, b"),
        (b"a;b\n1;2\n", "columns are divided by ;"),
        (b"\xff\xfea\0,\0", "UTF-16"),
        (b"PK\3\4\0\0\0", "not a text file"),
        (b"gaze_angle_x,gaze_angle_y\n", "no row"),
        (b"gaze_angle_x,gaze_angle_y,x,x\n1,2,3,4\n", "got twice: x"),
        (b"gaze_angle_x,gaze_angle_y\n0,0\n0\n", "line 3 must have 2 cells.*got 1"),
        (
            b"gaze_angle_x,gaze_angle_y\n0,0\n0,left\n",
            "line 3, column gaze_angle_y.*'left'",
        ),
        (b"pose_Rx,pose_Ry,pose_Rz\n0,0,0\n", "without gaze"),
        (b"FaceRectX,Pitch,Roll,Yaw\n0,0,0,0\n", "without gaze_pitch"),
        (b"gaze_angle_x,gaze_angle_y,success\n0,0,0\n0,0,0\n", "none of its 2 rows"),
        (b"gaze_angle_x,gaze_angle_y,timestamp\n9,0,0\n100,0,1\n", None),
    ],
)
def test_bad_files(tmp_path, text, says):
    path = tmp_path / "bad.csv"
    path.write_bytes(text)
    if says is None:
        # tan wraps: any number is some angle, so nothing is refused here.
        formats.load(path)
        return
    with pytest.raises(GazeheadError, match=says):
        formats.load(path, fps=25)


def test_missing_file_wrong_format_and_options(tmp_path):
    with pytest.raises(GazeheadError, match="no such file"):
        formats.load(tmp_path / "none.csv")
    path = write(tmp_path / "o.csv", openface_columns())
    with pytest.raises(GazeheadError, match="Live Link Face has the columns"):
        formats.load(path, "livelink")
    with pytest.raises(GazeheadError, match="format must be one of"):
        formats.load(path, "openpose")
    with pytest.raises(GazeheadError, match="units must be one of"):
        formats.load(path, units="gon")
    with pytest.raises(GazeheadError, match="gaze_frame takes camera, head"):
        formats.load(path, gaze_frame="screen")
    with pytest.raises(GazeheadError, match="leave --face out"):
        formats.load(write(tmp_path / "l.csv", live_columns()), face="0")
    with pytest.raises(GazeheadError, match="must be positive"):
        formats.load(path, fps=-1)
    with pytest.raises(GazeheadError, match="looks like degrees"):
        formats.load(write(path, pyfeat_columns(gaze_yaw=20.0)), fps=25)
    gaze_only = {k: v for k, v in pyfeat_columns().items() if k not in pyfeat._POSE}
    with pytest.raises(
        GazeheadError, match="relative to the head, and the file has no head"
    ):
        formats.load(write(path, gaze_only), fps=25, gaze_frame="head")


def test_large_files_take_little_memory(tmp_path):
    path = tmp_path / "wide.csv"
    extra = ",".join(f"c{i}" for i in range(300))
    row = "0.01,0.02," + ",".join(["0.123456"] * 300) + "\n"
    with path.open("w") as file:
        file.write(f"gaze_angle_x,gaze_angle_y,{extra}\n")
        for _ in range(5000):
            file.write(row)
    assert path.stat().st_size > 13e6
    tracemalloc.start()
    numbers, _ = Table(path).read(openface._ANGLES)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert numbers.shape == (5000, 2)
    assert peak < 2e6
