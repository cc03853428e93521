"""The command line: every command, and one sentence with exit code 2 for bad input."""

import argparse
import csv
import os
import subprocess
import sys

import numpy as np
import pytest

from gazehead_jax import cli, doctor
from gazehead_jax.motion import Motion
from gazehead_jax.motion_io import load_motion, save_motion
from gazehead_jax.video import read_video


def run(*arguments, capsys=None) -> int:
    try:
        return cli.main([str(a) for a in arguments])
    except SystemExit as stop:  # argparse's own errors
        return stop.code


@pytest.fixture
def gaze_file(tmp_path):
    t = np.arange(100) / 25
    gaze = np.stack([0.1 * np.sin(t), 0.3 * np.sin(3 * t)], -1)
    head = np.stack([0.05 * np.sin(t), 0.2 * np.sin(2 * t), 0 * t], -1)
    return save_motion(tmp_path / "gaze.csv", Motion(gaze, head, 25))


# --- what works ------------------------------------------------------------------------


def test_help_tells_the_story(capsys):
    assert run("--help") == 0
    text = capsys.readouterr().out
    for word in (
        "doctor",
        "demo",
        "dataset build",
        "train",
        "sample",
        "evaluate",
        "render",
    ):
        assert word in text
    for command in ("train", "sample", "evaluate", "render", "plot", "convert"):
        assert run(command, "--help") == 0
        assert "--" in capsys.readouterr().out


def parsers(parser, name="gazehead"):
    """Name → parser, of all commands and of what is below them."""
    found = {name: parser}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, below in action.choices.items():
                found |= parsers(below, f"{name} {word}")
    return found


def test_help_tells_defaults_only_where_they_say_something():
    found = parsers(cli.build_parser())
    assert {"gazehead benchmark all", "gazehead study make"} <= found.keys()
    for name, parser in found.items():
        text = " ".join(parser.format_help().split())
        for nothing in ("None", "False", "[]"):
            assert f"default: {nothing}" not in text, name
    text = found["gazehead sample"].format_help()
    assert "same seed, same heads (default: 0)" in text
    assert "(default 256)\n" in found["gazehead render"].format_help()
    text = found["gazehead benchmark sample"].format_help()
    assert "(default: 1 64 1024)" in text


@pytest.mark.parametrize("kind", ["sample", "stream", "train", "data", "start", "all"])
def test_help_has_a_text_for_each_option_of_a_benchmark(kind):
    parser = parsers(cli.build_parser())[f"gazehead benchmark {kind}"]
    assert all(action.help for action in parser._actions)


def test_help_says_what_goes_into_an_evaluation():
    found = parsers(cli.build_parser())
    help_of = lambda command, option: next(
        a.help
        for a in found[f"gazehead {command}"]._actions
        if option in a.option_strings
    )
    model = help_of("sample", "--checkpoint")
    assert "packed" in model
    assert help_of("evaluate", "--checkpoint").startswith(model)
    # The fields that driving_gaze.conversational reads.
    fixations = help_of("evaluate", "--conversation")
    for field in (
        ".npz",
        "start",
        "length",
        "duration_ms",
        "segment",
        "x_deg",
        "y_deg",
    ):
        assert field in fixations


def test_sample_writes_each_head(tmp_path, trained, gaze_file, capsys):
    out = tmp_path / "heads.csv"
    arguments = ["--checkpoint", trained, "--gaze", gaze_file, "--out", out]
    assert run("sample", *arguments, "--num-samples", 2, "--seed", 4) == 0
    names = [tmp_path / "heads_0.csv", tmp_path / "heads_1.csv"]
    assert capsys.readouterr().out.split() == [str(n) for n in names]
    first, second = (load_motion(n) for n in names)
    assert len(first) == 100
    assert first.fps == 25
    assert np.abs(first.head - second.head).max() > 1e-4
    assert run("sample", *arguments, "--seed", 4) == 0
    np.testing.assert_allclose(load_motion(out).head, first.head, atol=1e-5)


