"""Video files: round trip, atomicity, and every way to get it wrong."""

import resource
import signal
import struct
import sys
import wave
import weakref
from fractions import Fraction

import numpy as np
import pytest

from gazehead_jax.errors import GazeheadError
from gazehead_jax.video import read_video, write_gif, write_video

pytest.importorskip("av")


def _frames(count=12, height=48, width=64):
    """A bright square that wanders to the right over a red-green ramp."""
    for index in range(count):
        frame = np.zeros((height, width, 3), np.uint8)
        frame[..., 0] = np.linspace(0, 200, width)
        frame[..., 1] = np.linspace(0, 200, height)[:, None]
        frame[10:20, 3 * index : 3 * index + 10] = 255
        yield frame


@pytest.mark.parametrize("fps", [25.0, 30_000 / 1001, 60.0])
def test_round_trip(tmp_path, fps):
    import av

    path = write_video(tmp_path / "clip.mp4", _frames(), fps=fps)
    times, frames = zip(*read_video(path), strict=True)
    assert len(frames) == 12
    np.testing.assert_allclose(times, np.arange(12) / fps, atol=1e-3)
    for got, put in zip(frames, _frames(), strict=True):
        assert got.flags.c_contiguous
        assert got.dtype == np.uint8
        assert got.shape == (48, 64, 3)
        assert np.abs(got.astype(int) - put).mean() < 8
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert float(stream.average_rate) == pytest.approx(fps, rel=1e-4)


@pytest.mark.parametrize(("width", "b_frames"), [(64, 0), (256, 3)])
def test_the_same_frames_give_the_same_file(tmp_path, width, b_frames):
    def written():
        frames = _frames(count=20, height=256, width=width)
        path = write_video(tmp_path / "clip.mp4", frames, fps=25)
        return path.read_bytes()

    first = written()
    # What differed, and only where it did, is off. The encoder tells its settings.
    assert f"bframes={b_frames} ".encode() in first
    assert all(written() == first for _ in range(20))


def test_frames_stream(tmp_path):
    """No more than a moment of video waits in memory."""
    alive, most = set(), 0

    def many():
        nonlocal most
        for index in range(300):
            frame = np.full((48, 64, 3), index % 250, np.uint8)
            alive.add(index)
            weakref.finalize(frame, alive.discard, index)
            most = max(most, len(alive))
            yield frame

    write_video(tmp_path / "clip.mp4", many(), fps=30)
    assert most < 5
    assert sum(1 for _ in read_video(tmp_path / "clip.mp4")) == 300


def test_a_frame_that_fails_leaves_nothing(tmp_path):
    def broken():
        yield from _frames(3)
        raise GazeheadError("the drawing failed.")

    with pytest.raises(GazeheadError, match="drawing failed"):
        write_video(tmp_path / "clip.mp4", broken(), fps=25)
    assert not list(tmp_path.iterdir())


def test_an_older_video_survives_a_failure(tmp_path):
    path = write_video(tmp_path / "clip.mp4", _frames(), fps=25)
    before = path.read_bytes()
    with pytest.raises(GazeheadError, match="one size"):
        write_video(path, [*_frames(2), *_frames(1, 32)], fps=25)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("frames", "fps", "name", "words"),
    [
        ([], 25, "a.mp4", "at least one frame"),
        (_frames(1, 47), 25, "a.mp4", "even"),
        (_frames(1, 48, 63), 25, "a.mp4", "even"),
        ([np.zeros((4, 4, 3), np.float32)], 25, "a.mp4", "uint8"),
        ([np.zeros((4, 4), np.uint8)], 25, "a.mp4", "uint8"),
        ([np.zeros((0, 4, 3), np.uint8)], 25, "a.mp4", "uint8"),
        (_frames(), 0, "a.mp4", "fps"),
        (_frames(), float("nan"), "a.mp4", "fps"),
        (_frames(), 25, "a.avi", "mp4"),
    ],
)
def test_bad_input_is_told(tmp_path, frames, fps, name, words):
    with pytest.raises(GazeheadError, match=words):
        write_video(tmp_path / name, frames, fps=fps)
    assert not list(tmp_path.iterdir())


def test_bad_quality_is_told(tmp_path):
    with pytest.raises(GazeheadError, match="quality"):
        write_video(tmp_path / "a.mp4", _frames(), fps=25, quality=60)


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(GazeheadError, match="could not be written"):
        write_video(tmp_path / "file" / "a.mp4", _frames(), fps=25)


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path):
    rng = np.random.default_rng(0)
    noise = (rng.integers(0, 255, (256, 256, 3), np.uint8) for _ in range(40))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(GazeheadError, match="disk is full"):
            write_video(tmp_path / "a.mp4", noise, fps=25)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert not list(tmp_path.iterdir())


def test_missing_av_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(GazeheadError, match="pip install av"):
        write_video(tmp_path / "a.mp4", _frames(), fps=25)


