"""Recordings that were converted before: axes, faults, and what is expected."""

import numpy as np
import pytest
from recording_files import RIGHT_EAR, write_converted

from gazehead_jax import recordings
from gazehead_jax.errors import GazeheadError
from gazehead_jax.motion import head_to_matrix
from gazehead_jax.recordings import converted
from gazehead_jax.recordings.recording import Rejected


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
