"""`gazehead render` and `convert` of templates: what they make, tell and refuse."""

import json
import wave

import numpy as np
import pytest

from gazehead_jax.cli import main
from gazehead_jax.marking import read_mark
from gazehead_jax.motion import Motion
from gazehead_jax.motion_io import load_motion, save_motion
from gazehead_jax.video import read_video, write_video

pytest.importorskip("av")


@pytest.fixture
def motion_file(tmp_path):
    time = np.linspace(0, 2, 20)
    head = np.stack([0 * time, 0.4 * time, 0 * time], axis=1)
    gaze = np.stack([0 * time, 0.4 * time + 0.1], axis=1)
    motion = Motion(gaze, head, 25.0, meta={"generated": {"model": "m", "seed": 4}})
    return save_motion(tmp_path / "motion.npz", motion)


def render(*arguments, size=64):
    return main(["render", *map(str, arguments), "--size", str(size)])


def write_silence(path):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(16_000))
    return path


def test_everything_at_once(tmp_path, motion_file, capsys):
    import av

    clip = write_video(
        tmp_path / "clip.mp4",
        (np.full((48, 64, 3), 90, np.uint8) for _ in range(30)),
        fps=30,
    )
    out = tmp_path / "out.mp4"
    code = render(
        *("--motion", f"made={motion_file}", "--out", out, "--reference", clip),
        *("--audio", write_silence(tmp_path / "a.wav"), "--mark"),
        *("--camera", "yaw=30,distance=1", "--background", "#00ff00"),
    )
    told = capsys.readouterr()
    assert code == 0, told.err
    assert told.out.strip() == str(out)
    assert "CC0 1.0" in told.err  # the licence of what was used
    frames = [frame for _, frame in read_video(out)]
    assert len(frames) == 20
    assert frames[0].shape[1] > 128  # the recording is wider than its height
    assert frames[0][30, -4, 1] > 200
    assert frames[0][30, -4, 0] < 60
    with av.open(str(out)) as container:
        assert len(container.streams.audio) == 1
    assert read_mark(out)["motions"][0]["generated"] == {"model": "m", "seed": 4}
    beside = json.loads((tmp_path / "out.mp4.json").read_text())
    assert beside["generators"][0]["name"] == "head3d"


def test_what_was_bent_is_told(tmp_path, capsys):
    yaw = np.deg2rad(np.linspace(0, 170, 20))
    head = np.stack([0 * yaw, yaw, 0 * yaw], axis=1)
    path = save_motion(tmp_path / "far.npz", Motion(head[:, :2], head, 25.0))
    assert render("--motion", path, "--out", tmp_path / "a.mp4") == 0
    assert "head yaw in" in capsys.readouterr().err


def test_templates_go_there_and_back(tmp_path, motion_file):
    template = tmp_path / "a.pkl"
    assert main(["convert", str(motion_file), str(template)]) == 0
    assert main(["convert", str(template), str(tmp_path / "b.csv")]) == 0
    one, two = load_motion(motion_file), load_motion(tmp_path / "b.csv")
    np.testing.assert_allclose(one.head, two.head, atol=1e-4)
    np.testing.assert_allclose(one.gaze, two.gaze, atol=1e-4)
    assert main(["convert", str(template), str(tmp_path / "c.npz"), "--mirror"]) == 0
    mirrored = load_motion(tmp_path / "c.npz")
    np.testing.assert_allclose(mirrored.head[:, 1], -one.head[:, 1], atol=1e-4)


BAD = [
    ("--camera zoom=3", "fov=DEGREES"),
    ("--background nowhere.png", "no such file"),
    ("--audio {tmp}/none.wav", "no such file"),
    ("--audio {clip}", "no sound in this file"),
    ("--reference {tmp}/none.mp4", "no such file"),
    ("--reference {motion}", "motion.npz"),
    ("--portrait me.png", "draws its own head"),
    ("--generator head3d --generator head3d", "name each generator once"),
    ("--generator tha3 --size 64", "for the generator head3d only"),
    ("--generator nobody", "invalid choice"),
]


@pytest.mark.parametrize(("line", "says"), BAD)
def test_bad_arguments_are_one_sentence(tmp_path, motion_file, capsys, line, says):
    clip = write_video(
        tmp_path / "clip.mp4", [np.zeros((32, 32, 3), np.uint8)] * 3, fps=25
    )
    before = sorted(p.name for p in tmp_path.iterdir())
    places = {"tmp": tmp_path, "clip": clip, "motion": motion_file}
    arguments = [part.format(**places) for part in line.split()]
    out = tmp_path / "out.mp4"
    try:
        code = main(
            ["render", "--motion", str(motion_file), "--out", str(out), *arguments]
        )
    except SystemExit as exit_:
        code = exit_.code
    message = capsys.readouterr().err
    assert code == 2, message
    assert says in message
    assert len([line for line in message.splitlines() if "error:" in line]) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", ["liveportrait", "sted", "tha3"])
@pytest.mark.parametrize("content", [None, b"", b"no picture"])
def test_a_portrait_that_cannot_be_read_is_one_sentence(
    tmp_path, motion_file, capsys, name, content
):
    pytest.importorskip("mediapipe")
    portrait = tmp_path / "me.png"
    if content is not None:
        portrait.write_bytes(content)
    code = main(
        ["render", "--motion", str(motion_file), "--generator", name]
        + ["--portrait", str(portrait), "--out", str(tmp_path / "out.mp4")]
    )
    message = capsys.readouterr().err
    assert code == 2, message
    assert "me.png" in message
    assert "Traceback" not in message
    assert not (tmp_path / "out.mp4").exists()