def test_what_is_no_video_is_told(tmp_path):
    with pytest.raises(GazeheadError, match="no such file"):
        list(read_video(tmp_path / "none.mp4"))
    (tmp_path / "text.mp4").write_text("no video at all")
    with pytest.raises(GazeheadError, match="text.mp4"):
        list(read_video(tmp_path / "text.mp4"))
    (tmp_path / "empty.mp4").write_bytes(b"")
    with pytest.raises(GazeheadError, match="empty.mp4"):
        list(read_video(tmp_path / "empty.mp4"))
    path = write_video(tmp_path / "clip.mp4", _frames(), fps=25)
    (tmp_path / "cut.mp4").write_bytes(path.read_bytes()[:600])
    with pytest.raises(GazeheadError, match="cut.mp4"):
        list(read_video(tmp_path / "cut.mp4"))


def test_a_gif_has_its_frames_and_its_time(tmp_path):
    from PIL import Image

    frames = [np.full((16, 24, 3), shade, np.uint8) for shade in (0, 120, 250)]
    path = write_gif(tmp_path / "a.gif", frames, fps=10)
    with Image.open(path) as gif:
        assert (gif.n_frames, gif.size, gif.info["duration"]) == (3, (24, 16), 100)
        gif.seek(2)
        assert gif.convert("RGB").getpixel((5, 5))[0] == pytest.approx(250, abs=4)
    with pytest.raises(GazeheadError, match="at least one frame"):
        write_gif(tmp_path / "b.gif", [], fps=10)
    with pytest.raises(GazeheadError, match=r"must end in \.gif"):
        write_gif(tmp_path / "b.mp4", frames, fps=10)
    assert [p.name for p in tmp_path.iterdir()] == ["a.gif"]


def test_a_gif_keeps_time_where_frames_are_no_hundredths(tmp_path):
    from PIL import Image

    frames = [np.full((16, 24, 3), 6 * i, np.uint8) for i in range(36)]
    with Image.open(write_gif(tmp_path / "a.gif", frames, fps=6)) as gif:
        durations = []
        for i in range(gif.n_frames):
            gif.seek(i)
            durations.append(gif.info["duration"])
    assert set(durations) == {160, 170}
    assert sum(durations) == 6000


# --- what cameras and phones write -------------------------------------------------


def write_exact(path, frames, ratio=None):
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "0"})
        stream.width, stream.height = frames[0].shape[1], frames[0].shape[0]
        stream.pix_fmt = "yuv444p"
        if ratio:
            stream.codec_context.sample_aspect_ratio = ratio
        for image in frames:
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_frames_are_upright_contiguous_and_timed(tmp_path):
    image = np.zeros((64, 90, 3), np.uint8)
    image[:20, :20] = 255  # top left
    path = write_exact(tmp_path / "a.mp4", [image] * 3)
    times, frames = zip(*read_video(path), strict=True)
    assert times == pytest.approx([0, 0.1, 0.2])
    assert all(f.flags["C_CONTIGUOUS"] and f.shape == (64, 90, 3) for f in frames)
    assert frames[0][5, 5].min() > 200
    # A phone held upright: the track's matrix turns the picture clockwise by 90°.
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    data[at : at + 36] = struct.pack(
        ">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30
    )
    path.write_bytes(data)
    _, frame = next(read_video(path))
    assert frame.shape == (90, 64, 3)
    assert frame[5, -5].min() > 200  # top right now
    assert frame[5, 5].max() < 50
    _, frame = next(read_video(path, height=45))
    assert frame.shape == (45, 32, 3)
    assert frame[2, -3].min() > 200


def test_pixels_are_made_square(tmp_path):
    image = np.zeros((64, 96, 3), np.uint8)
    path = write_exact(tmp_path / "a.mp4", [image] * 2, ratio=Fraction(2, 3))
    assert next(read_video(path))[1].shape == (64, 64, 3)


def test_large_frames_are_shrunk(tmp_path):
    image = np.zeros((64, 96, 3), np.uint8)
    image[:, 48:] = 200
    path = write_exact(tmp_path / "a.mp4", [image] * 2)
    _, frame = next(read_video(path, longest=48))
    assert frame.shape == (32, 48, 3)
    assert (frame[:, 5].max(), frame[:, -5].min()) == (pytest.approx(0, abs=3), 200)
    assert next(read_video(path, longest=500))[1].shape == (64, 96, 3)


def test_variable_frame_rates_keep_their_times(tmp_path):
    import av

    path = tmp_path / "a.mp4"
    stamps = [0, 40, 80, 200, 210, 400]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width = stream.height = 32
        stream.codec_context.time_base = Fraction(1, 1000)
        for stamp in stamps:
            frame = av.VideoFrame.from_ndarray(
                np.zeros((32, 32, 3), np.uint8), format="rgb24"
            )
            frame.pts, frame.time_base = stamp, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    times = [time for time, _ in read_video(path)]
    assert times == pytest.approx(np.array(stamps) / 1000, abs=1e-3)


