"""Models in one file, and those that come with the package."""

import json

import jax
import numpy as np
import pytest
from conftest import random_checkpoint

import gazehead_jax
from gazehead_jax import checkpoint as checkpoints
from gazehead_jax.checkpoint import card, load, pack
from gazehead_jax.cli import main
from gazehead_jax.errors import GazeheadError
from gazehead_jax.motion import Motion
from gazehead_jax.sampling import sample
from gazehead_jax.weights import file_hash


@pytest.mark.parametrize("kind", ["window", "natural"])
def test_a_packed_model_is_the_model(tmp_path, kind):
    model = random_checkpoint(kind)
    path = pack(model, tmp_path / "model.npz")
    found = load(path)
    assert found.config == model.config
    assert found.normaliser.to_dict() == model.normaliser.to_dict()
    jax.tree.map(np.testing.assert_array_equal, found.params, model.params)
    assert jax.tree.structure(found.params) == jax.tree.structure(model.params)


def test_the_same_model_gives_the_same_bytes(tmp_path):
    paths = [pack(random_checkpoint("window"), tmp_path / f"{i}.npz") for i in (1, 2)]
    assert file_hash(paths[0]) == file_hash(paths[1])


def test_bad_files_are_refused(tmp_path):
    with pytest.raises(GazeheadError, match=r"a packed model is an \.npz"):
        pack(random_checkpoint("window"), tmp_path / "model.pkl")
    path = tmp_path / "broken.npz"
    path.write_bytes(b"not a zip")
    with pytest.raises(GazeheadError, match="not a packed model"):
        load(path)
    np.savez(path, gaze=np.zeros(3))
    with pytest.raises(GazeheadError, match="not a packed model"):
        load(path)
    whole = pack(random_checkpoint("window"), tmp_path / "whole.npz")
    with np.load(whole) as file:
        arrays = dict(file)
    np.savez(path, **(arrays | {"about": json.dumps({"format": 99})}))
    with pytest.raises(GazeheadError, match="written by another version"):
        load(path)
    arrays.pop(next(name for name in arrays if name != "about"))
    np.savez(path, **arrays)
    with pytest.raises(GazeheadError, match="do not fit the config"):
        load(path)
    path.write_bytes(whole.read_bytes()[:500])
    with pytest.raises(GazeheadError, match="not a packed model"):
        load(path)


def test_a_file_with_wrong_bytes_is_refused_wherever_they_are(tmp_path):
    whole = checkpoints.SHIPPED_FOLDER / "natural.npz"
    content, path = whole.read_bytes(), tmp_path / "model.npz"
    refused = 0
    for place in range(len(content) // 40, len(content), len(content) // 40):
        flipped = bytes(b ^ 255 for b in content[place : place + 2])
        path.write_bytes(content[:place] + flipped + content[place + 2 :])
        try:
            load(path)
        except GazeheadError:
            refused += 1
    assert refused > 30


def test_a_checkpoint_without_a_finite_loss_is_never_the_best(tmp_path):
    for step, loss in ((1, "NaN"), (2, "0.5"), (3, "0.7")):
        folder = tmp_path / "checkpoints" / str(step) / "metrics"
        folder.mkdir(parents=True)
        (folder / "metrics").write_text(f'{{"loss": {loss}}}')
    assert checkpoints._step_folder(tmp_path, "best").name == "2"


# --- what comes with the package ------------------------------------------------------


@pytest.mark.parametrize("name", checkpoints.SHIPPED)
def test_shipped_models_are_small_and_whole(name):
    path = checkpoints.SHIPPED_FOLDER / f"{name}.npz"
    assert path.stat().st_size <= 3e6
    assert file_hash(path) == checkpoints.SHIPPED[name]
    text = card(name)
    for part in ("## Data", "## Limits", "## Intended use", "licences", "style_axis"):
        assert part in text
    model = load(name)
    assert model.name == name
    # Data that may not be used commercially must not be in it.
    assert set(model.provenance["licences"]) <= {"MIT", "Apache-2.0", "CC-BY-4.0"}


def test_the_shipped_model_is_the_default(tmp_path, capsys):
    gaze = tmp_path / "gaze.csv"
    lines = [f"{i / 30:.4f},0,{20 if i > 15 else 0}" for i in range(90)]
    gaze.write_text("time_s,gaze_pitch_deg,gaze_yaw_deg\n" + "\n".join(lines))
    out = tmp_path / "head.csv"
    assert main(["sample", "--gaze", str(gaze), "--out", str(out)]) == 0
    captured = capsys.readouterr()
    assert captured.out.strip() == str(out)
    assert "licences" in captured.err
    assert main(["card"]) == 0
    assert "## Intended use" in capsys.readouterr().out


def test_the_shipped_head_turns_where_the_eyes_go():
    """To the left for gaze to the left, less at once than in a second, with style."""
    gaze = np.zeros((90, 2))
    gaze[30:, 1] = np.deg2rad(15)
    model = gazehead_jax.load("natural")
    motion = Motion(gaze, None, 30.0)
    ends = {}
    for style in (-2.0, None, 2.0):
        made = sample(model, motion, num_samples=16, seed=0, style=style)
        yaw = np.rad2deg(np.stack([m.head[:, 1] for m in made]))
        assert abs(yaw[:, 20].mean()) < 5
        assert 5 < yaw[:, -1].mean() < 20
        assert yaw[:, 33].mean() < yaw[:, -1].mean()
        ends[style] = yaw[:, -1].mean()
    assert ends[-2.0] < ends[2.0] - 2
    mirrored = sample(
        model, motion.replace(gaze=gaze * [1, -1]), num_samples=16, seed=0
    )
    assert np.mean([m.head[-1, 1] for m in mirrored]) < -np.deg2rad(5)


def test_pack_on_the_command_line(tmp_path, capsys):
    source = pack(random_checkpoint("natural"), tmp_path / "a.npz")
    out = tmp_path / "b.npz"
    assert main(["pack", "--checkpoint", str(source), "--out", str(out)]) == 0
    assert file_hash(out) in capsys.readouterr().out
    assert len(load(out).provenance["style_axis"]["direction"]) == 2
    assert "provenance" in card(out)
    assert main(["card", "--checkpoint", str(tmp_path / "none")]) == 2
    assert "no model of this name comes with the package" in capsys.readouterr().err
