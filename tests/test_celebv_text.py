"""`celebv_text` on tiny copies: lists, filters, rates, and copies that lack something."""

import json

import numpy as np
import pytest
import tensorflow_datasets as tfds

from gazehead_jax import build
from gazehead_jax.datasets.celebv_text import celebv_text_dataset_builder as builder
from gazehead_jax.datasets.celebv_text import splits
from gazehead_jax.errors import GazeheadError
from gazehead_jax.extraction import ExtractSettings, manifest
from gazehead_jax.motion import resample
from gazehead_jax.motion_io import save_motion
from gazehead_jax.simulator import simulate

NAME = "celebv_text"
SPLITS = ("train", "validation", "test")
SETTINGS = ExtractSettings(shots="reject").fingerprint()
REPORT = {
    "bytes": 1,
    "modified": 1,
    "frames": 100,
    "seconds": 4.0,
    "fps": 25.0,
    "size": [64, 64],
    "kept": 0,
    "valid": 0,
    "rejected": {},
    "frame_reasons": {},
    "message": "",
}


def motion_of(clip, seconds=4.0, person=0, shot=0, start_s=0.0, gaze="iris", fps=25):
    meta = {"person": person, "shot": shot, "start_s": start_s, "gaze": gaze}
    motion = simulate(seconds, fps, seed=sum(map(ord, clip)) + person + shot)
    return motion.replace(subject="a folder", source=f"{clip}.mp4", meta=meta)


def add(folder, clip, motions=None, **report):
    """What `gazehead extract` leaves of one clip; by default one motion."""
    motions = [motion_of(clip)] if motions is None else motions
    names = [f"celebvtext_6/{clip}_{i}.npz" for i in range(len(motions))]
    for name, motion in zip(names, motions, strict=True):
        save_motion(folder / name, motion)
    row = {
        "video": f"celebvtext_6/{clip}.mp4",
        "subject": "celebvtext_6",
        "settings": SETTINGS,
        "motions": names,
        **REPORT,
        **report,
    }
    with (folder / manifest.NAME).open("a") as file:
        file.write(json.dumps(row) + "\n")


def clip_names(videos=40, clips=2):
    return [
        f"{i:03d}-_Abc_x{i % 10}_{k}_0" for i in range(videos) for k in range(clips)
    ]


