"""Provenance: the same facts in the container and beside it, both or neither."""

import hashlib
import json

import numpy as np
import pytest

from gazehead_jax import marking
from gazehead_jax.errors import GazeheadError
from gazehead_jax.generators import DEFAULT, Reach
from gazehead_jax.motion import Motion
from gazehead_jax.version import __version__
from gazehead_jax.video import write_video

pytest.importorskip("av")


class Face:
    name, licence, photo_real = "liveportrait", "code MIT, weights of their owner", True
    size, reach, batch = (32, 32), Reach(1.0, 1.0, 1.0, 1.0, 1.0), 4

    def draw(self, gaze, head, shut):
        raise AssertionError


def _motion(**meta):
    return Motion(np.zeros((3, 2)), np.zeros((3, 3)), 25.0, source="a → b", meta=meta)


def _write(path, text, frames=3):
    pictures = (np.full((32, 32, 3), 50, np.uint8) for _ in range(frames))
    return write_video(path, pictures, fps=25, comment=text)


def test_both_carry_model_seed_licence_and_the_standards_terms(tmp_path):
    path = tmp_path / "clip.mp4"
    motion = _motion(generated={"model": "cvae", "seed": 3})
    mark = marking.provenance([Face()], {"one": motion}, "2026-01-02T03:04:05+00:00")
    marking.write_marked(path, mark, lambda text: _write(path, text))
    beside = json.loads((tmp_path / "clip.mp4.json").read_text())
    assert marking.read_mark(path) == mark
    assert {k: beside[k] for k in mark} == mark
    assert beside["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert beside["file"] == "clip.mp4"
    kind = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    (action,) = mark["c2pa.actions"]["actions"]
    assert mark["digitalSourceType"] == action["digitalSourceType"] == kind
    assert action["action"] == "c2pa.created"
    assert action["softwareAgent"] == {"name": "gazehead_jax", "version": __version__}
    assert mark["generators"] == [
        {"name": Face.name, "licence": Face.licence, "photo_real": True}
    ]
    assert mark["motions"] == [
        {
            "label": "one",
            "source": "a → b",
            "generated": {"model": "cvae", "seed": 3},
        }
    ]


def test_a_drawing_of_a_recording_is_not_called_trained():
    class Drawing(Face):
        name = DEFAULT

    kind = lambda face, motion: marking.provenance([face], {"": motion}, "")[
        "digitalSourceType"
    ].rsplit("/", 1)[-1]
    assert kind(Drawing(), _motion()) == "algorithmicMedia"
    assert kind(Drawing(), _motion(generated={})) == "trainedAlgorithmicMedia"
    assert kind(Face(), _motion()) == "trainedAlgorithmicMedia"


def test_a_video_that_fails_leaves_no_mark(tmp_path):
    path = tmp_path / "clip.mp4"
    with pytest.raises(GazeheadError, match="at least one frame"):
        marking.write_marked(path, {}, lambda text: _write(path, text, 0))
    assert not list(tmp_path.iterdir())


def test_a_mark_that_cannot_be_written_leaves_no_video(tmp_path):
    path = tmp_path / "clip.mp4"
    (tmp_path / "clip.mp4.json").mkdir()
    with pytest.raises(GazeheadError, match="is a folder"):
        marking.write_marked(path, {}, lambda text: _write(path, text))
    assert not path.exists()


def test_other_comments_and_other_sidecars_are_left_alone(tmp_path):
    path = _write(tmp_path / "clip.mp4", "a holiday")
    assert marking.read_mark(path) is None
    assert marking.read_mark(_write(tmp_path / "b.mp4", '{"a": 1}')) is None
    beside = tmp_path / "clip.mp4.json"
    for text in ('{"notes": "mine"}', "[1]", "no json"):
        beside.write_text(text)
        marking.drop_stale_sidecar(path)
        assert beside.read_text() == text
    with pytest.raises(GazeheadError, match="no such file"):
        marking.read_mark(tmp_path / "none.mp4")
