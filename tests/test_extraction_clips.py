"""One video: with a made-up landmark net, and with the real one."""

import json
import struct
import wave

import numpy as np
import pytest
from mean_face import CAMERA, project

from gazehead_jax import cli
from gazehead_jax.errors import GazeheadError
from gazehead_jax.extraction import ClipExtractor, ExtractSettings, clip, extract_clip
from gazehead_jax.extraction.manifest import read_manifest
from gazehead_jax.motion import mirror
from gazehead_jax.video import read_video, write_video

pytest.importorskip("av")
pytest.importorskip("scenedetect")

SIZE = (CAMERA.width, CAMERA.height)
YAW = 0.01  # radians a frame
FOV_DEG = float(np.rad2deg(2 * np.arctan(CAMERA.width / 2 / CAMERA.focal_px)))


class FakeNet:
    """Sees one person who turns, and whoever `others` puts beside them."""

    missing: frozenset = frozenset()
    others: dict = {}

    def __init__(self, task, max_faces=2):
        self._frame = -1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def detect(self, image, time_s):
        self._frame += 1
        people = [(0.0, YAW * self._frame)] if self._frame not in self.missing else []
        people += [(x, 0.0) for x in self.others.get(self._frame, [])]
        head = np.array([[0, yaw, 0] for _, yaw in people]).reshape(-1, 3)
        place = np.array([[x, 0.0, 150.0] for x, _ in people]).reshape(-1, 3)
        if not people:
            return np.zeros((0, 478, 3))
        landmarks = project(head, np.zeros((len(people), 2)), place)
        # Open lids.
        for upper, lower in zip(*clip_lids(), strict=True):
            landmarks[:, lower, 1] = landmarks[:, upper, 1] + 6.0
        return landmarks


def clip_lids():
    from gazehead_jax.extraction import track

    return track._LIDS