def test_evaluate_prints_and_writes(tmp_path, trained, small_dataset, capsys):
    arguments = ["--dataset", small_dataset, "--num-samples", 20]
    both = ["--checkpoint", trained, "--checkpoint", f"again={trained}"]
    out = tmp_path / "m.json"
    assert run("evaluate", *both, *arguments, "--out", out) == 0
    printed = capsys.readouterr().out
    assert "tiny-window" in printed
    assert "again" in printed
    assert out.is_file()
    assert out.with_suffix(".md").read_text().count("\n| again |") == 2


def test_train_plot_convert_and_render(tmp_path, trained, gaze_file, capsys):
    assert run("plot", "--kind", "training", "--workdir", trained, "--out",
               tmp_path / "t.png") == 0  # fmt: skip
    # What --workdir is for needs no --kind.
    assert run("plot", "--workdir", trained, "--out", tmp_path / "again.png") == 0
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "t.png").read_bytes()
    pair = ["--motion", gaze_file, "--samples", gaze_file]
    for kind in ("trajectories", "head-share"):
        assert (
            run("plot", "--kind", kind, *pair, "--out", tmp_path / f"{kind}.png") == 0
        )
        assert (tmp_path / f"{kind}.png").stat().st_size > 10_000
    converted = tmp_path / "c.npz"
    assert run("convert", gaze_file, converted, "--fps", 10, "--mirror") == 0
    assert load_motion(converted).fps == 10
    original = load_motion(gaze_file)
    assert load_motion(converted).head[5, 1] * original.head[12, 1] < 0
    two = ["--motion", f"left={gaze_file}", "--motion", f"right={gaze_file}"]
    assert run("render", *two, "--out", tmp_path / "v.mp4", "--size", 64) == 0
    frames = list(read_video(tmp_path / "v.mp4"))
    assert len(frames) == 100
    assert frames[0][1].shape[1] == 128


def test_doctor_says_what_is_missing(monkeypatch, capsys):
    assert run("doctor") == 0
    assert "jaxlib" in capsys.readouterr().out
    versions = {"av": None, "jaxlib": "0.11.1"}
    monkeypatch.setattr(doctor, "_version", lambda name: versions.get(name, "1.0"))
    assert run("doctor") == 2
    text = capsys.readouterr().out
    assert "quadratic" in text
    assert "pip install av" in text


def test_it_runs_as_a_module_and_closes_quietly_on_a_pipe():
    command = f"{sys.executable} -m gazehead_jax dataset list | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.stdout.startswith("gazehead_sample")
    assert done.stderr == ""


# --- what does not ---------------------------------------------------------------------


def table(rows, header="time_s,gaze_pitch_deg,gaze_yaw_deg,valid"):
    return header + "\n" + "\n".join(rows) + "\n"


GOOD_ROWS = [f"{i / 25:.3f},1.0,{i % 7}.0,1" for i in range(50)]
BLIND_ROWS = [f"{i / 25:.3f},1.0,2.0,0" for i in range(50)]

# Name → (file content, what the sentence says). Sampled from a trained checkpoint.
BAD_GAZE = {
    "empty.csv": ("", "empty"),
    "header_only.csv": (table([]).strip() + "\n", "no row"),
    "columns.csv": ("a,b,c\n1,2,3\n", "missing column"),
    "half_a_head.csv": (
        "time_s,gaze_pitch_deg,gaze_yaw_deg,head_yaw_deg\n0,1,1,1\n0.04,1,1,1\n",
        "missing column",
    ),
    "nan.csv": (table(["0,nan,1,1", "0.04,1,1,1"]), "must be finite"),
    "word.csv": (table(["0,up,1,1", "0.04,1,1,1"]), "must be a number"),
    "ragged.csv": (table(["0,1,1,1", "0.04,1"]), "must have 4 cells"),
    "one_frame.csv": (table(["0,1,1,1"]), "one frame"),
    "backwards.csv": (table(["0.04,1,1,1", "0,1,1,1"]), "increasing"),
    "mixed_fps.csv": (table([*GOOD_ROWS, "2.5,1,1,1", "3.5,1,1,1"]), "mixed fps"),
    "blind.csv": (table(BLIND_ROWS), "zero valid"),
    "too_far.csv": (table(["0,1,400,1", "0.04,1,400,1"]), "must lie within ±180°"),
    "binary.csv": (b"\xff\xfe\x00\x01\x02", "not a readable"),
    "not_a_zip.npz": ("hello", "not a readable"),
    "empty.npz": ("", "empty"),
    "gaze.txt": ("hello", "ends in .npz or .csv"),
}


