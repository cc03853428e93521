"""Configs: strict overrides, JSON round trip, rules."""

import json

import pytest

from gazehead_jax.config import Config, load_experiment, override
from gazehead_jax.errors import GazeheadError


def test_overrides_are_typed_by_their_field():
    config = override(
        Config(),
        {
            "optimizer.learning_rate": "3e-4",
            "train.steps": "1e4",
            "data.mirror": "false",
            "model.prior": "learned",
            "data.fps": 25,
            "name": "mine",
        },
    )
    assert config.optimizer.learning_rate == 3e-4
    assert config.train.steps == 10_000
    assert config.data.mirror is False
    assert config.model.prior == "learned"
    assert config.data.fps == 25.0
    assert config.name == "mine"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"optimizer.learning_rat": "1"}, "did you mean 'optimizer.learning_rate'"),
        ({"optimiser.learning_rate": "1"}, "did you mean 'optimizer.learning_rate'"),
        ({"learning_rate": "1"}, "did you mean 'optimizer.learning_rate'"),
        ({"train": "1"}, "there is no field 'train'"),
        ({"train.steps": "many"}, "must be of type int"),
        ({"train.steps": "0.5"}, "must be of type int"),
        ({"train.steps": "True"}, "must be of type int"),
        ({"data.mirror": "1"}, "must be of type bool"),
        ({"model.prior": "normal"}, "must be one of standard, learned"),
        ({"model.head_dim": "4"}, "must be one of 2, 3"),
        ({"model.hidden": "0"}, "model.hidden must be ≥ 1"),
        ({"optimizer.learning_rate": "0"}, "must be > 0"),
        ({"optimizer.learning_rate": "nan"}, "must be of type float|must be > 0"),
        ({"data.min_valid": "1.5"}, r"must be in \[0, 1\]"),
        ({"data.horizon": "13"}, "multiple of model.period"),
        ({"model.context": "0", "model.increments": "true"}, "needs model.context"),
        ({"train.steps": "77"}, "multiple of train.steps_per_call"),
        ({"model.style": "2"}, "only a natural model has styles"),
        ({"model.lookahead": "2"}, "only a natural model looks ahead"),
    ],
)
def test_a_bad_override_is_refused(change, says):
    with pytest.raises(GazeheadError, match=says):
        override(Config(), change)


def test_changes_that_belong_together_are_checked_together():
    config = override(Config(), {"data.horizon": 10, "model.period": 5})
    assert (config.data.horizon, config.model.period) == (10, 5)


def test_json_there_and_back():
    config = override(Config(), {"model.hidden": 7, "loss.beta": 0.25, "name": "x"})
    assert Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize("name", ["paper", "demo", "no_temporal", "no_context"])
def test_every_shipped_experiment_loads_by_name(name):
    config = load_experiment(name, ["train.seed=3"])
    assert config.name == name
    assert config.train.seed == 3


def test_the_paper_is_the_paper():
    c = load_experiment("paper")
    assert (c.data.fps, c.data.horizon, c.model.latent, c.model.context) == (
        5,
        12,
        128,
        2,
    )
    assert (c.train.steps, c.train.batch_size) == (60_000, 64)
    assert c.optimizer.learning_rate == 5e-5
    assert c.loss.beta == 1
    assert c.model.prior == "standard"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x = 1", "must define get_config"),
        ("def get_config():\n  return 3", "must return a gazehead_jax.config.Config"),
        ("import nothing_like_this", "could not be run: ModuleNotFoundError"),
        ("def (", "could not be run: SyntaxError"),
    ],
)
def test_a_bad_experiment_file_is_told_apart(tmp_path, text, says):
    path = tmp_path / "e.py"
    path.write_text(text)
    with pytest.raises(GazeheadError, match=says):
        load_experiment(str(path))


def test_an_unknown_experiment_names_the_nearest():
    with pytest.raises(GazeheadError, match="did you mean 'paper'"):
        load_experiment("papre")
    with pytest.raises(GazeheadError, match="reads name=value"):
        load_experiment("paper", ["train.steps"])
