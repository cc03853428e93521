"""Many videos: names, resuming, workers, bad clips, and places that cannot be written."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from gazehead_jax import cli
from gazehead_jax.errors import GazeheadError
from gazehead_jax.extraction import ClipResult, ExtractSettings, extract, folder
from gazehead_jax.extraction.manifest import (
    ManifestWriter,
    read_manifest,
    summarise,
)
from gazehead_jax.motion import Motion
from gazehead_jax.motion_io import load_motion

pytest.importorskip("pebble")
pytest.importorskip("av")


class FakeExtractor:
    """Reads what a "video" says: how many people it shows, or how it goes wrong."""

    def __init__(self, settings, outline=()):
        self.settings = settings

    def __call__(self, path, *, subject="", source=""):
        path = Path(path)
        text = path.read_text()
        if text == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if text == "raise":
            raise RuntimeError("a bug")
        if text.startswith("wait"):
            time.sleep(float(text.split()[1]))
            text = "1"
        with (path.parent.parent / "read.log").open("a") as log:
            log.write(f"{source}\n")
        people = int(text)
        motions = [
            Motion(
                gaze=np.full((30, 2), 0.1 * k),
                head=np.zeros((30, 3)),
                fps=25,
                subject=subject,
                source=source,
            )
            for k in range(people)
        ]
        report = {
            "frames": 40,
            "seconds": 1.6,
            "fps": 25.0,
            "size": [64, 48],
            "kept": 30 * people,
            "valid": 30 * people,
            "rejected": {} if people else {"no face": 1},
            "frame_reasons": {"blink": 2} if people else {},
            "message": "",
        }
        return ClipResult(motions, [], [], report)


@pytest.fixture
def videos(tmp_path):
    """A folder of made-up videos; what was read is logged beside it."""
    root = tmp_path / "videos"

    def make(**files):
        root.mkdir(exist_ok=True)
        for name, text in files.items():
            path = root / name.replace("__", "/")
            path.parent.mkdir(exist_ok=True)
            path.with_suffix(".mp4").write_text(text)
        return root

    return make


def log(root) -> list[str]:
    path = root.parent / "read.log"
    return path.read_text().split() if path.exists() else []


def run(root, out, **options):
    return extract(root, out, make=FakeExtractor, **options)


def test_a_folder_becomes_motions_and_a_manifest(videos, tmp_path):
    root = videos(ann="1", bob="2", nobody="0", set__carl="1")
    out = tmp_path / "out"
    seen = []
    summary = run(root, out, workers=2, progress=seen.append)
    names = sorted(p.relative_to(out).as_posix() for p in out.rglob("*.npz"))
    assert names == ["ann.npz", "bob_0.npz", "bob_1.npz", "set/carl.npz"]
    assert load_motion(out / "ann.npz").subject == "ann"
    # People are the sub-folders, where there are any.
    assert load_motion(out / "set/carl.npz").subject == "set"
    assert summary["videos"] == 4
    assert (summary["videos_kept"], summary["motions"]) == (3, 4)
    assert (summary["frames"], summary["valid"]) == (160, 120)
    assert summary["rejected"] == {"no face": 1}
    assert summary["frame_reasons"] == {"blink": 6}
    assert summary["hours_valid"] == pytest.approx(120 / 25 / 3600, abs=1e-4)
    assert [p.done for p in seen] == [1, 2, 3, 4]
    assert seen[-1].frames == 160
    assert seen[-1].seconds_left == 0
    assert "4/4 clips" in str(seen[-1])


def test_the_builder_reads_what_extraction_writes(videos, tmp_path):
    from gazehead_jax.build import load_split, prepare

    root = videos(ann="1", bob="2", carl="1")
    run(root, tmp_path / "out")
    builder = prepare("gazehead_folder", tmp_path / "tfds", manual_dir=tmp_path / "out")
    people = {
        split: {m.subject for m in load_split(str(builder.data_dir), split)}
        for split in ("train", "validation", "test")
    }
    assert sorted(people.values(), key=str) == [{"ann"}, {"bob"}, {"carl"}]


def test_what_is_done_is_not_done_again(videos, tmp_path):
    root, out = videos(ann="1", bob="1", nobody="0"), tmp_path / "out"
    first = run(root, out)
    assert sorted(log(root)) == ["ann.mp4", "bob.mp4", "nobody.mp4"]
    assert run(root, out) == first
    assert len(log(root)) == 3
    # A new video, a changed one, a lost file and other settings are done.
    videos(carl="1", bob="2")
    (out / "ann.npz").unlink()
    run(root, out)
    assert sorted(log(root)[3:]) == ["ann.mp4", "bob.mp4", "carl.mp4"]
    run(root, out, settings=ExtractSettings(fps=5.0))
    assert len(log(root)) == 10


def test_files_of_people_no_longer_found_go(videos, tmp_path):
    root, out = videos(ann="3"), tmp_path / "out"
    run(root, out)
    assert len(list(out.glob("*.npz"))) == 3
    videos(ann="1 ")
    run(root, out)
    assert [p.name for p in out.glob("*.npz")] == ["ann.npz"]


def test_a_bad_clip_never_stops_the_rest(videos, tmp_path):
    root, out = videos(a="1", b="raise", c="die", d="1"), tmp_path / "out"
    summary = run(root, out, workers=2)
    assert summary["rejected"] == {"failed": 2}
    assert summary["motions"] == 2
    rows = {row["video"]: row["message"] for row in read_manifest(out)}
    assert rows["b.mp4"] == "RuntimeError: a bug"
    assert "ProcessExpired" in rows["c.mp4"]
    # What failed is tried again; what was done is not.
    videos(b="1 ", c="2 ")
    summary = run(root, out, workers=2)
    assert (summary["rejected"], summary["motions"]) == ({}, 5)
    assert sorted(log(root)) == ["a.mp4", "b.mp4", "c.mp4", "d.mp4"]


def test_a_killed_run_goes_on(videos, tmp_path):
    root, out = videos(**{f"v{k:02}": "wait 0.2" for k in range(12)}), tmp_path / "out"
    program = (
        "import test_extraction_folder as t, sys\n"
        "if __name__ == '__main__': t.run(sys.argv[1], sys.argv[2])\n"
    )
    script = tmp_path / "run.py"
    script.write_text(program)
    here = Path(__file__).parent
    environment = os.environ | {"PYTHONPATH": f"{here}{os.pathsep}{here.parent}"}
    process = subprocess.Popen(
        [sys.executable, script, root, out],
        env=environment,
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while len(list(out.glob("*.npz"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = {row["video"] for row in read_manifest(out)}
    assert 2 <= len(done) < 12
    before = len(log(root))
    (out / ".v05.half.npz").write_bytes(b"half")
    with (out / "manifest.jsonl").open("a") as file:
        file.write('{"video": "v1')
    assert run(root, out, workers=2)["motions"] == 12
    # No video that was in the manifest was read again, and none is missing.
    assert not done & set(log(root)[before:])
    assert len(read_manifest(out)) == 12
    assert not list(out.glob(".*.npz"))
    for path in out.glob("*.npz"):
        assert len(load_motion(path)) == 30


def test_two_runs_do_not_share_a_folder(videos, tmp_path):
    from gazehead_jax.run_guard import exclusive

    root, out = videos(ann="1"), tmp_path / "out"
    with exclusive(out), pytest.raises(GazeheadError, match="in use by another run"):
        run(root, out)


def test_a_full_disk_stops_the_run_with_a_sentence(videos, tmp_path, monkeypatch):
    root, out = videos(ann="1"), tmp_path / "out"

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("gazehead_jax.motion_io.np.savez_compressed", full)
    monkeypatch.setattr("gazehead_jax.motion_io.np.savez", full)
    with pytest.raises(GazeheadError, match="the disk is full"):
        run(root, out)
    assert not list(out.rglob("*.npz"))
    monkeypatch.undo()
    assert run(root, out)["motions"] == 1


def test_an_unwritable_place_is_told(videos, tmp_path):
    root = videos(ann="1")
    (tmp_path / "file").write_text("")
    with pytest.raises(GazeheadError, match="could not be written"):
        run(root, tmp_path / "file" / "out")


# --- which videos ------------------------------------------------------------------


def test_folders_files_and_patterns(videos, tmp_path):
    root = videos(a="1", b="1", in__c="1")
    (root / "notes.txt").write_text("no video")
    (root / "raw.bin").write_text("1")
    names = lambda *given: [v.name for v in folder.find_videos(given)]
    assert names(root) == ["a.mp4", "b.mp4", "in/c.mp4"]
    # A file that is named is taken whatever it is called, and each file once.
    assert names(root / "raw.bin", root / "a.mp4", root / "a.mp4") == [
        "a.mp4",
        "raw.bin",
    ]
    assert names(f"{root}/*.mp4") == ["a.mp4", "b.mp4"]
    assert names(f"{root}/**/*.mp4") == ["a.mp4", "b.mp4", "in/c.mp4"]


def test_equal_names_do_not_overwrite_each_other(videos, tmp_path):
    root = videos(a="1")
    (root / "a.mov").write_text("1")
    targets = [v.target for v in folder.find_videos([root])]
    assert targets == ["a_mov", "a_mp4"]
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.mp4").write_text("1")
    with pytest.raises(GazeheadError, match=r"two videos are called a\.mp4"):
        folder.find_videos([root, other])


def test_nothing_to_read_is_told(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(GazeheadError, match="no video in this folder"):
        folder.find_videos([tmp_path / "empty"])
    with pytest.raises(GazeheadError, match="no such video"):
        folder.find_videos([tmp_path / "none*.mp4"])
    with pytest.raises(GazeheadError, match="at least one video"):
        folder.find_videos([])
    with pytest.raises(GazeheadError, match="workers must be"):
        extract(tmp_path, tmp_path, workers=0)


# --- the manifest ------------------------------------------------------------------


def test_a_torn_last_line_is_cut_and_any_other_is_told(tmp_path):
    row = {"video": "a", "motions": [], "frames": 1, "kept": 0, "valid": 0, "fps": 0.0}
    row |= {"rejected": {"no face": 1}, "frame_reasons": {}}
    path = tmp_path / "manifest.jsonl"
    path.write_text(json.dumps(row) + "\n" + '{"vid')
    assert read_manifest(tmp_path) == [row]
    ManifestWriter(tmp_path).add(row | {"video": "b"})
    assert [r["video"] for r in read_manifest(tmp_path)] == ["a", "b"]
    assert summarise(read_manifest(tmp_path))["rejected"] == {"no face": 2}
    path.write_text("rubbish\n" + json.dumps(row) + "\n")
    with pytest.raises(GazeheadError, match="line 1 is not a row"):
        read_manifest(tmp_path)


# --- the command -------------------------------------------------------------------


def test_the_command_prints_sums(videos, tmp_path, capsys, monkeypatch):
    root, out = videos(ann="1", nobody="0"), tmp_path / "out"
    run(root, out)
    # All is done: nothing is read, and no net is needed.
    arguments = ["extract", str(root), "--out", str(out)]
    assert cli.main(arguments) == 0
    printed = capsys.readouterr().out
    assert "1 motion from 1 of 2 videos" in printed
    assert "left out: no face 1" in printed
    assert cli.main([*arguments, "--gaze", "nobody"]) == 2
    assert "must be one of iris" in capsys.readouterr().err