@pytest.fixture
def mine(tmp_path):
    """An extracted copy: 40 videos with two clips each."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for clip in clip_names():
        add(folder, clip)
    return folder


SHARES = {"validation_fraction": 0.2, "test_fraction": 0.2}


def prepare(folder, data_dir, **options):
    return build.prepare(NAME, data_dir, manual_dir=folder, **(SHARES | options))


def opened(prepared):
    """{split: {clip: motions}}"""
    found = {}
    for split in prepared.info.splits:
        clips = found.setdefault(split, {})
        for motion in build.open_split(prepared.data_dir, split):
            clips.setdefault(motion.source, []).append(motion)
    return found


# --- names and splits ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("clip", "video"),
    [
        ("0-5BrmyFsYM_0", "0-5BrmyFsYM"),
        ("88e6FikYYGc_8_0", "88e6FikYYGc"),
        ("_a_b-c_d_e__12_3", "_a_b-c_d_e_"),
    ],
)
def test_the_video_of_a_clip(clip, video):
    assert splits.video_id(splits.clip_name(f"celebvtext_6/{clip}.mp4")) == video


@pytest.mark.parametrize("name", ["88e6FikYYGc", "me_1", "88e6FikYYGc_8_0_1", ""])
def test_other_names_are_none_of_celebv_texts(name):
    with pytest.raises(GazeheadError, match="88e6FikYYGc_8_0 .YouTube video"):
        splits.video_id(name)


def test_the_hashed_split_is_fixed():
    """Written down: it must be the same on every machine and in every version."""
    videos = [f"video{i:06d}" for i in range(2000)]
    split = [splits.hashed_split(v, 0.05, 0.1) for v in videos]
    assert splits.hashed_split("88e6FikYYGc", 0.015, 0.015) == "validation"
    assert [v for v, s in zip(videos, split, strict=True) if s == "test"][:4] == FIRST
    assert 150 < split.count("test") < 250
    assert 60 < split.count("validation") < 140
    # A larger share takes more videos and moves none out.
    more = [splits.hashed_split(v, 0.05, 0.2) for v in videos]
    assert all(b == "test" for a, b in zip(split, more, strict=True) if a == "test")


FIRST = ["video000000", "video000009", "video000030", "video000033"]


def test_lists_say_who_is_tested():
    clips = clip_names(10, 2)
    videos = sorted({splits.video_id(c) for c in clips})
    of = {v: [c for c in clips if splits.video_id(c) == v] for v in videos}
    both = {"train": [*of[videos[0]], *of[videos[1]]], "test": of[videos[2]]}
    found = splits.split_clips(clips, both, 0.0, 0.5)
    assert found == {
        "train": sorted(both["train"]),
        "validation": [],
        "test": both["test"],
    }
    # With a test.txt alone the rest is for training, but not of its videos.
    alone = {"test": of[videos[2]][:1]}
    found = splits.split_clips(clips, alone, 0.0, 0.5)
    assert found["test"] == alone["test"]
    assert set(found["train"]) == set(clips) - set(of[videos[2]])
    # Validation comes out of the training videos, whole videos.
    found = splits.split_clips(clips, both | {"train": clips[6:]}, 0.5, 0.0)
    validated = {splits.video_id(c) for c in found["validation"]}
    trained = {splits.video_id(c) for c in found["train"]}
    assert validated
    assert not validated & trained
    assert validated | trained == {splits.video_id(c) for c in clips[6:]}
    three = both | {"validation": of[videos[5]]}
    assert splits.split_clips(clips, three, 0.5, 0.5) == {
        k: sorted(v) for k, v in three.items()
    }


# --- what is built -------------------------------------------------------------------


def test_an_extracted_copy_becomes_a_dataset(mine, tmp_path, capfd):
    prepared = prepare(mine, tmp_path / "data")
    said = capfd.readouterr().err
    assert "non-commercial research only" in said
    assert "left out: nothing" in said
    found = opened(prepared)
    assert set(found) == set(SPLITS)
    assert sum(len(clips) for clips in found.values()) == 80
    videos = {
        split: {splits.video_id(clip) for clip in clips}
        for split, clips in found.items()
    }
    assert len(set.union(*videos.values())) == sum(map(len, videos.values())) == 40
    for split, clips in found.items():
        for clip, (motion,) in clips.items():
            assert splits.hashed_split(splits.video_id(clip), 0.2, 0.2) == split
            before = motion_of(clip)
            np.testing.assert_array_equal(motion.head, before.head)
            np.testing.assert_array_equal(motion.valid, before.valid)
            assert motion.subject == splits.video_id(clip)
            assert motion.fps == 25
            assert "non-commercial" in motion.meta["licence"]
    info = tfds.builder_from_directory(prepared.data_dir).info
    assert "redistribut" in info.description
    assert "non-commercial" in info.metadata["licence"]
    assert info.metadata["extraction"]["videos"] == 80


def test_25_frames_a_second_become_5(mine, tmp_path):
    prepared = prepare(mine, tmp_path / "data", fps=5)
    assert "fps-5" in prepared.data_dir
    for clips in opened(prepared).values():
        for clip, (motion,) in clips.items():
            expected = resample(motion_of(clip), 5)
            assert motion.fps == 5
            np.testing.assert_array_equal(motion.gaze, expected.gaze)
            np.testing.assert_array_equal(motion.valid, expected.valid)
    with pytest.raises(GazeheadError, match="fps=30 is more than the 25 of"):
        prepare(mine, tmp_path / "data", fps=30)


def test_the_papers_filters(mine, tmp_path, capfd):
    video = "zzzzzzzzzzz"
    add(mine, f"{video}_0_0", [], rejected={"covered eyes": 1})
    add(mine, f"{video}_1_0", [motion_of("a"), motion_of("b", person=1, start_s=3.0)])
    cut = [motion_of("a"), motion_of("a", shot=1, person=1, start_s=4.0)]
    add(mine, f"{video}_2_0", cut)
    add(mine, f"{video}_3_0", [motion_of("a", shot=1, start_s=2.0)])
    late = motion_of("b", person=1, start_s=3.7)  # A flicker of the detector.
    add(mine, f"{video}_4_0", [motion_of("a"), late])
    add(mine, f"{video}_5_0", [motion_of("a", seconds=2.3)])
    few = motion_of("a")
    few = few.replace(valid=np.arange(len(few)) < 55)  # 2.2 s of 4.
    add(mine, f"{video}_6_0", [few])

    def kept(**options):
        clips = {}
        for found in opened(prepare(mine, tmp_path / "data", **options)).values():
            clips |= found
        return {c: len(m) for c, m in clips.items() if c.startswith(video)}

    assert kept() == {f"{video}_4_0": 2}
    said = capfd.readouterr().err
    assert (
        "left out: 2 cut, 2 too short, 1 rejected in extraction, 1 several faces."
        in said
    )
    assert kept(faces="split")[f"{video}_1_0"] == 2
    assert kept(shots="split") == {
        f"{video}_2_0": 2,
        f"{video}_3_0": 1,
        f"{video}_4_0": 2,
    }
    assert len(kept(min_seconds=2.0)) == 3


def test_lists_are_followed(mine, tmp_path):
    clips = clip_names()
    (mine / "train.txt").write_text("\n".join(clips[:20]))
    lines = [f"videos/{c}.mp4" for c in clips[30:34]]
    (mine / "test.txt").write_text("\n".join(["# mine", "", *lines, ""]))
    prepared = prepare(mine, tmp_path / "data", validation_fraction=0.0)
    found = opened(prepared)
    assert {s: sorted(c) for s, c in found.items()} == {
        "train": sorted(clips[:20]),
        "test": sorted(clips[30:34]),
    }
    assert prepared.info.metadata["left_out"] == {"in no list": 56}
    (mine / "test.txt").write_text(clips[30])
    with pytest.raises(GazeheadError, match="prepared from other files"):
        prepare(mine, tmp_path / "data", validation_fraction=0.0)


def test_clips_are_extracted_once(tmp_path, monkeypatch):
    """By way of a stand-in: what it wrote is found again by the next build."""
    clips = tmp_path / "clips" / "celebvtext_6"
    clips.mkdir(parents=True)
    for name in clip_names():
        (clips / f"{name}.mp4").write_bytes(b"video")
    calls = []

    def extract(inputs, out, settings, *, workers, progress):
        calls.append((inputs, out, settings))
        out.mkdir(parents=True, exist_ok=True)
        (out / manifest.NAME).unlink(missing_ok=True)
        for path in sorted(inputs.rglob("*.mp4")):
            add(out, path.stem)

    monkeypatch.setattr(builder, "extract", extract)
    data = tmp_path / "data"
    prepared = prepare(clips.parent, data)
    assert sum(len(c) for c in opened(prepared).values()) == 80
    assert calls[0][0] == clips.parent
    assert calls[0][2] == ExtractSettings(faces="reject", shots="reject")
    # Another rate, and an overwritten build, use the same place.
    prepare(clips.parent, data, fps=5)
    prepare(clips.parent, data, overwrite=True)
    assert {c[1] for c in calls} == {calls[0][1]}
    assert calls[0][1].is_dir()
    # Other nets do not.
    prepare(clips.parent, data, shots="split")
    assert calls[-1][1] != calls[0][1]

    def fail(*_, **__):
        raise GazeheadError("extraction needs mediapipe; pip install it.")

    monkeypatch.setattr(builder, "extract", fail)
    with pytest.raises(
        GazeheadError, match="has clips and no motions.*mediapipe; pip install it"
    ):
        prepare(clips.parent, tmp_path / "other")


# --- copies that lack something ------------------------------------------------------


def attempt(folder, match, **options):
    data = folder.parent / "data"
    with pytest.raises(GazeheadError, match=match) as caught:
        prepare(folder, data, **options)
    assert "\n" not in str(caught.value)
    assert not list(data.rglob("*.array_record*"))
    assert not list(data.rglob("*incomplete*"))


def test_neither_clips_nor_motions(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    attempt(folder, "expected a folder with it as manual_dir")
    (folder / "readme.txt").write_text("hello")
    attempt(folder, "got neither")


def test_motions_without_manifest(mine):
    (mine / manifest.NAME).unlink()
    attempt(mine, f"no {manifest.NAME}, which tells")
    (mine / manifest.NAME).write_text("")
    attempt(mine, "no clip was extracted")
    (mine / manifest.NAME).write_text("not json\n{}\n")
    attempt(mine, "line 1 is not a row of a manifest")


def test_extraction_that_is_not_done(mine, tmp_path):
    min(mine.rglob("*.npz")).unlink()
    attempt(mine, "1 motions that the manifest.jsonl names are gone, as 000-_Abc")
    add(mine, clip_names()[0])
    # Clips beside the motions tell what is missing.
    for clip in ("zzzzzzzzzzz_0_0", *clip_names()):
        (mine / "celebvtext_6" / f"{clip}.mp4").write_bytes(b"video")
    attempt(mine, "1 of the clips are not in .* zzzzzzzzzzz_0_0; .* partial=true")
    assert len(opened(prepare(mine, tmp_path / "some", partial=True))) == 3
    add(mine, "zzzzzzzzzzz_0_0", settings="others")
    attempt(mine, "extracted under 2 different settings")


def test_lists_with_unknown_names(mine, tmp_path):
    clips = clip_names()
    (mine / "test.txt").write_text("\n".join([*clips[:4], "zzzzzzzzzzz_0_0"]))
    attempt(
        mine, "1 names in the lists are none of the copy's clips, as zzzzzzzzzzz_0_0"
    )
    found = opened(prepare(mine, tmp_path / "some", partial=True))
    assert set(found["test"]) == set(clips[:4])
    (mine / "test.txt").write_text("anna.mp4\n")
    attempt(mine, r"test\.txt: a clip of CelebV-Text is called .* got 'anna'")
    (mine / "test.txt").write_text("# nobody\n")
    attempt(mine, "names at least one clip, got none")
    (mine / "test.txt").write_text(f"{clips[0]}\n{clips[0]}.mp4\n")
    attempt(mine, f"got twice {clips[0]}")
    (mine / "test.txt").write_text(clips[0])
    (mine / "train.txt").write_text(clips[1])
    attempt(
        mine, f"video {splits.video_id(clips[1])} of {clips[0]} is in train.txt, too"
    )
    (mine / "test.txt").unlink()
    attempt(mine, "have a test.txt, got only train.txt")


def test_other_copies_are_explained(mine):
    attempt(mine, "nothing is left of the 0 clips for test", test_fraction=1e-9)
    attempt(mine, "for train.* loosen min_seconds", min_seconds=5.0)
    add(mine, clip_names()[0], [motion_of("a", gaze="other")])
    attempt(mine, "gaze is by other, expected iris; set gaze to theirs")
    attempt(mine, "leave something to train on", test_fraction=0.9)
    attempt(mine, "fps must be positive", fps=-1)
    (mine / "raw").mkdir()
    (mine / "raw" / "88e6FikYYGc.mp4").write_bytes(b"the whole video")
    attempt(mine, "not of the whole videos they were cut from")
    (mine / "raw" / "88e6FikYYGc.mp4").unlink()
    again = (mine / manifest.NAME).read_text().replace("celebvtext_6/0", "other/0", 1)
    (mine / manifest.NAME).write_text(again)
    attempt(mine, f"two clips are called {clip_names()[0]}")


def test_texts_and_tags_are_there():
    from tensorflow_datasets.core import dataset_metadata

    info = build.make_builder(NAME).info
    assert info.citation.startswith("@")
    for words in ("non-commercial", "redistribut", "no official split"):
        assert words in info.description
    tags = builder.Builder.get_metadata().tags
    assert tags
    assert set(tags) <= set(dataset_metadata.valid_tags())


@pytest.mark.slow
def test_real_clips(shared, tmp_path):
    """Three real clips under CelebV-Text's names, extracted on the way."""
    pytest.importorskip("mediapipe", reason="needs mediapipe: gazehead_jax[extract]")
    source = shared / "data" / "faces" / "liveportrait"
    clips = sorted(source.rglob("*.mp4"), key=lambda p: p.stat().st_size)[:3]
    folder = tmp_path / "clips"
    folder.mkdir()
    for i, clip in enumerate(clips):
        (folder / f"{i:011d}_0_0.mp4").write_bytes(clip.read_bytes())
    prepared = prepare(
        folder,
        tmp_path / "data",
        validation_fraction=0.0,
        test_fraction=0.0,
        min_seconds=0.5,
        shots="split",
        fps=5,
    )
    motions = build.open_split(prepared.data_dir, "train")
    assert 2 <= len(motions) <= 6
    assert {m.fps for m in motions} == {5.0}
    rows = manifest.read_manifest(next((tmp_path / "data").rglob(manifest.NAME)).parent)
    assert len(rows) == 3
