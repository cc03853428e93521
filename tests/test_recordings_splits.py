"""Who is in which split of the recordings, the dataset made of them, and real ones."""

import numpy as np
import pytest
from recording_files import (
    write_converted,
    write_eyenavgs,
    write_vr_objects,
)

from gazehead_jax import build, recordings
from gazehead_jax.errors import GazeheadError

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
