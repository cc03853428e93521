"""`gazehead_videos`: extraction by Apache Beam's workers, with and without real nets."""

import functools
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from stand_in_extractor import StandIn, Unready

from gazehead_jax import build
from gazehead_jax.datasets.gazehead_folder import (
    gazehead_folder_dataset_builder as folder_builder,
)
from gazehead_jax.datasets.gazehead_videos import (
    gazehead_videos_dataset_builder as videos_builder,
)
from gazehead_jax.errors import GazeheadError
from gazehead_jax.extraction import extract_clip

NAME = "gazehead_videos"
needs_beam = pytest.mark.skipif(
    importlib.util.find_spec("apache_beam") is None,
    reason="needs Apache Beam: pip install 'gazehead_jax[beam]', see its README",
)
# Beam holds protobuf at 6, which TFDS then uses in a way that protobuf deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:label.. is deprecated")
IN_MEMORY = ("direct_running_mode=in_memory", "direct_num_workers=1")


@pytest.fixture
def stand_in(monkeypatch):
    """Workers extract with a class of `stand_in_extractor`."""

    def use(cls):
        monkeypatch.setattr(
            videos_builder.Builder,
            "make_extractor",
            lambda self: functools.partial(cls, self.builder_config.settings),
        )

    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
    use(StandIn)
    return use


def make_videos(folder, people=6, clips=4):
    """Each person has good clips, the first of two people; and bad ones."""
    for person in range(people):
        for clip in range(clips):
            path = folder / f"person{person}" / f"{clip}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("2" if clip == 0 else "1")
        (folder / f"person{person}" / "dark.MOV").write_text("no face")
    (folder / "person0" / "cut.mp4").write_text("too short")
    (folder / "notes.txt").write_text("left alone")
    (folder / ".trash").mkdir()
    (folder / ".trash" / "old.mp4").write_text("1")


def records(data_dir, name=NAME):
    """{(split, source, person): motion} of a prepared dataset."""
    found = {}
    for split in ("train", "validation", "test"):
        for motion in build.open_split(name, split, data_dir):
            found[split, motion.source, motion.meta["person"]] = motion
    return found


def reports(builder) -> list[dict]:
    lines = (Path(builder.data_dir) / "manifest.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@needs_beam
def test_two_workers_make_what_one_makes(stand_in, tmp_path, capfd):
    make_videos(tmp_path / "videos")
    manual = {"manual_dir": tmp_path / "videos"}
    two = build.prepare(NAME, tmp_path / "two", beam=["direct_num_workers=2"], **manual)
    said = capfd.readouterr()
    assert "24 of 31 videos kept as 30 motions" in said.err
    assert "rejected: 6 no face, 1 too short." in said.err
    one = build.prepare(NAME, tmp_path / "one", beam=IN_MEMORY, **manual)

    # Two processes did the work, neither of them this one.
    by = {r["message"] for r in reports(two)}
    assert len(by) == 2
    assert len({r["message"] for r in reports(one)}) == 1
    # The records are the same, to the order.
    for split in ("train", "validation", "test"):
        a, b = (build.open_split(x.data_dir, split) for x in (one, two))
        assert [m.source for m in a] == [m.source for m in b]
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x.head, y.head)
            np.testing.assert_array_equal(x.gaze, y.gaze)
            assert (x.meta, x.fps) == (y.meta, y.fps)

    found = records(tmp_path / "two")
    assert len(found) == 30
    people = {}
    for (split, source, _), motion in found.items():
        assert motion.subject == source.split("/")[0]
        people.setdefault(motion.subject, set()).add(split)
    assert len(people) == 6
    assert all(len(splits) == 1 for splits in people.values())
    # As gazehead_folder would split the same people.
    config = folder_builder.FolderConfig(name="c")
    for split, names in folder_builder.split_people(list(people), config).items():
        assert all(people[name] == {split} for name in names)


