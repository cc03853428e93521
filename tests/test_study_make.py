"""Making a study: what is handed out, what is kept back, and bad input."""

import json
import re

import numpy as np
import pytest
from study_files import CONTACT, motion, write_conditions

from gazehead_jax import cli
from gazehead_jax.errors import GazeheadError
from gazehead_jax.generators import make_generator
from gazehead_jax.motion import Motion
from gazehead_jax.motion_io import save_motion
from gazehead_jax.study import clips, make
from gazehead_jax.study.results import load_key
from gazehead_jax.video import read_video, write_video

LABELS = ("real", "natural", "rule_based")


SMALL = make_generator(size=64, supersample=1)
PLAIN = {"contact": "me", "generator": SMALL}


def frames_of(path):
    return np.stack([frame for _, frame in read_video(path)])


def alike(one, other) -> bool:
    """But for what x264's threads decide."""
    return bool(np.abs(one.astype(float) - other).mean() < 2)


def site_text(site):
    return "".join(p.read_text() for p in site.iterdir() if p.is_file())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    conditions = write_conditions(folder, LABELS)
    study = make.make_study(
        conditions, folder / "out", contact=CONTACT, generator=SMALL, checks=2
    )
    return study, conditions


def test_the_site_is_whole_and_reaches_for_nothing_else(made):
    study, _ = made
    page = (study.site / "index.html").read_text()
    for file in re.findall(r'(?:src|href)="([^"]+)"', page):
        assert (study.site / file).is_file()
    assert not re.search(r"https?:|//cdn|import |fetch\(", site_text(study.site))
    for file in study.site.glob("clips/*"):
        assert len(frames_of(file)) == 20
    assert study.trials == 3 * 2 + 2


def test_nothing_handed_out_tells_conditions_apart(made):
    study, _ = made
    names = [p.stem for p in study.site.rglob("*")]
    text = site_text(study.site) + " ".join(names)
    for word in (*LABELS, "clip0", "clip1"):
        assert not re.search(rf"\b{word}\b", text), word
    # Names follow what is shown and the seed, not the order of the conditions.
    key = load_key(study.key)
    owners = [key.clips[name][0] for name in sorted(key.clips)]
    assert owners != sorted(owners)
    assert not {p.name for p in study.site.rglob("*")} & {"key.json"}
    for file in study.site.glob("clips/*"):
        assert file.suffix == ".mp4"
        assert not re.search(rb"rule|natural|gazehead", file.read_bytes())


def test_the_key_tells_what_each_clip_is(made):
    study, conditions = made
    key = load_key(study.key)
    assert key.conditions == LABELS
    assert key.pairs == ((0, 1), (0, 2), (1, 2))
    assert len(key.clips) == 6
    for name, (condition, clip) in key.clips.items():
        alone = study.site.parent / "alone.mp4"
        source = conditions[LABELS[condition]] / f"{clip}.npz"
        read = clips.read_clips({"x": source})["x"][0]
        read.write(alone, SMALL)
        shown = frames_of(study.site / "clips" / f"{name}.mp4")
        assert alike(frames_of(alone), shown)


def test_a_broken_clip_jumps_and_its_original_does_not(made):
    study, _ = made
    key = load_key(study.key)
    assert len(key.broken) == 2
    for broken, good in key.broken.items():
        assert key.clips[good][0] == 0
        jump = {}
        for name in (broken, good):
            shown = frames_of(study.site / "clips" / f"{name}.mp4").astype(float)
            jump[name] = np.abs(np.diff(shown, axis=0)).mean((1, 2, 3)).max()
        assert jump[broken] > 5 * jump[good]