@pytest.mark.parametrize("name", BAD_GAZE)
def test_a_bad_gaze_file_is_one_sentence(tmp_path, trained, capsys, name):
    content, says = BAD_GAZE[name]
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    out = tmp_path / "out" / "head.csv"
    code = run("sample", "--checkpoint", trained, "--gaze", path, "--out", out)
    check_refused(code, capsys, says)
    assert not out.parent.exists() or not list(out.parent.iterdir())


def test_gaze_in_degrees_inside_an_npz_gets_a_hint(tmp_path, trained, capsys):
    motion = Motion(np.zeros((50, 2)), None, 25)
    path = save_motion(tmp_path / "g.npz", motion)
    with np.load(path) as file:
        fields = dict(file) | {"gaze": np.full((50, 2), 12.0)}
    np.savez(path, **fields)
    out = tmp_path / "h.npz"
    code = run("sample", "--checkpoint", trained, "--gaze", path, "--out", out)
    check_refused(code, capsys, "looks like degrees; convert with numpy.deg2rad")


# Arguments → what the sentence says. {…} are filled with good paths.
BAD_ARGUMENTS = [
    (
        "sample --checkpoint {tmp}/none --gaze {gaze} --out {tmp}/h.csv",
        "no such checkpoint",
    ),
    (
        "sample --checkpoint {tmp} --gaze {gaze} --out {tmp}/h.csv",
        "no finished checkpoint",
    ),
    (
        "sample --checkpoint {run} --gaze {tmp}/none.csv --out {tmp}/h.csv",
        "no such file",
    ),
    (
        "sample --checkpoint {run} --gaze {gaze} --out {tmp}/h.txt",
        "ends in .npz or .csv",
    ),
    (
        "sample --checkpoint {run} --gaze {gaze} --out {gaze}/h.csv",
        "could not be written",
    ),
    (
        "sample --checkpoint {run} --gaze {gaze} --out {tmp}/h.csv --num-samples 0",
        "≥ 1",
    ),
    ("sample --checkpoint {run} --gaze {gaze} --out {tmp}/h.csv --seed -1", "≥ 0"),
    ("sample --checkpoint {run} --gaze {gaze} --out {tmp}/h.csv --tempo 3", "--tempo"),
    (
        "sample --checkpoint {run} --gaze {gaze} --out {tmp}/h.csv --style 500",
        "--style must be between -3 and 3 (few people are beyond 2), got 500.",
    ),
    (
        "sample --checkpoint {run} --gaze {gaze} --out {tmp}/h.csv --style 1 -3.5",
        "got 1 -3.5.",
    ),
    (
        "sample --checkpoint {run} --gaze {gaze} --out {tmp}/h.csv --limits 10 0 10",
        "degrees of pitch, yaw and roll, got 10 0 10;",
    ),
    (
        "sample --checkpoint {run} --gaze {gaze} --out {tmp}/h.csv --limits 9 nan 9",
        "got 9 nan 9;",
    ),
    (
        "sample --checkpoint {run} --gaze {gaze} --out {tmp}/h.csv --limits 91 9 9",
        "above 0 and within 90, 180 and 180 degrees",
    ),
    (
        "sample --checkpoint {run} --gaze {gaze} --out {tmp}/h.csv --rest-pose 0 0 181",
        "90, 180 and 180 degrees of pitch, yaw and roll, got 0 0 181.",
    ),
    (
        "sample --checkpoint {run} --gaze {gaze} --out {tmp}/h.csv --rest-pose 91 0 0",
        "got 91 0 0.",
    ),
    ("train --config papre --workdir {tmp}/w", "did you mean 'paper'"),
    ("train --config {tmp}/none.py --workdir {tmp}/w", "there is no experiment"),
    ("train --config paper --workdir {tmp}/w --config.train.step=1", "'train.steps'"),
    ("train --config paper --workdir {tmp}/w --config.train.steps=x", "of type int"),
    ("train --config paper --workdir {tmp}/w --confg.train.steps=1", "unrecognised"),
    (
        "train --config paper --workdir {tmp}/w --config.train.steps 5",
        "write --config.train.steps=5",
    ),
    (
        "evaluate --checkpoint {run} --dataset {data} --config.train.seed -1",
        "write --config.train.seed=-1",
    ),
    ("card --config.train.steps 5", "unrecognised"),
    (
        "train --config paper --workdir {gaze} --config.data.dataset={data}",
        "be written",
    ),
    ("train --config paper --workdir {tmp}/w --config.data.dataset=nothing", "nothing"),
    (
        "train --config paper --workdir {run} --config.data.dataset={data}",
        "another config",
    ),
    (
        "train --config paper --workdir {tmp}/w --config.train.batch_size=3",
        "multiple of",
    ),
    ("dataset build gazehead_smaple", "did you mean 'gazehead_sample'"),
    ("dataset build gazehead_folder --data-dir {tmp}", "your own copy"),
    ("dataset info gazehead_sample --data-dir {tmp}", "is not prepared"),
    ("evaluate --checkpoint {run} --dataset {data} --split tset", "has no split"),
    ("evaluate --checkpoint {run} --dataset {tmp}", "dataset_info.json"),
    (
        "evaluate --checkpoint {run} --checkpoint {run} --dataset {data}",
        "two checkpoints",
    ),
    ("evaluate --checkpoint {run} --dataset {data} --out m.txt", "written as .json"),
    ("evaluate --checkpoint {run} --dataset {data} --num-samples 0", "≥ 1"),
    # Before anything is looked for, let alone run.
    (
        "evaluate --checkpoint {tmp}/none --dataset none --scorecard --figure x.abc",
        "x.abc: a figure's file must end in one of .png",
    ),
    ("render --motion {tmp}/none.csv --out {tmp}/v.mp4", "no such file"),
    ("render --motion {gaze} --out {tmp}/v.mp4 --size 7", "size"),
    ("render --motion {gaze} --out {tmp}/v.txt", ".mp4"),
    ("render --motion {gaze} --motion {gaze} --out {tmp}/v.mp4", "two motions"),
    ("render --motion {gaze} --out {tmp}/v.mp4 --fps 0", "fps"),
    ("plot --motion {gaze} --out {tmp}/p.png", "needs --motion and --samples"),
    (
        "plot --workdir {run} --motion {gaze} --samples {gaze} --out {tmp}/p.png",
        "or give --kind",
    ),
    ("plot --kind training --workdir {tmp} --out {tmp}/p.png", "log.jsonl"),
    ("plot --motion {gaze} --samples {gaze} --out {tmp}/p.bmp", ".png"),
    ("convert {gaze} {tmp}/c.npz --fps -3", "fps must be positive"),
    ("convert {gaze} {tmp}/c.wav", "ends in .npz or .csv"),
    ("sampel --checkpoint x", "invalid choice"),
    ("", "required"),
]


