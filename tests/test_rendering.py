"""Motions drawn: rates, gaps, side by side, and bad input."""

import itertools
import sys

import numpy as np
import pytest

from gazehead_jax import overlay, rendering
from gazehead_jax.errors import GazeheadError
from gazehead_jax.generators import GENERATORS, Generator, Reach, head3d, make_generator
from gazehead_jax.generators.reach import bend_to_reach
from gazehead_jax.marking import read_mark, sidecar_path
from gazehead_jax.motion import Motion, angles_to_vector, gaze_in_head
from gazehead_jax.video import read_video, write_video

SMALL = {"size": 64, "supersample": 1}


def _motion(frames=20, fps=25.0, **changes):
    phase = np.linspace(0, 2, frames)
    gaze = np.stack([0.1 * np.sin(phase), 0.4 * np.cos(phase)], axis=1)
    head = np.stack([0.05 * phase, 0.3 * np.sin(phase), 0.02 * phase], axis=1)
    return Motion(**{"gaze": gaze, "head": head, "fps": fps, **changes})


class Recorder:
    """A generator that notes what it is asked to draw; grey frames."""

    licence = "of nobody"
    batch = 4

    def __init__(self, reach_deg=(20, 30, 15, 25, 0), height=32, photo_real=False):
        self.name = f"recorder{height}"
        self.reach = Reach(*np.deg2rad(np.float64(reach_deg)).tolist())
        self.size, self.photo_real = (height, 48), photo_real
        self.asked = []

    def draw(self, gaze, head, shut):
        self.asked.append((gaze, head, shut))
        shade = (100 + 100 * shut).astype(np.uint8)[:, None, None, None]
        return np.broadcast_to(shade, (len(gaze), *self.size, 3))

    @property
    def drawn(self):
        """gaze, head and shut of all frames, fillers too."""
        return [np.concatenate(parts) for parts in zip(*self.asked, strict=True)]


def test_frames_come_one_per_frame_and_compile_once():
    for count in (1, 5, 20):
        frames = list(rendering.render_frames(_motion(count), **SMALL))
        assert len(frames) == count
        assert {f.shape for f in frames} == {(64, 64, 3)}
        assert {f.dtype for f in frames} == {np.dtype(np.uint8)}
    assert head3d._renderer(64, 1, head3d.Camera())._cache_size() == 1


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


# --- generators --------------------------------------------------------------------


def test_head3d_is_a_generator_and_names_are_checked():
    face = make_generator(size=64, supersample=1)
    assert isinstance(face, Generator)
    assert isinstance(Recorder(), Generator)
    assert next(iter(GENERATORS)) == face.name == "head3d"
    for arguments, words in (
        ({"name": "nobody"}, "one of head3d, tha3, liveportrait, sted"),
        ({"portrait": "me.png"}, "takes no portrait"),
        ({"name": "sted"}, "give a portrait"),
        ({"name": "sted", "portrait": "me.png", "size": 64}, "leave the size out"),
    ):
        with pytest.raises(GazeheadError, match=words):
            make_generator(**arguments)


def test_options_belong_to_a_generator_that_is_made_here():
    with pytest.raises(GazeheadError, match="size: options of a generator"):
        rendering.render_frames(_motion(), generator=Recorder(), size=64)


def test_a_generator_gets_its_own_batches_in_order():
    face, motion = Recorder(reach_deg=[80] * 5), _motion(10)
    frames = list(rendering.render_frames(motion, generator=face))
    assert [len(gaze) for gaze, _, _ in face.asked] == [4, 4, 4]
    gaze, head, shut = (a[:10] for a in face.drawn)
    np.testing.assert_array_equal(gaze, motion.gaze)
    np.testing.assert_array_equal(head, motion.head)
    assert (shut == 0).all()
    assert len(frames) == 10


def test_motion_is_bent_to_the_reach_and_the_eyes_take_over():
    yaw = np.deg2rad(np.linspace(-50, 50, 41))
    head = np.stack([0 * yaw, yaw, 0.3 + 0 * yaw], axis=1)
    gaze = np.stack([0 * yaw, 1.3 * yaw], axis=1)
    motion = Motion(gaze, head, 25.0)
    face = Recorder()
    told = []
    list(rendering.render_frames(motion, generator=face, tell=told.append))
    gaze, head, _ = (a[:41] for a in face.drawn)
    assert np.rad2deg(np.abs(head[:, 1])).max() < 25
    assert (np.diff(head[:, 1]) > 0).all()  # bent, not cut off
    np.testing.assert_allclose(head[:, 2], 0, atol=1e-6)  # it does not roll
    eye = np.rad2deg(gaze_in_head(gaze, head))
    assert np.abs(eye[:, 1]).max() < 30
    # While the eye can, the gaze keeps its target though the head falls behind.
    near = np.abs(np.rad2deg(1.3 * yaw)) < 40
    assert (np.abs(head[:, 1] - yaw)[near] > np.deg2rad(5)).any()
    apart = (angles_to_vector(gaze) * angles_to_vector(motion.gaze)).sum(1)
    assert np.rad2deg(np.arccos(np.clip(apart[near], -1, 1))).max() < 0.5
    assert np.rad2deg(np.arccos(apart[0])) > 0.5
    # All roll, and yaw beyond 17.5 degrees by more than half a degree.
    (line,) = told
    assert "head roll in 100 %" in line
    off = np.abs(head[:, 1] - yaw) > np.deg2rad(0.5)
    assert f"head yaw in {100 * off.mean():.0f} %" in line
    assert "misses its target in" in line
    _, bent = bend_to_reach(motion[18:23], face.reach)
    assert str(bent).endswith(
        "head roll in 100 % of the frames; the gaze keeps its target."
    )