def test_the_same_input_makes_the_same_study(tmp_path, made):
    study, conditions = made
    options = {"contact": CONTACT, "generator": SMALL, "checks": 2}
    again = make.make_study(conditions, tmp_path / "again", **options)
    assert again.key.read_bytes() == study.key.read_bytes()
    for file in study.site.rglob("*.*"):
        copy = again.site / file.relative_to(study.site)
        if file.suffix == ".mp4":
            assert alike(frames_of(copy), frames_of(file))
        else:
            assert copy.read_bytes() == file.read_bytes()
    other = make.make_study(conditions, tmp_path / "other", seed=1, **options)
    assert load_key(other.key).study != load_key(study.key).study
    assert not {*load_key(other.key).clips} & {*load_key(study.key).clips}


def test_heads_differ_eyes_and_blinks_do_not(tmp_path):
    base = motion(0)
    valid = np.ones(20, bool)
    valid[5:8] = False
    rounded = base.replace(gaze=base.gaze + np.float32(1e-5), head=base.head * 2)
    save_motion(tmp_path / "a.npz", base)
    save_motion(tmp_path / "b.npz", rounded.replace(valid=valid))
    read = clips.read_clips({"a": tmp_path / "a.npz", "b": tmp_path / "b.npz"})
    (a,), (b,) = read["a"], read["b"]
    np.testing.assert_array_equal(a.source.gaze, b.source.gaze)
    np.testing.assert_array_equal(a.source.valid, valid)
    np.testing.assert_array_equal(b.source.valid, valid)
    np.testing.assert_array_equal(b.source.head, rounded.head)


def test_excerpts_are_cut_alike_and_spread_evenly(tmp_path):
    conditions = write_conditions(tmp_path, frames=100, clips=1)
    read = clips.read_clips(conditions, seconds=1.0, excerpts=2)
    whole = motion(0, 100, 0.1)
    for label, start in (("real", 12), ("model", 12)):
        first, second = read[label]
        assert (first.name, second.name) == ("clip0/0", "clip0/1")
        np.testing.assert_array_equal(first.source.gaze, whole.gaze[start : start + 25])
        np.testing.assert_array_equal(second.source.gaze, whole.gaze[62:87])
    np.testing.assert_array_equal(read["model"][1].source.head, whole.head[62:87])


def test_reference_per_pair_and_three_grades(tmp_path):
    conditions = write_conditions(tmp_path, LABELS)
    study = make.make_study(
        conditions,
        tmp_path / "out",
        contact="me",
        reference="natural",
        per_pair=1,
        grades=3,
        checks=1,
        generator=SMALL,
        consent="One.\n\nTwo {minutes}.",
    )
    key = load_key(study.key)
    assert key.pairs == ((0, 1), (1, 2))
    assert (key.per_pair, key.grades, study.trials) == (1, 3, 3)
    text = (study.site / "study.js").read_text()
    public = json.loads(text.removeprefix("const STUDY = ").rstrip(";\n"))
    assert public["consent"] == ["One.", "Two {minutes}."]
    assert [g["value"] for g in public["grades"]] == [-1, 0, 1]


