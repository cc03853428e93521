"""The eye_tracker config of gazehead_sample (the faces are in test_sample_dataset)."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from gazehead_jax import coordination, recordings
from gazehead_jax.build import describe, load_split, make_builder, prepare
from gazehead_jax.datasets.gazehead_sample import regenerate_eye_tracker as regenerate
from gazehead_jax.datasets.gazehead_sample.eye_tracker import (
    DATA,
    SPLITS,
    UNIT,
    motions,
    read_manifest,
    to_units,
)
from gazehead_jax.datasets.gazehead_sample.regenerate_eye_tracker import (
    candidate,
    fits,
    main,
    manifest_row,
    person_motions,
    select,
)
from gazehead_jax.errors import GazeheadError
from gazehead_jax.motion import Motion

MOTIONS = {split: list(motions(split)) for split in SPLITS}
ALL = [motion for found in MOTIONS.values() for motion in found]


def seconds(found):
    return sum(motion.duration_s for motion in found)


def sequence(amplitude_deg=20.0, length_s=12, fps=60, **changes):
    """A head that turns to and fro, with the eyes ahead of it."""
    t = np.arange(round(length_s * fps)) / fps
    yaw = np.deg2rad(amplitude_deg) * np.sin(t)
    zero = 0 * t
    values = {
        "gaze": np.stack([zero, 1.2 * yaw], -1),
        "head": np.stack([zero - 0.1, yaw, zero], -1),
        "fps": fps,
        "subject": "vr_objects:6",
        "source": "vr_objects/office_cube/6/S003/004",
        "meta": {"start_s": 10.0},
    }
    return Motion(**values | changes)


# --- what is shipped -----------------------------------------------------------------


def test_splits_are_those_of_the_recordings_and_large_enough():
    for split, found in MOTIONS.items():
        assert {recordings.split_of(m.subject) for m in found} == {split}
        for person in {m.subject for m in found}:
            own = seconds(m for m in found if m.subject == person)
            assert 50 < own <= regenerate.SECONDS_PER_PERSON[split]
    people = {s: {m.subject for m in found} for s, found in MOTIONS.items()}
    assert {s: len(p) for s, p in people.items()} == {
        "train": 8,
        "validation": 2,
        "test": 2,
    }
    assert set.union(*people.values()) == set(regenerate.PEOPLE)
    assert seconds(MOTIONS["train"]) == 576
    assert seconds(MOTIONS["validation"]) == 110
    assert seconds(MOTIONS["test"]) == 177


def test_every_window_keeps_to_the_rule():
    for motion in ALL:
        assert fits(motion), motion.source
        assert motion.fps == 30
        np.testing.assert_allclose(
            np.median(motion.head[motion.valid, 1]), 0, atol=UNIT
        )
        eye = np.rad2deg(motion.gaze_in_head[motion.valid])
        assert np.abs(eye).max() < 50
        step = np.abs(np.diff(motion.head, axis=0))
        step = step[motion.valid[1:] & motion.valid[:-1]]
        assert np.rad2deg(step.max()) * motion.fps < 200
        assert motion.meta["licence"] == "MIT"


def test_the_manifest_tells_what_is_there():
    rows = [{k: str(v) for k, v in manifest_row(m).items()} for m in ALL]
    assert read_manifest() == rows
    assert len({row["sequence"] for row in rows}) == len(rows)
    for split, found in MOTIONS.items():
        with np.load(DATA / f"{split}.npz") as file:
            for name in file.files:
                together = np.concatenate([to_units(m)[name] for m in found])
                np.testing.assert_array_equal(file[name], together)
                assert file[name].dtype == (bool if name == "valid" else np.int16)


def test_the_files_are_small_and_come_with_their_licence():
    files = {path.name: path.stat().st_size for path in DATA.iterdir()}
    expected = {f"{split}.npz" for split in SPLITS} | {"manifest.csv", "LICENSE.txt"}
    assert set(files) == expected
    assert sum(files.values()) <= 450_000
    whole = sum(
        p.stat().st_size for p in DATA.parents[1].rglob("*") if p.suffix != ".pyc"
    )
    assert whole <= 750_000
    licence = (DATA / "LICENSE.txt").read_text()
    assert "Copyright (c) 2023 Immo Schuetz" in licence
    assert "Permission is hereby granted" in licence


@pytest.mark.parametrize("person", regenerate.PEOPLE)
def test_the_eye_leads_and_turns_against_the_head(person):
    found = [m for m in ALL if m.subject == person]
    # All windows as one sequence, with a loss between them that no lag bridges.
    gaze, head, valid = (
        np.concatenate([np.pad(x, [(0, 30)] + [(0, 0)] * (x.ndim - 1)) for x in parts])
        for parts in zip(*((m.gaze, m.head, m.valid) for m in found), strict=True)
    )
    lag = coordination.lag(gaze, head, valid, 30.0)
    assert 0.08 < lag.seconds[1] < 0.45
    # While gaze is slow, the eye makes up for the head.
    velocity = [
        np.diff(x[:, 1])[m.valid[1:] & m.valid[:-1]] * 30
        for m in found
        for x in (m.gaze, m.gaze_in_head, m.head)
    ]
    gaze, eye, head = (np.concatenate(velocity[i::3]) for i in range(3))
    slow = np.abs(gaze) < np.deg2rad(30)
    assert np.corrcoef(eye[slow], head[slow])[0, 1] < -0.4


# --- how it is built -----------------------------------------------------------------


def test_built_data_are_the_shipped_ones(tmp_path):
    name = "gazehead_sample/eye_tracker"
    for split, found in MOTIONS.items():
        built = {m.source: m for m in load_split(name, split, tmp_path)}
        assert set(built) == {m.source for m in found}
        for motion in found:
            other = built[motion.source]
            np.testing.assert_array_equal(motion.gaze, other.gaze)
            np.testing.assert_array_equal(motion.head, other.head)
            np.testing.assert_array_equal(motion.valid, other.valid)
            assert (motion.fps, motion.subject) == (other.fps, other.subject)
            assert motion.meta == other.meta
    builder = make_builder(name, tmp_path)
    faces = make_builder("gazehead_sample", tmp_path)
    assert repr(builder.info.features) == repr(faces.info.features)
    source = tfds.builder_from_directory(builder.data_dir).as_data_source("train")
    assert len(source) == len(MOTIONS["train"])


def test_the_name_alone_means_faces(tmp_path):
    assert make_builder("gazehead_sample", tmp_path).builder_config.name == "faces"
    assert "gazehead_sample (faces, eye_tracker)" in describe("gazehead_sample")
    with pytest.raises(GazeheadError, match="did you mean 'eye_tracker'"):
        prepare("gazehead_sample/eyetracker", tmp_path)


# --- how it is chosen ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"length_s": 7.9}, False),
        ({"length_s": 30.1}, False),
        ({"amplitude_deg": 5.0}, False),  # A standard deviation of 3.5°.
        ({"amplitude_deg": 49.0}, False),
        ({"gaze": np.full((720, 2), [0, 1.3])}, False),
        ({"gaze": np.full((720, 2), [-1.1, 0])}, False),
        ({"head": np.full((720, 3), [-0.8, 0, 0])}, False),
        ({"valid": np.arange(720) >= 80}, False),
        ({"valid": np.arange(720) >= 60}, True),
    ],
)
def test_rule(changes, expected):
    assert fits(sequence(**changes)) is expected


def test_candidate_is_the_longest_window_that_fits():
    motion = sequence(length_s=20)
    # For three seconds gaze is out of range, from 5.5 s on; 11 s are left after it.
    gaze = motion.gaze.copy()
    gaze[330:510, 1] = 1.5
    found = candidate(motion.replace(gaze=gaze))
    assert (len(found), found.fps) == (11 * 30, 30)
    assert found.meta["start_s"] == pytest.approx(10 + 9)
    assert found.source == "office_cube/6/S003/004"
    # Two frames are one; turned about the vertical only, gaze and head alike.
    pairs = np.concatenate([motion.gaze, motion.head], -1)[539:1199]
    expected = pairs.reshape(-1, 2, 5).mean(1)
    expected[:, [1, 3]] -= np.median(expected[:, 3])
    shipped = np.concatenate([found.gaze, found.head], -1)
    np.testing.assert_allclose(shipped, expected, atol=UNIT)
    assert candidate(motion.replace(gaze=np.full_like(gaze, 1.3))) is None
    converted = motion.replace(source="vr_objects/office_cube_6_S003/004")
    assert candidate(converted).source == "office_cube/6/S003/004"
    with pytest.raises(GazeheadError, match="no sequence of vr_objects"):
        candidate(motion.replace(source="eyenavgs/alameda"))


def test_scenes_take_turns_and_too_much_is_passed_over():
    lengths = {"a/1/S1/000": 20, "a/1/S1/001": 18, "a/1/S1/002": 9, "b/1/S2/000": 12}
    found = [sequence(length_s=s, source=name) for name, s in lengths.items()]
    names = lambda limit: [m.source for m in select(found, limit)]
    assert names(20.0) == ["a/1/S1/000"]
    assert names(32.0) == ["a/1/S1/000", "b/1/S2/000"]
    assert names(42.0) == ["a/1/S1/000", "a/1/S1/002", "b/1/S2/000"]
    assert names(50.0) == ["a/1/S1/000", "a/1/S1/001", "b/1/S2/000"]
    assert [m.source for m in select(found[::-1], 50.0)] == names(50.0)


def test_the_recordings_give_the_shipped_numbers(shared):
    # The converted copy cuts blinks a little otherwise, so that some windows differ.
    found = person_motions(shared / "data" / "eyehead", "vr_objects:15")
    ours = {m.source: m for m in MOTIONS["train"] if m.subject == "vr_objects:15"}
    assert len(found) == 5
    same = [m for m in found if m.source in ours and len(m) == len(ours[m.source])]
    assert len(same) >= 4
    close = 0
    for motion in same:
        other = ours[motion.source]
        assert motion.meta["start_s"] == pytest.approx(other.meta["start_s"], abs=0.1)
        both = motion.valid & other.valid
        error = np.abs(motion.gaze - other.gaze)[both].max(-1)
        assert np.median(error) < np.deg2rad(1)
        close += error.max() < 0.003
    assert close >= 3


def test_a_copy_without_the_people_is_told_and_nothing_is_written(tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["--recordings", str(tmp_path), "--out", str(out)]) == 2
    assert "no recordings found" in capsys.readouterr().err
    assert not out.exists()