def a_video(path, count=60, fps=25, scenes=1, still=False):
    """A square that wanders over a colour that changes with the scene."""
    frames = np.zeros((count, *SIZE[::-1], 3), np.uint8)
    for index, frame in enumerate(frames):
        frame[:] = [(30, 60, 200), (220, 200, 20)][index * scenes // count % 2]
        at = 10 if still else 10 + 4 * index
        frame[10:60, at : at + 50] = 128
    return write_video(path, frames, fps=fps, quality=30)


@pytest.fixture(scope="session")
def video(tmp_path_factory):
    return a_video(tmp_path_factory.mktemp("videos") / "somebody.mp4")


@pytest.fixture
def fake_net(monkeypatch, tmp_path):
    """Puts a made-up net in the place of the real one."""
    (tmp_path / "net.task").write_bytes(b"net")
    monkeypatch.setattr(clip.weights, "locate", lambda *_, **__: tmp_path / "net.task")

    def put(missing=(), others=None):
        net = type("Net", (FakeNet,), {"missing": set(missing), "others": others or {}})
        monkeypatch.setattr(clip, "LandmarkNet", net)

    return put


@pytest.fixture
def extract(fake_net):
    """Extracts with a made-up net."""

    def of(path, missing=(), others=None, **settings):
        fake_net(missing, others)
        return extract_clip(path, ExtractSettings(**{"fov_deg": FOV_DEG, **settings}))

    return of


def test_a_video_becomes_a_motion(video, extract):
    result = extract(video)
    (motion,) = result.motions
    assert (len(motion), motion.fps, motion.source) == (60, 25, "somebody")
    assert motion.subject == "somebody"
    assert motion.valid.all()
    np.testing.assert_allclose(motion.head[:, 1], YAW * np.arange(60), atol=0.01)
    # The eyes look straight out of the head.
    np.testing.assert_allclose(motion.gaze_in_head, 0, atol=0.035)
    report = result.report
    assert (report["frames"], report["kept"], report["valid"]) == (60, 60, 60)
    assert report["rejected"] == report["frame_reasons"] == {}
    assert json.loads(json.dumps([report, motion.meta])) == [report, dict(motion.meta)]


class Counting:
    """An estimator whose gaze is how many frames it has seen."""

    name, licence, width, seen = "counting", "none", 1, 0

    def measure(self, frames):
        self.seen += len(frames)
        return np.arange(self.seen - len(frames), self.seen)[:, None] * 1.0

    def resolve(self, measured, head, open_eyes):
        return np.repeat(measured, 2, axis=1)


def test_an_estimator_of_ones_own_runs_along(video, fake_net):
    fake_net()
    extractor = ClipExtractor(ExtractSettings(fov_deg=FOV_DEG), also=[Counting()])
    result = extractor(video)
    (track,) = result.tracks
    assert set(track.measured) == {"iris", "counting"}
    counted = extractor.gaze_of(track, "counting")
    np.testing.assert_array_equal(counted, np.arange(60)[:, None].repeat(2, axis=1))
    # The motion has the gaze of the settings.
    np.testing.assert_allclose(result.motions[0].gaze_in_head, 0, atol=0.035)


def test_lost_faces_leave_holes_that_say_so(video, extract):
    result = extract(video, missing=range(20, 24))
    (motion,) = result.motions
    assert np.flatnonzero(~motion.valid).tolist() == [20, 21, 22, 23]
    assert result.report["frame_reasons"] == {"no face": 4}


def test_no_face_is_a_reason_and_no_error(video, extract):
    result = extract(video, missing=range(60))
    assert result.motions == []
    assert result.report["rejected"] == {"no face": 1}


def test_two_people_are_rejected_or_split(video, extract):
    others = {frame: [45.0] for frame in range(10, 60)}
    assert extract(video, others=others).report["rejected"] == {"several faces": 1}
    result = extract(video, others=others, faces="split")
    assert [len(m) for m in result.motions] == [60, 50]
    # Told apart by where they are, not by the order in which they are found.
    assert np.ptp(result.motions[0].head[:, 1]) == pytest.approx(0.59, abs=0.02)
    assert np.ptp(result.motions[1].head[:, 1]) < 0.01
    # An off-centre face that looks straight ahead does not read as turned.
    assert np.rad2deg(np.abs(result.motions[1].head)).max() < 1
    # A flicker of the detector is nobody.
    flicker = {frame: [45.0] for frame in range(10, 14)}
    result = extract(video, others=flicker)
    assert len(result.motions) == 1
    assert result.report["rejected"] == {"too short": 1}


def test_cuts_split_or_reject(tmp_path, extract):
    path = a_video(tmp_path / "cut.mp4", scenes=2)
    result = extract(path)
    assert [len(m) for m in result.motions] == [30, 30]
    assert [m.meta["start_s"] for m in result.motions] == [0.0, 1.2]
    assert extract(path, shots="reject").report["rejected"] == {"cut": 1}


def test_a_still_picture_is_frozen(tmp_path, extract):
    path = a_video(tmp_path / "still.mp4", still=True)
    assert extract(path).report["rejected"] == {"frozen": 1}


def test_short_and_slow_videos_are_told(tmp_path, extract, video):
    assert extract(a_video(tmp_path / "one.mp4", 1)).report["rejected"] == {
        "too short": 1
    }
    assert extract(video, min_seconds=3.0).report["rejected"] == {"too short": 1}
    slow = a_video(tmp_path / "slow.mp4", 8, fps=1)
    assert extract(slow).report["rejected"] == {"slow frame rate": 1}


def test_what_came_before_a_break_is_kept(tmp_path, extract):
    # With the index in front a cut file still begins well.
    import av

    whole = a_video(tmp_path / "whole.mp4", 100)
    path = tmp_path / "cut.mp4"
    with (
        av.open(str(whole)) as source,
        av.open(str(path), "w", options={"movflags": "faststart"}) as out,
    ):
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 7 // 10])
    result = extract(path)
    (motion,) = result.motions
    assert 40 < len(motion) < 90
    # Without its index there is nothing.
    whole.write_bytes(whole.read_bytes()[:-2000])
    result = extract(whole)
    assert result.report["rejected"] == {"unreadable": 1}
    assert "not a video that can be read" in result.report["message"]


def test_settings_reach_the_motion(video, extract):
    result = extract(video, fps=5.0, one_euro=(1.0, 0.2))
    (motion,) = result.motions
    assert motion.fps == 5
    assert motion.meta["one_euro"] == [1.0, 0.2]
    assert motion.meta["focal_px"] == pytest.approx(CAMERA.focal_px, abs=0.5)
    # Smoothing lags behind a turn.
    (guessed,) = extract(video, fov_deg=None).motions
    assert guessed.meta["focal_px"] == 640
    assert motion.head[5, 1] < extract(video, fps=5.0).motions[0].head[5, 1] - 0.005


def test_a_missing_file_is_an_error(extract, tmp_path):
    with pytest.raises(GazeheadError, match="no such file"):
        extract(tmp_path / "none.mp4")


# --- with the real net -------------------------------------------------------------


@pytest.fixture(scope="module")
def real(shared):
    pytest.importorskip("mediapipe")
    weights = str(shared / "weights")
    return ClipExtractor(ExtractSettings(weights=weights), outline=(33, 263))


def test_real_clips_are_kept_whole(real, shared, capfd):
    result = real(shared / "data/faces/liveportrait/d12.mp4")
    (motion,) = result.motions
    assert len(motion) == 183
    assert 0.85 < motion.valid.mean() < 1
    assert set(result.report["frame_reasons"]) == {"blink"}
    # He talks and nods, roughly facing the camera.
    assert np.rad2deg(np.abs(motion.head[motion.valid])).max() < 30
    assert 1 < np.rad2deg(motion.head[motion.valid].std(0)).max() < 15
    assert result.tracks[0].outline.shape == (183, 2, 2)
    again = real(shared / "data/faces/liveportrait/d12.mp4").motions[0]
    np.testing.assert_array_equal(again.head, motion.head)
    assert capfd.readouterr().err == ""


def test_mirrored_video_gives_mirrored_angles(real, shared, tmp_path):
    source = shared / "data/faces/liveportrait/d12.mp4"
    frames = (image[:, ::-1] for _, image in read_video(source))
    path = write_video(tmp_path / "mirror.mp4", frames, fps=25, quality=10)
    seen = mirror(real(source).motions[0])
    mirrored = real(path).motions[0]
    both = seen.valid & mirrored.valid
    for a, b in ((seen.head, mirrored.head), (seen.gaze, mirrored.gaze)):
        for channel in (0, 1):
            r = np.corrcoef(a[both, channel], b[both, channel])[0, 1]
            assert r > 0.8, (channel, r)


def test_nobody_is_seen_in_noise_or_a_tiny_video(real, tmp_path):
    rng = np.random.default_rng(0)
    for name, size in (("noise", 128), ("tiny", 16)):
        frames = rng.integers(0, 255, (30, size, size, 3), np.uint8)
        path = write_video(tmp_path / f"{name}.mp4", frames, fps=25)
        assert real(path).report["rejected"] == {"no face": 1}


def test_weights_of_something_else_are_told(tmp_path):
    pytest.importorskip("mediapipe")
    with pytest.raises(GazeheadError, match="not a MediaPipe face_landmarker"):
        clip.LandmarkNet(b"nothing")


def turned_upright(path, quarter_turns: int):
    """Sets the rotation flag of an mp4, as a phone does."""
    matrix = {1: (0, 1, -1, 0), 3: (0, -1, 1, 0)}[quarter_turns]
    a, b, c, d = (x << 16 for x in matrix)
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


@pytest.mark.parametrize("quarter_turns", [1, 3])
def test_a_phone_held_upright_sees_the_same(real, shared, tmp_path, quarter_turns):
    source = shared / "data/faces/liveportrait/d12.mp4"
    upright = [image for _, image in read_video(source)][:60]
    path = write_video(
        tmp_path / "phone.mp4",
        (np.rot90(image, quarter_turns) for image in upright),
        fps=25,
        quality=5,
    )
    turned_upright(path, quarter_turns)
    (seen,), (usual,) = real(path).motions, real(source).motions
    difference = np.rad2deg(np.abs(seen.head - usual.head[:60]))
    assert np.median(difference) < 0.5
    assert difference.max() < 5


def test_every_bad_file_has_its_row_and_stops_nobody(shared, tmp_path, capsys):
    pytest.importorskip("mediapipe")
    pytest.importorskip("pebble")
    folder = tmp_path / "videos"
    folder.mkdir()
    good = shared / "data/faces/liveportrait/d0.mp4"
    content = good.read_bytes()
    (folder / "good.mp4").write_bytes(content)
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "half.mp4").write_bytes(content[: len(content) // 2])
    (folder / "text.mp4").write_text("this is no video\n" * 100)
    with wave.open(str(folder / "song.mp4"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(16000))
    grey = np.full((40, 96, 96, 3), 90, np.uint8)
    grey[np.arange(40), np.arange(40), 5] = 255
    write_video(folder / "nobody.mp4", grey, fps=25)
    face = [image for _, image in read_video(good)][:8]
    write_video(folder / "slow.mp4", face, fps=1)
    write_video(folder / "photo.mp4", face[:1] * 50, fps=25)
    write_video(folder / "short.mp4", face, fps=25)
    tiny = [image[::32, ::32] for image in face * 5]
    write_video(folder / "tiny.mp4", tiny, fps=25)
    both = [np.concatenate([image, image], 1) for image in face * 5]
    write_video(folder / "twins.mp4", both, fps=25)
    arguments = ["extract", str(folder), "--out", str(tmp_path / "out")]
    arguments += ["--weights", str(shared / "weights"), "--workers", "2"]
    assert cli.main(arguments) == 0
    rows = {
        row["video"].removesuffix(".mp4"): row
        for row in read_manifest(tmp_path / "out")
    }
    assert {name: next(iter(row["rejected"]), "") for name, row in rows.items()} == {
        "good": "",
        "empty": "unreadable",
        "half": "unreadable",
        "text": "unreadable",
        "song": "unreadable",
        "nobody": "no face",
        "slow": "slow frame rate",
        "photo": "frozen",
        "short": "too short",
        "tiny": "small face",
        "twins": "several faces",
    }
    assert "only sound" in rows["song"]["message"]
    printed = capsys.readouterr()
    assert "1 motion from 1 of 11 videos" in printed.out
    assert "Traceback" not in printed.err + printed.out
    assert [p.name for p in (tmp_path / "out").glob("*.npz")] == ["good.npz"]