def test_sound_and_empty_files_are_told(tmp_path):
    sound = tmp_path / "sound.mp4"
    with wave.open(str(sound), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(1600))
    with pytest.raises(GazeheadError, match="no video in this file, only sound"):
        next(read_video(sound))
    (tmp_path / "none.mp4").write_bytes(b"")
    with pytest.raises(GazeheadError, match="the file is empty"):
        next(read_video(tmp_path / "none.mp4"))


# --- sound -------------------------------------------------------------------------


def write_tone(path, rate=44_100, seconds=2.0, channels=1):
    """Silence but for 440 Hz from 0.5 s to 1 s."""
    time = np.arange(round(seconds * rate)) / rate
    tone = 12_000 * np.sin(2 * np.pi * 440 * time) * ((time >= 0.5) & (time < 1))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.repeat(tone.astype("<i2"), channels).tobytes())
    return path


def read_sound(path):
    """(rate, `[channels, samples]`, seconds at which it begins)."""
    import av

    with av.open(str(path)) as container:
        blocks = list(container.decode(audio=0))
        return (
            blocks[0].rate,
            np.concatenate([b.to_ndarray() for b in blocks], axis=1),
            blocks[0].time,
        )


def loud_between(path):
    rate, samples, begin = read_sound(path)
    loud = np.flatnonzero(np.abs(samples[0]) > 0.1)
    return begin + loud[0] / rate, begin + loud[-1] / rate


@pytest.mark.parametrize(("rate", "channels"), [(44_100, 1), (48_000, 2), (90_000, 2)])
def test_sound_goes_along_and_ends_with_the_pictures(tmp_path, rate, channels):
    tone = write_tone(tmp_path / "a.wav", rate, channels=channels)
    frames = list(_frames(18, 64, 96))
    path = write_video(tmp_path / "a.mp4", frames, fps=12, audio=tone)
    _, samples, _ = read_sound(path)
    assert samples.shape[0] == channels
    assert loud_between(path) == pytest.approx((0.5, 1.0), abs=0.03)
    _, samples, begin = read_sound(path)
    played = begin + samples.shape[1] / read_sound(path)[0]
    assert played == pytest.approx(1.5, abs=0.05)
    assert sum(1 for _ in read_video(path)) == 18


def test_sound_of_a_video_is_taken_from_the_time_asked_for(tmp_path):
    tone = write_tone(tmp_path / "a.wav")
    whole = write_video(tmp_path / "a.mp4", _frames(20), fps=10, audio=tone)
    path = write_video(
        tmp_path / "b.mp4", _frames(10), fps=10, audio=whole, audio_start_s=0.3
    )
    assert loud_between(path) == pytest.approx((0.2, 0.7), abs=0.03)


def test_a_video_longer_than_its_sound_is_whole(tmp_path):
    tone = write_tone(tmp_path / "a.wav", seconds=1.0)
    path = write_video(tmp_path / "a.mp4", _frames(20), fps=10, audio=tone)
    assert sum(1 for _ in read_video(path)) == 20
    assert loud_between(path) == pytest.approx((0.5, 1.0), abs=0.03)


def test_sound_that_is_not_there_is_told_before_a_frame_is_drawn(tmp_path):
    def never():
        raise AssertionError("a frame was drawn")
        yield

    silent = write_video(tmp_path / "silent.mp4", _frames(), fps=25)
    (tmp_path / "text.wav").write_text("no sound at all")
    for audio, words in (
        (silent, "no sound in this file"),
        (tmp_path / "none.wav", "no such file"),
        (tmp_path / "text.wav", "text.wav"),
    ):
        with pytest.raises(GazeheadError, match=words):
            write_video(tmp_path / "a.mp4", never(), fps=25, audio=audio)
    assert not (tmp_path / "a.mp4").exists()


def test_a_comment_is_kept_in_the_container(tmp_path):
    import av

    path = write_video(
        tmp_path / "a.mp4", _frames(), fps=25, comment='{"größe": "α"}' * 500
    )
    with av.open(str(path)) as container:
        assert container.metadata["comment"] == '{"größe": "α"}' * 500


def test_an_encoder_that_is_missing_is_told(tmp_path, monkeypatch):
    import av

    def without(container, codec, **_):
        raise av.codec.codec.UnknownCodecError(codec)

    class Container:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        add_stream = without
        metadata = {}

    monkeypatch.setattr(av, "open", lambda *_, **__: Container())
    with pytest.raises(GazeheadError, match="without the encoder libx264"):
        write_video(tmp_path / "a.mp4", _frames(), fps=25)
    assert not list(tmp_path.iterdir())


def test_a_folder_is_no_place_for_a_video(tmp_path):
    (tmp_path / "a.mp4").mkdir()
    with pytest.raises(GazeheadError, match="is a folder"):
        write_video(tmp_path / "a.mp4", _frames(), fps=25)


def test_pictures_are_scaled_to_a_height(tmp_path):
    image = np.zeros((64, 90, 3), np.uint8)
    path = write_exact(tmp_path / "a.mp4", [image] * 2)
    assert next(read_video(path, height=32))[1].shape == (32, 44, 3)
    assert next(read_video(path, height=128))[1].shape == (128, 180, 3)
