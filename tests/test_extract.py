import struct
import sys
import wave

import numpy as np
import pytest

from gazehead_jax import extract
from gazehead_jax import face_geometry as fg
from gazehead_jax.errors import GazeheadError
from gazehead_jax.extract import FaceTrack, _frames, _uniform, extract_motion
from gazehead_jax.motion import gaze_in_head, head_to_matrix

SIZE = (640, 480)
MIDDLE = (320.0, 240.0)
FOCAL = 900.0


def project(head, eye, position_cm):
    """Landmarks [t, 478, 3] of the mean face: an independent pinhole camera.

    eye [t, 2] is what the landmark net shows: the iris moves 1/gain up and down.
    """
    face = np.zeros((478, 3))
    face[fg.RIGID_POINTS] = fg.RIGID_XYZ_CM
    out = []
    for h, (pitch, yaw), at in zip(head, eye, position_cm, strict=True):
        points = face.copy()
        pitch = pitch / fg.PITCH_GAIN
        for iris, corners in ((468, fg.RIGHT_EYE), (473, fg.LEFT_EYE)):
            look = np.array(
                [
                    -np.sin(yaw) * np.cos(pitch),
                    -np.sin(pitch),
                    -np.cos(yaw) * np.cos(pitch),
                ]
            )
            centre = face[list(corners)].mean(0) + fg.EYE_CENTRE_CM
            points[iris] = centre + 1.05 * look
            side = np.array([1.05 / fg.EYE_RADIUS_PER_IRIS / 2, 0, 0])
            points[iris + 1], points[iris + 3] = (
                points[iris] + side,
                points[iris] - side,
            )
        points = points @ head_to_matrix(h).T + at
        x, y, z = points.T
        # The net sees a crop about the face: its depth is along the ray to it.
        middle = fg.RIGID_WEIGHTS @ points[fg.RIGID_POINTS]
        depth = (points - middle) @ middle / np.linalg.norm(middle)
        pixels = [x / z, y / z, depth / middle[2]]
        out.append(FOCAL * np.stack(pixels, -1) + [*MIDDLE, 0])
    return np.array(out)


def turned(n=200, seed=0):
    rng = np.random.default_rng(seed)
    return np.deg2rad(rng.uniform([-20, -35, -25], [20, 35, 25], (n, 3)))


def test_the_rigid_face_is_symmetric_and_faces_the_camera():
    assert len(fg.RIGID_POINTS) == len(set(fg.RIGID_POINTS)) == 33
    assert fg.RIGID_WEIGHTS.sum() == pytest.approx(1)
    assert (fg.RIGID_WEIGHTS @ fg.RIGID_XYZ_CM)[0] == pytest.approx(0, abs=1e-9)
    nose, forehead = (fg.RIGID_XYZ_CM[list(fg.RIGID_POINTS).index(i)] for i in (4, 10))
    assert nose[2] < -7  # The tip is nearest to the camera,
    assert forehead[1] < -8  # and the forehead is on top: y points down.


@pytest.mark.parametrize("x_cm", [0.0, 60.0, -60.0])
def test_head_is_recovered_wherever_the_face_is(x_cm):
    head = turned()
    position = np.tile([x_cm, x_cm / 4, 250.0], (len(head), 1))
    landmarks = project(head, np.zeros((len(head), 2)), position)
    _, found = fg.gaze_and_head(landmarks, np.ones(len(head), bool), MIDDLE, FOCAL)
    assert np.rad2deg(np.abs(found - head)).max() < 0.5


def test_off_centre_without_the_ray_would_read_as_turned():
    landmarks = project(np.zeros((1, 3)), np.zeros((1, 2)), [[60.0, 0.0, 250.0]])
    fit = fg.fit_head(landmarks, MIDDLE, FOCAL)
    seen_yaw = np.arctan2(fit.seen[0, 0, 2], fit.seen[0, 2, 2])
    assert abs(np.rad2deg(seen_yaw)) == pytest.approx(
        np.rad2deg(np.arctan2(60, 250)), abs=0.5
    )


def test_a_face_close_to_the_camera_is_still_roughly_right():
    head = turned() / 2
    landmarks = project(
        head, np.zeros((len(head), 2)), np.tile([5.0, 0, 45.0], (len(head), 1))
    )
    _, found = fg.gaze_and_head(landmarks, np.ones(len(head), bool), MIDDLE, FOCAL)
    assert np.rad2deg(np.abs(found - head)).max() < 4