def test_ready_videos_pass_one_encoder(tmp_path):
    rng = np.random.default_rng(0)
    for label, size in (("one", (65, 49)), ("two", (64, 48))):
        # Noise of its own above, a dark half below.
        height, width = (n // 2 * 2 for n in size)
        pictures = np.full((20, height, width, 3), 20, np.uint8)
        pictures[:, : height // 2] = rng.integers(150, 250)
        write_video(tmp_path / label / "x.mp4", list(pictures), fps=25)
    conditions = {k: tmp_path / k for k in ("one", "two")}
    study = make.make_study(
        conditions, tmp_path / "out", contact="me", checks=1, generator=SMALL
    )
    key = load_key(study.key)
    ((broken, good),) = key.broken.items()
    above = lambda f: f[:, :10].mean((1, 2, 3)) > f[:, -10:].mean((1, 2, 3))
    assert above(frames_of(study.site / "clips" / f"{good}.mp4")).all()
    upright = above(frames_of(study.site / "clips" / f"{broken}.mp4"))
    assert upright.tolist() == [t / 25 // 0.3 % 2 == 0 for t in range(20)]


def test_no_half_study_is_left(tmp_path, monkeypatch):
    conditions = write_conditions(tmp_path)
    monkeypatch.setattr(clips.Clip, "write", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        make.make_study(conditions, tmp_path / "out", contact="me", generator=SMALL)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model", "real"]


def still(folder, name="clip0", **changes):
    return save_motion(folder / f"{name}.npz", motion(0).replace(**changes))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: still(d / "model", gaze=motion(5).gaze), "gaze must be the same"),
        (lambda d: still(d / "model", head=None), "gaze but no head"),
        (lambda d: still(d / "model", fps=30), "equally long"),
        (lambda d: still(d / "model", "another"), "same names"),
        (lambda d: (d / "real" / "clip0.mp4").write_bytes(b"x"), "differ by more than"),
        (lambda d: (d / "model" / "m.mp4").write_bytes(b"x"), "got both"),
    ],
)
def test_clips_that_do_not_belong_together(tmp_path, change, message):
    conditions = write_conditions(tmp_path, clips=1)
    change(tmp_path)
    with pytest.raises(GazeheadError, match=message):
        make.make_study(conditions, tmp_path / "out", contact="me", generator=SMALL)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"contact": " "}, "--contact must not be empty"),
        ({"reference": "nobody"}, "--reference must be one of"),
        ({"per_pair": 3}, "--per-pair must be 1 to 2"),
        ({"checks": 0}, "--checks must be 1 to 20"),
        ({"grades": 4}, "--grades must be 3 or 5"),
        ({"seconds": 5.0}, "ask for fewer or shorter"),
        ({"excerpts": 2}, "--excerpts needs --seconds"),
        ({"seconds": 0.1}, "must last .2 to 60 s"),
        ({"consent": " \n\n "}, "consent text must not be empty"),
    ],
)
def test_options_out_of_range(tmp_path, options, message):
    conditions = write_conditions(tmp_path)
    with pytest.raises(GazeheadError, match=message):
        make.make_study(conditions, tmp_path / "out", **PLAIN | options)
    assert not (tmp_path / "out").exists()


def test_one_sentence_on_the_command_line(tmp_path, capsys):
    conditions = write_conditions(tmp_path)
    given = [f"{label}={path}" for label, path in conditions.items()]
    rest = ["--out", str(tmp_path / "out"), "--contact", "me", "--size", "64"]
    for arguments, message in (
        (["study"], "study needs one of"),
        (["study", "make", given[0], *rest], "compares 2 to 8 conditions"),
        (["study", "make", str(tmp_path / "real"), *rest], "is given as LABEL=PATH"),
        (["study", "make", given[0], given[0], *rest], "two conditions are labelled"),
        (["study", "make", given[0], "x=/nowhere/*", *rest], "there is no motion file"),
        (["study", "make", *given, *rest, "--consent", "/no"], "could not be read"),
        (["study", "make", *given, *rest, "--size", "63"], "an even number of pixels"),
    ):
        assert cli.main(arguments) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert cli.main(["study", "make", *given, *rest, "--checks", "1"]) == 0
    printed = capsys.readouterr()
    assert str(tmp_path / "out" / "key.json") in printed.out
    assert "3 pairs" in printed.out
    assert cli.main(["study", "make", *given, *rest]) == 2
    assert "is there already" in capsys.readouterr().err


def test_motion_of_no_valid_frame(tmp_path):
    lost = Motion(motion(0).gaze, motion(0).head, 25, valid=np.zeros(20, bool))
    for label in ("a", "b"):
        save_motion(tmp_path / f"{label}.npz", lost)
    with pytest.raises(GazeheadError, match="no valid frame"):
        clips.read_clips({"a": tmp_path / "a.npz", "b": tmp_path / "b.npz"})
