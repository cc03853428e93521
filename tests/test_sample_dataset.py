import csv

import numpy as np
import pytest

from gazehead_jax.build import open_split, prepare
from gazehead_jax.datasets.gazehead_sample.clips import CLIPS, MANIFEST, SPLITS
from gazehead_jax.datasets.gazehead_sample.regenerate import (
    main,
    manifest_row,
    regenerate_clip,
)
from gazehead_jax.extraction import ClipExtractor, ExtractSettings
from gazehead_jax.motion_io import load_motion

MOTIONS = {clip.name: load_motion(clip.path) for clip in CLIPS}


def split_seconds(split):
    return sum(MOTIONS[c.name].duration_s for c in CLIPS if c.split == split)


def test_people_are_in_one_split_only():
    people = {s: {c.person for c in CLIPS if c.split == s} for s in SPLITS}
    assert SPLITS == ("train", "validation", "test")
    for a in SPLITS:
        for b in SPLITS:
            assert a == b or not people[a] & people[b]
    assert len(set.union(*people.values())) == 14


def test_every_split_has_minutes_and_clips():
    assert split_seconds("train") == pytest.approx(241.7, abs=1)
    assert split_seconds("validation") > 60
    assert split_seconds("test") > 60
    assert all(sum(c.split == s for c in CLIPS) > 1 for s in SPLITS)


def test_the_files_are_small_and_nothing_else_is_there():
    folder = MANIFEST.parent
    files = {path.name for path in folder.iterdir()}
    assert files == {c.path.name for c in CLIPS} | {"manifest.csv"}
    assert sum(path.stat().st_size for path in folder.iterdir()) < 400_000


def test_the_manifest_tells_what_is_there():
    with MANIFEST.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows == [
        {k: str(v) for k, v in manifest_row(c, MOTIONS[c.name]).items()} for c in CLIPS
    ]


@pytest.mark.parametrize("clip", CLIPS, ids=lambda c: c.name)
def test_numbers_are_plausible(clip):
    motion = MOTIONS[clip.name]
    assert (motion.subject, motion.source) == (clip.person, clip.name)
    assert motion.fps in (24, 25, 30)
    assert motion.duration_s > 2
    assert motion.valid.mean() > 0.6
    gaze, head = np.rad2deg(motion.gaze), np.rad2deg(motion.head)
    assert np.isfinite(gaze).all()
    assert np.isfinite(head).all()
    assert np.abs(head[motion.valid]).max() < 40
    assert np.abs(gaze[motion.valid]).max() < 60
    # Someone moves, and no frame jumps.
    assert head[motion.valid].std(0).min() > 0.2
    eye = np.rad2deg(motion.gaze_in_head[motion.valid])
    assert np.abs(eye[:, 1]).max() < 55
    step = np.abs(np.diff(head, axis=0))[motion.valid[1:] & motion.valid[:-1]]
    assert step.max() * motion.fps < 400
    # Rounded to 1e-5 rad.
    np.testing.assert_allclose(motion.head, np.round(motion.head, 5), atol=1e-7)


@pytest.mark.parametrize("name", ["d9", "s20", "s18", "cap13_edit2"])
def test_eyes_hold_the_camera_while_the_head_turns(name):
    motion = MOTIONS[name]
    eye, head = (x[motion.valid, 1] for x in (motion.gaze_in_head, motion.head))
    assert np.corrcoef(eye, head)[0, 1] < -0.8
    assert np.std(head + eye) < np.std(eye)


def test_built_data_are_the_shipped_ones(tmp_path):
    builder = prepare("gazehead_sample", tmp_path)
    assert builder.builder_config.name == "faces"
    for split in SPLITS:
        motions = open_split("gazehead_sample", split, tmp_path)
        assert sorted(m.source for m in motions) == sorted(
            c.name for c in CLIPS if c.split == split
        )
        for motion in motions:
            shipped = MOTIONS[motion.source]
            np.testing.assert_array_equal(motion.gaze, shipped.gaze)
            np.testing.assert_array_equal(motion.head, shipped.head)
            np.testing.assert_array_equal(motion.valid, shipped.valid)
            assert (motion.fps, motion.subject) == (shipped.fps, shipped.subject)
            assert motion.meta == shipped.meta


def test_the_video_gives_the_shipped_numbers(shared):
    pytest.importorskip("mediapipe")
    clip = next(c for c in CLIPS if c.name == "d0")
    extract = ClipExtractor(ExtractSettings(weights=str(shared / "weights")))
    motion = regenerate_clip(clip, shared / "data" / "faces", extract)
    shipped = MOTIONS["d0"]
    assert len(motion) == len(shipped)
    # Other processors round otherwise.
    assert (motion.valid == shipped.valid).mean() > 0.95
    both = motion.valid & shipped.valid
    np.testing.assert_allclose(motion.head[both], shipped.head[both], atol=5e-3)
    np.testing.assert_allclose(motion.gaze[both], shipped.gaze[both], atol=2e-2)


def test_missing_videos_are_told_and_nothing_is_written(tmp_path, capsys, shared):
    pytest.importorskip("mediapipe")
    out = tmp_path / "out"
    weights = str(shared / "weights")
    code = main(["--faces", str(tmp_path), "--weights", weights, "--out", str(out)])
    assert code == 2
    assert "franck.mp4 must be found once" in capsys.readouterr().err
    assert not out.exists()