@pytest.mark.parametrize("x_cm", [0.0, 60.0])
def test_eyes_are_recovered_with_their_sign_and_gain(x_cm):
    rng = np.random.default_rng(1)
    eye = np.deg2rad(rng.uniform([-25, -30], [25, 30], (200, 2)))
    head = turned() * 0.5
    landmarks = project(head, eye, np.tile([x_cm, 10.0, 300.0], (200, 1)))
    gaze, found = fg.gaze_and_head(landmarks, np.ones(200, bool), MIDDLE, FOCAL)
    seen = gaze_in_head(gaze, found)
    for i in range(2):
        slope = np.polyfit(eye[:, i], seen[:, i], 1)[0]
        assert slope == pytest.approx(1, abs=0.08)  # Weak perspective.
        assert np.corrcoef(eye[:, i], seen[:, i])[0, 1] > 0.99
    assert np.rad2deg(np.abs(seen - eye)).max() < 5


def test_fixating_eyes_leave_gaze_still_while_the_head_turns():
    yaw = np.deg2rad(np.linspace(-20, 20, 41))
    zero = np.zeros_like(yaw)
    landmarks = project(
        np.stack([zero, yaw, zero], -1),
        np.stack([zero, -yaw], -1),
        np.tile([0.0, 0, 300.0], (41, 1)),
    )
    gaze, _ = fg.gaze_and_head(landmarks, np.ones(41, bool), MIDDLE, FOCAL)
    assert np.rad2deg(np.ptp(gaze[:, 1])) < 2


def test_straying_irises_enlarge_the_eyeball():
    offset = np.zeros((200, 2))
    assert fg.eye_radius_cm(offset, np.full(200, 1.17)) == pytest.approx(1.0)
    offset[:50, 0] = 1.2
    radius = fg.eye_radius_cm(offset, np.full(200, 1.17))
    assert np.rad2deg(np.arcsin(1.2 / radius)) == pytest.approx(50)


def test_a_face_that_fills_the_frame_tells_of_a_crop():
    landmarks = project(np.zeros((2, 3)), np.zeros((2, 2)), [[0.0, 0, 150.0]] * 2)
    # 900 pixels at 150 cm show 6 pixels per cm, so that 60 cm makes 360 pixels,
    assert fg.likely_focal_px(landmarks, (640, 480)) == 640
    # which is the shortest that a crop of 200 pixels can have.
    landmarks[..., :2] += np.array([100, 100]) - MIDDLE
    assert fg.likely_focal_px(landmarks, (200, 200)) == pytest.approx(360, rel=0.05)


# --- which frames count ------------------------------------------------------------


def track(**changes):
    n = 12
    head = np.zeros((n, 3))
    head[:, 1] = np.deg2rad(np.linspace(0, 11, n))
    landmarks = project(head, np.zeros((n, 2)), np.tile([0.0, 0, 200.0], (n, 1)))
    fields = dict(
        time_s=np.arange(n) / 25,
        landmarks=landmarks,
        faces=np.ones(n, int),
        blink=np.zeros(n),
        size=SIZE,
    )
    return FaceTrack(**{**fields, **changes})


@pytest.fixture
def extracted(monkeypatch):
    def of(seen, **options):
        monkeypatch.setattr(extract, "track_face", lambda *_: seen)
        return extract_motion("somebody.mp4", "net.task", focal_px=FOCAL, **options)

    return of


def test_blinks_missing_and_several_faces_are_invalid(extracted):
    seen = track()
    seen.blink[3] = 0.9
    seen.faces[6] = 0
    seen.landmarks[6] = np.nan
    seen.faces[9] = 2
    motion = extracted(seen, subject="p1")
    assert np.flatnonzero(~motion.valid).tolist() == [2, 3, 4, 6, 9]
    assert motion.fps == 25
    assert (motion.source, motion.subject) == ("somebody", "p1")
    assert np.rad2deg(motion.head[motion.valid, 1]) == pytest.approx(
        np.flatnonzero(motion.valid), abs=0.2
    )