def test_motion_within_reach_stays_as_it_is():
    motion = _motion()
    same, bent = bend_to_reach(motion, Reach(*[1.5] * 5))
    assert same is motion
    assert not bent.shares
    assert str(bent) == ""


def test_bending_counts_valid_frames_only():
    head = np.zeros((10, 3))
    head[5:, 1] = 1.0
    valid = np.arange(10) < 6
    motion = Motion(head[:, :2] * 0, head, 25.0, valid)
    _, bent = bend_to_reach(motion, Recorder().reach)
    assert bent.shares["head yaw"] == pytest.approx(1 / 6)


# --- marks, sound, reference -------------------------------------------------------


def test_photo_real_video_is_marked_by_default_and_drawings_on_request(tmp_path):
    draw = lambda face, **options: rendering.render(
        _motion(meta={"generated": {"model": "cvae", "seed": 7}}),
        tmp_path / "a.mp4",
        generator=face,
        **options,
    )
    path = draw(Recorder(photo_real=True))
    mark = read_mark(path)
    assert sidecar_path(path).is_file()
    assert mark["generators"][0]["licence"] == "of nobody"
    assert mark["motions"][0]["generated"] == {"model": "cvae", "seed": 7}
    # A video without a mark must not keep the sidecar of the one before.
    assert read_mark(draw(Recorder())) is None
    assert not sidecar_path(path).exists()
    assert read_mark(draw(Recorder(), mark=True)) is not None
    assert read_mark(draw(Recorder(photo_real=True), mark=False)) is None


def test_a_rendering_that_fails_leaves_neither_video_nor_mark(tmp_path):
    class Failing(Recorder):
        def draw(self, gaze, head, shut):
            if self.asked:
                raise GazeheadError("the drawing failed.")
            return super().draw(gaze, head, shut)

    with pytest.raises(GazeheadError, match="drawing failed"):
        rendering.render(
            _motion(), tmp_path / "a.mp4", generator=Failing(photo_real=True)
        )
    assert not list(tmp_path.iterdir())


def _clock(path, count, fps):
    """A video whose grey level tells the time: 60 per second."""
    frames = (
        np.full((40, 60, 3), round(20 + 60 * i / fps), np.uint8) for i in range(count)
    )
    return write_video(path, frames, fps=fps)


@pytest.mark.parametrize("fps", [10, 25, 60])
@pytest.mark.parametrize("start_s", [0.0, 1.0])
def test_a_reference_is_shown_at_its_own_times(tmp_path, fps, start_s):
    clock = _clock(tmp_path / "clock.mp4", 3 * fps, fps)
    motion = _motion(25, meta={"start_s": start_s})
    path = rendering.render_side_by_side(
        {"made": motion}, tmp_path / "a.mp4", generator=Recorder(), reference=clock
    )
    frames = [frame for _, frame in read_video(path)]
    assert len(frames) == 25
    assert frames[0].shape[1] == 48 + 48
    top = len(overlay.text_bar("made", 48))
    for index in (0, 7, 13, 24):
        seen = frames[index][top + 8 : top + 24, 8:40].mean()
        shown_at = np.floor((start_s + index / 25) * fps + 1e-3) / fps
        assert seen == pytest.approx(20 + 60 * shown_at, abs=4)
    # Without the losses of a second encoding, to the frame.
    times = start_s + np.arange(25) / 25
    pictures = [picture for _, picture in read_video(clock)]
    for time_s, seen in zip(times, rendering.frames_at(clock, times), strict=True):
        shown = pictures[int(np.floor(time_s * fps + 1e-3))]
        np.testing.assert_array_equal(seen, shown)


def test_a_reference_that_ends_stays_but_must_meet_the_motion(tmp_path):
    clock = _clock(tmp_path / "clock.mp4", 10, 25)
    *_, last = rendering.frames_at(clock, np.array([0.2, 0.9]), height=20)
    assert last.shape == (20, 30, 3)
    assert last.mean() == pytest.approx(20 + 60 * 9 / 25, abs=3)
    with pytest.raises(GazeheadError, match=r"ends at 0\.4 s, before the motion"):
        list(rendering.frames_at(clock, np.array([9.0, 9.1])))


def test_faces_of_several_generators_stand_side_by_side(tmp_path):
    path = rendering.render_side_by_side(
        {"made": _motion()}, tmp_path / "a.mp4", generator=[Recorder(), Recorder()]
    )
    assert next(read_video(path))[1].shape[1] == 96
    with pytest.raises(GazeheadError, match="one height, got recorder32 32"):
        rendering.render_side_by_side(
            {"made": _motion()},
            tmp_path / "b.mp4",
            generator=[Recorder(), Recorder(height=64)],
        )


def test_a_bad_place_is_told_before_anything_is_drawn(tmp_path):
    face = Recorder()
    (tmp_path / "a.mp4").mkdir()
    for name, words in (("a.avi", "written as .mp4"), ("a.mp4", "is a folder")):
        with pytest.raises(GazeheadError, match=words):
            rendering.render(_motion(), tmp_path / name, generator=face)
    assert not face.asked


def test_progress_is_told_in_logs(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(rendering, "EVERY_S", 0.0)
    rendering.render(_motion(), tmp_path / "a.mp4", generator=Recorder(), progress=True)
    assert "a.mp4: 20 of 20 frames" in capsys.readouterr().err
