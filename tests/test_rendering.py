"""Motions drawn: rates, gaps, side by side, and bad input."""

import itertools
import sys

import numpy as np
import pytest

from gazehead_jax import overlay, rendering
from gazehead_jax.errors import GazeheadError
from gazehead_jax.motion import Motion
from gazehead_jax.video import read_video

SMALL = {"size": 64, "supersample": 1}


def _motion(frames=20, fps=25.0, **changes):
    phase = np.linspace(0, 2, frames)
    gaze = np.stack([0.1 * np.sin(phase), 0.4 * np.cos(phase)], axis=1)
    head = np.stack([0.05 * phase, 0.3 * np.sin(phase), 0.02 * phase], axis=1)
    return Motion(**{"gaze": gaze, "head": head, "fps": fps, **changes})


def test_frames_come_one_per_frame_and_compile_once():
    for count in (1, 5, 20):
        frames = list(rendering.render_frames(_motion(count), **SMALL))
        assert len(frames) == count
        assert {f.shape for f in frames} == {(64, 64, 3)}
        assert {f.dtype for f in frames} == {np.dtype(np.uint8)}
    assert rendering._renderer(64, 1)._cache_size() == 1


def test_frames_do_not_depend_on_the_batch():
    """Frame 9 of 20 is the only frame of a motion that is only it."""
    whole = list(rendering.render_frames(_motion(), **SMALL))
    (alone,) = rendering.render_frames(_motion()[9:10], **SMALL)
    np.testing.assert_array_equal(whole[9], alone)
    assert (whole[9] != whole[0]).any()


def test_an_hour_starts_at_once():
    hour = _motion(90_000)
    frames = list(itertools.islice(rendering.render_frames(hour, **SMALL), 3))
    assert len(frames) == 3


@pytest.mark.parametrize(
    ("fps", "asked", "got", "count"),
    [(25.0, None, 25.0, 20), (5.0, None, 30.0, 115), (120.0, None, 30.0, 5)]
    + [(25.0, 50.0, 50.0, 39)],
)
def test_rate_of_the_video(fps, asked, got, count):
    shown = rendering.video_motion(_motion(20, fps), asked)
    assert shown.fps == got
    assert len(shown) == count


def test_invalid_frames_are_bridged_and_shut():
    valid = np.ones(20, bool)
    valid[8:11] = False
    motion = _motion()
    gaze, head = motion.gaze.copy(), motion.head.copy()
    gaze[~valid], head[~valid] = np.nan, np.nan
    for fps in (25.0, 40.0):
        shown = rendering.video_motion(Motion(gaze, head, 25.0, valid), fps)
        whole = rendering.video_motion(motion, fps)
        assert not shown.valid.all()
        np.testing.assert_allclose(shown.head, whole.head, atol=0.02)
        shut = rendering.blinks(shown.valid, fps)
        np.testing.assert_array_equal(shut[~shown.valid], 1)
        assert shut[0] == shut[-1] == 0
        assert np.abs(np.diff(shut)).max() <= 0.55


def test_invalid_frames_are_drawn_with_eyes_shut():
    valid = np.ones(20, bool)
    valid[10] = False
    still = _motion(gaze=np.zeros((20, 2)), head=np.zeros((20, 3)), valid=valid)
    frames = [f.astype(int) for f in rendering.render_frames(still, **SMALL)]
    blue = [(f[:44, :, 2] > f[:44, :, 0] + 30).sum() for f in frames]
    assert blue[0] > 3
    assert blue[10] == 0
    assert blue[19] == blue[0]


def test_a_turn_through_the_back_takes_the_short_way():
    head = np.zeros((3, 3))
    head[:, 1] = [3.1, 0, -3.1]
    motion = Motion(np.zeros((3, 2)), head, 25.0, np.array([True, False, True]))
    assert abs(rendering.video_motion(motion, None).head[1, 1]) > 3.1


def test_render_writes_a_video(tmp_path):
    path = rendering.render(_motion(), tmp_path / "a.mp4", caption="one", **SMALL)
    frames = [frame for _, frame in read_video(path)]
    bar = overlay.text_bar("one", 64)
    assert len(frames) == 20
    assert frames[0].shape == (64 + len(bar), 64, 3)
    expected = next(rendering.render_frames(_motion(), **SMALL))
    assert np.abs(frames[0][len(bar) :].astype(int) - expected).mean() < 8


def test_side_by_side_shows_each_motion_under_its_label(tmp_path):
    other = _motion(head=_motion().head * -1)
    path = rendering.render_side_by_side(
        {"real": _motion(), "a long label that has to shrink": other},
        tmp_path / "b.mp4",
        **SMALL,
    )
    frames = [frame for _, frame in read_video(path)]
    assert len(frames) == 20
    assert frames[0].shape[1] == 128
    top = len(overlay.text_bar("real", 64))
    for column, motion in enumerate((_motion(), other)):
        *_, expected = rendering.render_frames(motion, **SMALL)
        panel = frames[-1][top : top + 64, 64 * column : 64 * (column + 1)]
        assert np.abs(panel.astype(int) - expected).mean() < 8


def test_strip_shows_yaw_on_the_side_it_turns_to():
    motion = _motion(
        gaze=np.tile([0, 0.4], (20, 1)), head=np.tile([0, -0.3, 0], (20, 1))
    )
    *_, strip = overlay.yaw_strips(motion, 256, 0.5)
    gauge = strip[:14]
    column = lambda colour: np.nonzero((gauge == colour).all(-1))[1].mean()
    assert column(overlay.GAZE) == pytest.approx(255 * (0.5 - 0.47 * 0.8), abs=2)
    assert column(overlay.HEAD) == pytest.approx(255 * (0.5 + 0.47 * 0.6), abs=2)
    row = lambda colour: np.nonzero((strip[14:] == colour).all(-1))[0].mean()
    assert row(overlay.GAZE) < row(overlay.HEAD)


@pytest.mark.parametrize(
    ("motion", "options", "words"),
    [
        (_motion(head=None), {}, "no head"),
        (_motion(valid=np.zeros(20, bool)), {}, "no valid frame"),
        (_motion(), {"size": 63}, "size"),
        (_motion(), {"size": 32}, "size"),
        (_motion(), {"size": 2048}, "size"),
        (_motion(), {"fps": 0.0}, "fps"),
        (_motion(), {"fps": float("nan")}, "fps"),
        (_motion(), {"supersample": 0}, "supersample"),
    ],
)
def test_bad_input_is_told_before_anything_is_drawn(motion, options, words):
    with pytest.raises(GazeheadError, match=words):
        rendering.render_frames(motion, **{**SMALL, **options})


@pytest.mark.parametrize(
    ("motions", "words"),
    [
        ({}, "at least one"),
        ({"a": _motion(), "b": _motion(21)}, "one length"),
        ({"a": _motion(), "b": _motion(fps=30.0)}, "one fps"),
        ({"a": _motion(), "b": _motion(head=None)}, "no head"),
        ({"a\nb": _motion()}, "one line"),
    ],
)
def test_bad_sets_of_motions_are_told(tmp_path, motions, words):
    with pytest.raises(GazeheadError, match=words):
        rendering.render_side_by_side(motions, tmp_path / "a.mp4", **SMALL)
    assert not list(tmp_path.iterdir())


def test_missing_matplotlib_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(GazeheadError, match="pip install matplotlib"):
        overlay.text_bar("a label not drawn before", 64)