def test_no_usable_frame_is_told(extracted):
    with pytest.raises(GazeheadError, match="no face was found in any of 12"):
        extracted(track(faces=np.zeros(12, int)))
    with pytest.raises(GazeheadError, match="shows several"):
        extracted(track(faces=np.full(12, 2)))
    with pytest.raises(GazeheadError, match="open eyes, got none"):
        extracted(track(blink=np.ones(12)))


def test_variable_frame_rates_become_uniform():
    time = np.delete(np.arange(100) / 25, [40, 60, 61, 62])
    values = np.stack([np.sin(time), time / 10], -1)
    fps, out, valid = _uniform(time, values, np.ones(len(time), bool), "clip")
    grid = np.arange(100) / 25
    assert fps == 25
    assert len(out) == 100
    # One lost frame is filled in, three are a hole.
    assert np.flatnonzero(~valid).tolist() == [60, 61, 62]
    np.testing.assert_allclose(out[valid, 0], np.sin(grid)[valid], atol=1e-3)


def test_invalid_neighbours_do_not_enter_a_valid_frame():
    time = np.array([0.0, 0.04, 0.08, 0.13, 0.16, 0.20])
    values = np.where(np.arange(6)[:, None] == 2, np.nan, 1.0)
    fps, out, valid = _uniform(time, values, np.arange(6) != 2, "clip")
    assert fps == 25
    assert valid.tolist() == [True, True, False, False, True, True]
    assert np.isfinite(out[valid]).all()


def test_uniform_times_stay_as_they_are():
    time = np.round(np.arange(50) / 29.97, 3)
    values = np.zeros((50, 2))
    fps, out, _ = _uniform(time, values, np.ones(50, bool), "clip")
    assert fps == pytest.approx(29.97, abs=0.02)
    assert out is values


# --- files -------------------------------------------------------------------------


def write_video(path, frames, ratio=None):
    av = pytest.importorskip("av")
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
    path = write_video(tmp_path / "a.mp4", [image] * 3)
    times, frames = zip(*_frames(path), strict=True)
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
    _, frame = next(_frames(path))
    assert frame.shape == (90, 64, 3)
    assert frame[5, -5].min() > 200  # top right now
    assert frame[5, 5].max() < 50


def test_pixels_are_made_square(tmp_path):
    from fractions import Fraction

    image = np.zeros((64, 96, 3), np.uint8)
    path = write_video(tmp_path / "a.mp4", [image] * 2, ratio=Fraction(2, 3))
    assert next(_frames(path))[1].shape == (64, 64, 3)


def test_bad_files_are_told(tmp_path):
    pytest.importorskip("av")
    task = tmp_path / "net.task"
    task.write_bytes(b"net")
    with pytest.raises(GazeheadError, match="no such file"):
        extract_motion(tmp_path / "none.mp4", task)
    noise = tmp_path / "noise.mp4"
    noise.write_bytes(b"not a video" * 50)
    with pytest.raises(GazeheadError, match=r"face_landmarker\.task is not there"):
        extract_motion(noise, tmp_path / "none.task")
    with pytest.raises(GazeheadError, match="not a readable video"):
        next(_frames(noise))
    sound = tmp_path / "sound.wav"
    with wave.open(str(sound), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(1600))
    with pytest.raises(GazeheadError, match="no video stream"):
        next(_frames(sound))
    with pytest.raises(GazeheadError, match="focal_px must be a positive"):
        extract_motion(noise, task, focal_px=-1.0)


def test_missing_mediapipe_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    for name in ("face.mp4", "net.task"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(GazeheadError, match=r"pip install mediapipe av"):
        extract_motion(tmp_path / "face.mp4", tmp_path / "net.task")


def test_no_face_and_no_model(tmp_path, shared, capfd):
    pytest.importorskip("mediapipe")
    path = write_video(tmp_path / "grey.mp4", [np.full((96, 96, 3), 90, np.uint8)] * 3)
    bad = tmp_path / "bad.task"
    bad.write_bytes(b"nothing")
    with pytest.raises(GazeheadError, match="not a MediaPipe face_landmarker"):
        extract_motion(path, bad)
    with pytest.raises(GazeheadError, match=r"grey\.mp4: no face was found"):
        extract_motion(path, shared / "weights/mediapipe/face_landmarker.task")
    assert capfd.readouterr().err == ""