@pytest.mark.parametrize(("line", "says"), BAD_ARGUMENTS)
def test_bad_arguments_are_one_sentence(
    tmp_path, trained, small_dataset, gaze_file, capsys, line, says
):
    places = {"tmp": tmp_path, "run": trained, "gaze": gaze_file, "data": small_dataset}
    before = {p.name for p in tmp_path.iterdir()}
    code = run(*(part.format(**places) for part in line.split()))
    check_refused(code, capsys, says)
    made = {p.name for p in tmp_path.iterdir()} - before
    files = [
        f for name in made for f in [tmp_path / name, *(tmp_path / name).rglob("*")]
    ]
    assert not [f for f in files if f.is_file()]


# Arguments → what would be replaced. {a} is a motion, {link} a link to it, {model} a
# packed model and {video} a video.
REPLACING = [
    ("sample --gaze {a} --out {a}", "the gaze it is made from; name another file."),
    ("sample --gaze {a} --out {tmp}/sub/../a_1.csv", "the gaze"),
    ("sample --gaze {a} --out {link}", "the gaze"),
    ("sample --gaze {a} --out {tmp}/a.csv --num-samples 2", "a_1.csv: --out would"),
    ("convert {a} {a}", "the output would replace the file it is made from"),
    ("convert {a} {link} --mirror", "the file"),
    ("pack --checkpoint {model} --out {model}", "the model"),
    ("render --motion {a} --reference {video} --out {video}", "the video"),
    ("render --motion {a} --audio {video} --out {video}", "the video"),
]