@needs_beam
def test_every_video_has_a_line_and_the_sums_are_kept(stand_in, tmp_path):
    make_videos(tmp_path / "videos", people=3, clips=2)
    (tmp_path / "videos" / "person2" / "dark.MOV").write_text("bug")
    builder = build.prepare(
        NAME, tmp_path / "data", manual_dir=tmp_path / "videos", beam=IN_MEMORY, fps=5
    )
    lines = reports(builder)
    assert [r["video"] for r in lines] == sorted(r["video"] for r in lines)
    assert len(lines) == 10
    by_name = {r["video"]: r for r in lines}
    assert by_name["person0/cut.mp4"]["rejected"] == {"too short": 1}
    assert by_name["person2/dark.MOV"]["rejected"] == {"failed": 1}
    assert "codec" in by_name["person2/dark.MOV"]["message"]
    assert by_name["person1/0.mp4"]["motions"] == ["person1/0.mp4#0", "person1/0.mp4#1"]
    assert by_name["person1/0.mp4"]["subject"] == "person1"
    again = build.make_builder(NAME, tmp_path / "data", fps=5).info.metadata
    total = again["extraction"]
    assert total["videos"] == 10
    assert total["videos_kept"] == 6
    assert total["motions"] == 9
    # Two seconds at 5 frames each; of each readable video, ten are left out.
    assert (total["frames"], total["kept"]) == (9 * 10 + 9 * 10, 90)
    assert total["rejected"] == {"no face": 2, "failed": 1, "too short": 1}
    assert total["frame_reasons"] == {"blink": 18}
    # Other videos are not silently ignored.
    (tmp_path / "videos" / "person2" / "new.mp4").write_text("1")
    with pytest.raises(GazeheadError, match="prepared from other files"):
        build.prepare(NAME, tmp_path / "data", manual_dir=tmp_path / "videos", fps=5)


@needs_beam
def test_what_workers_and_the_writer_have_to_say_is_one_sentence(stand_in, tmp_path):
    videos, data = tmp_path / "videos", tmp_path / "data"
    make_videos(videos, people=3, clips=1)

    def attempt(match, beam=IN_MEMORY):
        with pytest.raises(GazeheadError, match=match) as caught:
            build.prepare(NAME, data, manual_dir=videos, beam=beam)
        assert "\n" not in str(caught.value)
        assert "Traceback" not in str(caught.value)
        assert not list(data.rglob("*.array_record*"))
        assert not list(data.rglob("*incomplete*"))

    stand_in(Unready)
    attempt("^the weights of iris are missing; get them.$")
    attempt("^the weights of iris are missing; get them.$", ["direct_num_workers=2"])
    stand_in(StandIn)
    (videos / "person0" / "0.mp4").write_text("several faces")
    (videos / "person1" / "0.mp4").write_text("several faces")
    attempt("no video of the split .* set its fraction to 0")


@needs_beam
def test_options_of_beam(tmp_path):
    builder = build.make_builder(NAME, tmp_path)
    options = builder.beam_options(["direct_num_workers=2", "--runner=FlinkRunner"])
    values = options.get_all_options()
    assert values["direct_num_workers"] == 2
    assert values["runner"] == "FlinkRunner"
    assert values["direct_running_mode"] == "multi_processing"
    assert builder.beam_options().get_all_options()["runner"] == "DirectRunner"
    with pytest.raises(GazeheadError, match="unknown direct_num_wrokers"):
        builder.beam_options(["direct_num_wrokers=2"])


@needs_beam
def test_videos_and_data_may_be_urls(stand_in, tmp_path, monkeypatch):
    """A bucket that is really memory: what Dataflow's workers would do."""
    from fsspec.implementations.memory import MemoryFileSystem

    class Bucket(MemoryFileSystem):
        protocol = "gs"
        store, pseudo_dirs = {}, [""]

        @classmethod
        def _strip_protocol(cls, path):
            return super()._strip_protocol(str(path).removeprefix("gs://"))

    monkeypatch.setitem(sys.modules["fsspec.registry"]._registry, "gcs", Bucket)
    make_videos(tmp_path / "videos", people=3, clips=2)
    bucket = Bucket()
    bucket.put(str(tmp_path / "videos"), "gs://mine/", recursive=True)
    builder = build.prepare(
        NAME, "gs://mine/data", manual_dir="gs://mine/videos", beam=IN_MEMORY
    )
    assert builder.data_dir == "gs://mine/data/gazehead_videos/default/1.0.0"
    assert "Copy it to a local folder" in build.summary(builder.data_dir)
    bucket.get(builder.data_dir, str(tmp_path / "copy"), recursive=True)
    build.prepare(
        NAME, tmp_path / "local", manual_dir=tmp_path / "videos", beam=IN_MEMORY
    )
    local = records(tmp_path / "local")
    assert len(local) == 9
    for split in ("train", "validation", "test"):
        for motion in build.open_split(tmp_path / "copy", split):
            same = local.pop((split, motion.source, motion.meta["person"]))
            np.testing.assert_array_equal(motion.head, same.head)
    assert not local


