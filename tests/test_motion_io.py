"""Motion files: round trips, and one clear sentence for each bad one."""

import errno

import numpy as np
import pytest

from gazehead_jax.errors import GazeheadError
from gazehead_jax.motion import Motion
from gazehead_jax.motion_io import CSV_COLUMNS, load_motion, save_motion

HEADER = ",".join(CSV_COLUMNS)
GAZE_ONLY = "time_s,gaze_pitch_deg,gaze_yaw_deg"


def make(head=True) -> Motion:
    rng = np.random.default_rng(0)
    return Motion(
        gaze=rng.uniform(-0.5, 0.5, (40, 2)),
        head=rng.uniform(-0.5, 0.5, (40, 3)) if head else None,
        fps=25,
        valid=np.arange(40) % 7 != 0,
        source="clip",
        subject="someone",
        meta={"licence": "MIT"},
    )


@pytest.mark.parametrize("head", [True, False])
def test_npz_keeps_everything(tmp_path, head):
    motion = make(head)
    loaded = load_motion(save_motion(tmp_path / "new" / "m.npz", motion))
    np.testing.assert_array_equal(loaded.gaze, motion.gaze)
    np.testing.assert_array_equal(loaded.valid, motion.valid)
    if head:
        np.testing.assert_array_equal(loaded.head, motion.head)
    else:
        assert loaded.head is None
    assert (loaded.fps, loaded.subject, loaded.source) == (25.0, "someone", "clip")
    assert loaded.meta == {"licence": "MIT"}


@pytest.mark.parametrize("head", [True, False])
def test_csv_keeps_the_numbers_in_degrees(tmp_path, head):
    motion = make(head)
    path = save_motion(tmp_path / "m.csv", motion)
    first = path.read_text().splitlines()
    assert first[0] == (HEADER if head else GAZE_ONLY + ",valid")
    assert float(first[2].split(",")[1]) == pytest.approx(
        np.rad2deg(motion.gaze[1, 0]), abs=1e-4
    )
    loaded, known = load_motion(path), motion.valid
    np.testing.assert_allclose(loaded.gaze[known], motion.gaze[known], atol=1e-6)
    np.testing.assert_array_equal(loaded.valid, known)
    assert loaded.fps == 25.0
    # A gaze that must not be used is no number, which would look somewhere.
    assert first[1].split(",")[1:3] == ["", ""]
    if head:
        np.testing.assert_allclose(loaded.head, motion.head, atol=1e-6)


def test_csv_without_valid_takes_empty_cells_as_invalid(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text(f"{GAZE_ONLY}\n0.0,1,2\n0.04,,\n0.08,nan,3\n0.12,1,2\n")
    assert load_motion(path).valid.tolist() == [True, False, False, True]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "0 bytes"),
        ("\n\n", "expected a header"),
        (HEADER, "no row"),
        ("a,b\n1,2\n", "missing column"),
        ("time_s,gaze_yaw_deg\n0,1\n", "missing column"),
        (GAZE_ONLY + ",head_yaw_deg\n0,1,1,1\n", "missing column"),
        (GAZE_ONLY + ",time_s\n0,1,1,1\n", "must differ"),
        (GAZE_ONLY + "\n0,1\n", "must have 3 cells"),
        (GAZE_ONLY + "\n0,1,left\n", "must be a number"),
        (GAZE_ONLY + "\n0,1,2\n", "got one frame"),
        (GAZE_ONLY + "\n0,1,2\n0,1,2\n", "increasing"),
        (GAZE_ONLY + "\n0,1,2\n0.04,1,2\n0.08,1,2\n0.28,1,2\n", "mixed fps"),
        (
            GAZE_ONLY + "\n0,1,200\n0.04,1,2\n",
            "gaze_yaw_deg .* ±180°, got 200 in line 2",
        ),
        (
            GAZE_ONLY + "\n0,1,2\n0.04,-91,2\n",
            "gaze_pitch_deg .* ±90°, got -91 in line 3",
        ),
        (GAZE_ONLY + ",valid\n0,nan,2,1\n0.04,1,2,1\n", "must be finite where valid"),
    ],
)
def test_bad_csv_is_told_in_one_sentence(tmp_path, text, says):
    path = tmp_path / "m.csv"
    path.write_text(text)
    with pytest.raises(GazeheadError, match=says) as caught:
        load_motion(path)
    assert str(path) in str(caught.value) or "m" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"fps": None}, "missing: fps"),
        ({"units": "degrees"}, "units must be 'radians'"),
        ({"convention": "opengl"}, "convention must be"),
        ({"schema_version": 99}, "schema_version must be"),
        ({"gaze": np.full((4, 2), 30.0)}, "looks like degrees"),
    ],
)
def test_bad_npz_is_told_in_one_sentence(tmp_path, changes, says):
    path = save_motion(tmp_path / "m.npz", make(head=False)[:4])
    with np.load(path) as file:
        fields = dict(file) | changes
    np.savez(path, **{k: v for k, v in fields.items() if v is not None})
    with pytest.raises(GazeheadError, match=says):
        load_motion(path)


def test_not_npz_and_pickles_are_refused(tmp_path):
    path = tmp_path / "m.npz"
    path.write_bytes(b"not a zip file")
    with pytest.raises(GazeheadError, match="not a readable"):
        load_motion(path)
    np.savez(path, gaze=np.array([{"a": 1}], object))
    with pytest.raises(GazeheadError, match="not a readable"):
        load_motion(path)


@pytest.mark.parametrize("damage", ["npy", "deflate", "meta", "text", "list"])
def test_damaged_npz_is_told_in_one_sentence(tmp_path, damage):
    path = save_motion(tmp_path / "m.npz", make(head=False))
    with np.load(path) as file:
        fields = dict(file)
    if damage == "npy":
        np.save(tmp_path / "m.npy", fields["gaze"])
        (tmp_path / "m.npy").rename(path)
    elif damage == "deflate":
        raw = bytearray(path.read_bytes())
        raw[60:160] = bytes(100)
        path.write_bytes(raw)
    else:
        wrong = {
            "meta": ("meta", "{not json"),
            "text": ("gaze", "left"),
            "list": ("fps", np.ones(3)),
        }
        name, value = wrong[damage]
        np.savez(path, **(fields | {name: value}))
    with pytest.raises(GazeheadError, match=r"not a readable|wrong kind|must be"):
        load_motion(path)


def test_missing_file_and_foreign_suffix(tmp_path):
    with pytest.raises(GazeheadError, match="no such file"):
        load_motion(tmp_path / "none.npz")
    with pytest.raises(GazeheadError, match="ends in"):
        save_motion(tmp_path / "m.txt", make())


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = save_motion(tmp_path / "m.npz", make())
    before = path.read_bytes()

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(GazeheadError, match="disk is full"):
        save_motion(path, make(head=False))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["m.npz"]