@pytest.mark.parametrize(("line", "says"), REPLACING)
def test_no_input_is_replaced(tmp_path, gaze_file, capsys, line, says):
    places = {
        "tmp": tmp_path,
        "a": gaze_file.rename(tmp_path / "a_1.csv"),
        "link": tmp_path / "link.csv",
        "model": tmp_path / "model.npz",
        "video": tmp_path / "video.mp4",
    }
    (tmp_path / "sub").mkdir()
    places["link"].symlink_to(places["a"])
    places["model"].write_text("not read")
    places["video"].write_text("not read")
    before = {p: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}
    code = run(*(part.format(**places) for part in line.split()))
    check_refused(code, capsys, says)
    assert before == {p: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}


def test_what_figures_need_is_missed_before_a_long_run(monkeypatch, capsys):
    for name in list(sys.modules):
        if name.split(".")[0] == "matplotlib":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    line = "evaluate --checkpoint none --dataset none --scorecard --figure x.png"
    check_refused(run(*line.split()), capsys, "pip install matplotlib")


def test_an_override_with_a_space_is_no_puzzle(tmp_path, capsys):
    line = ["--config", "paper", "--workdir", tmp_path, "--config.train.steps", "5"]
    assert run("train", *line) == 2
    message = capsys.readouterr().err
    assert "usage:" not in message
    assert message.count("\n") == 1


def check_refused(code, capsys, says):
    message = capsys.readouterr().err
    assert code == 2, message
    assert says in message
    assert "Traceback" not in message
    errors = [line for line in message.splitlines() if "error:" in line]
    assert len(errors) == 1


def test_there_are_enough_bad_inputs():
    assert len(BAD_GAZE) + len(BAD_ARGUMENTS) >= 30


@pytest.mark.slow
def test_the_demo_makes_what_it_promises(tmp_path, monkeypatch, capsys):
    """The real thing with a few steps of training, few samples and a shorter clip."""
    from gazehead_jax.demo import demo

    monkeypatch.setattr("gazehead_jax.demo.SAMPLES", 6)
    monkeypatch.setattr("gazehead_jax.demo.CLIP_S", 8.0)
    experiment = tmp_path / "quick.py"
    experiment.write_text(
        "from gazehead_jax.config import load_experiment\n"
        "def get_config():\n"
        "    return load_experiment('demo', ['train.steps=50', 'train.eval_every=50',\n"
        "        'train.checkpoint_every=50', 'model.hidden=16'])\n"
    )
    out = demo(tmp_path / "out", experiment=str(experiment))
    for name in ("demo.mp4", "demo.gif", "metrics.json", "metrics.md", "trajectories.png",
                 "head_share.png", "training.png"):  # fmt: skip
        assert (out / name).stat().st_size > 1000, name
    # It shows 2 s; the 6 s of the real one are to stay about 3 MB.
    assert (out / "demo.gif").stat().st_size < 1.1e6
    for name in ("real", "natural_0", "demo_0", "mirror_gaze"):
        a, b = (load_motion(out / "motion" / f"{name}{s}") for s in (".npz", ".csv"))
        np.testing.assert_allclose(a.head, b.head, atol=1e-6)
    with (out / "motion" / "natural_0.csv").open() as file:
        assert next(csv.reader(file))[0] == "time_s"
    text = capsys.readouterr().out
    assert "[6/6]" in text
    assert "next:" in text
    assert len(os.listdir(out / "model" / "checkpoints")) >= 1