@needs_beam
@pytest.mark.slow
def test_real_videos(shared, tmp_path):
    """Three real clips by two workers, the third one damaged."""
    pytest.importorskip("mediapipe", reason="needs mediapipe: gazehead_jax[extract]")
    videos = tmp_path / "videos"
    videos.mkdir()
    source = shared / "data" / "faces" / "liveportrait"
    clips = sorted(source.rglob("*.mp4"), key=lambda p: p.stat().st_size)[:3]
    for clip in clips:
        (videos / clip.name).write_bytes(clip.read_bytes())
    (videos / "damaged.mp4").write_bytes(clips[0].read_bytes()[:2000])
    builder = build.prepare(
        NAME,
        tmp_path / "data",
        manual_dir=videos,
        beam=["direct_num_workers=2"],
        validation_fraction=0.0,
        test_fraction=0.0,
    )
    lines = {r["video"]: r for r in reports(builder)}
    assert lines["damaged.mp4"]["rejected"] == {"unreadable": 1}
    assert lines["damaged.mp4"]["message"]
    found = build.open_split(builder.data_dir, "train")
    assert len(found) == sum(len(r["motions"]) for r in lines.values()) >= 2
    # What Beam's workers make is what `gazehead extract` makes.
    motion = found[0]
    alone = extract_clip(videos / motion.source, builder.builder_config.settings)
    (same,) = [m for m in alone.motions if m.meta == motion.meta]
    np.testing.assert_allclose(motion.gaze, same.gaze, atol=1e-6)
    np.testing.assert_allclose(motion.head, same.head, atol=1e-6)
    np.testing.assert_array_equal(motion.valid, same.valid)


# --- without Beam --------------------------------------------------------------------


def test_without_beam_the_other_way_is_told(monkeypatch, tmp_path):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *a: None if name == "apache_beam" else find(name, *a),
    )
    make_videos(tmp_path / "videos", people=3)
    with pytest.raises(GazeheadError, match=r"\[extract,beam\].*gazehead extract"):
        build.prepare(NAME, tmp_path / "data", manual_dir=tmp_path / "videos")


@needs_beam
def test_nothing_imports_beam_unasked(tmp_path):
    program = (
        "import sys\n"
        "from gazehead_jax import build\n"
        "print([build.describe(name) for name in build.BUILDERS])\n"
        f"build.make_builder({NAME!r}, {str(tmp_path)!r})\n"
        "assert 'apache_beam' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_beams_options_are_for_beams_builders(tmp_path):
    with pytest.raises(GazeheadError, match="gazehead_synthetic does not run on"):
        build.prepare("gazehead_synthetic", tmp_path, beam=["runner=DirectRunner"])


def test_options_become_settings():
    config = build.make_builder(
        NAME, gaze="iris", faces="split", fps=5, min_seconds=2
    ).builder_config
    assert config.settings.fps == 5
    assert config.settings.faces == "split"
    assert build.make_builder(NAME).builder_config.settings.fps is None
    with pytest.raises(GazeheadError, match="faces must be reject or split"):
        build.make_builder(NAME, faces="both")
    with pytest.raises(GazeheadError, match="leave something to train on"):
        build.make_builder(NAME, test_fraction=0.95)


def test_bad_folders_are_told_before_anything_runs(tmp_path):
    builder = build.make_builder(NAME)
    (tmp_path / "notes.txt").write_text("no video")
    with pytest.raises(GazeheadError, match="; got none"):
        builder.fingerprint(tmp_path)
    (tmp_path / "anna.mp4").write_text("1")
    (tmp_path / "bert.mp4").write_text("1")
    with pytest.raises(
        GazeheadError, match="3 splits need as many people, got 2 .anna, bert."
    ):
        builder._split_of(tmp_path)


def test_texts_and_tags_are_there():
    from tensorflow_datasets.core import dataset_metadata

    info = build.make_builder(NAME).info
    assert len(info.description) > 200
    assert info.citation.startswith("@")
    tags = videos_builder.Builder.get_metadata().tags
    assert tags
    assert set(tags) <= set(dataset_metadata.valid_tags())
