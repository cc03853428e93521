"""Evaluation: real is perfect, the columns are there, ground truth is found."""

import json
import re

import numpy as np
import pytest
from conftest import random_checkpoint

from gazehead_jax import build, evaluation, tables
from gazehead_jax.baselines import BASELINES
from gazehead_jax.checkpoint import load
from gazehead_jax.errors import GazeheadError
from gazehead_jax.evaluation import Evaluation, evaluate
from gazehead_jax.motion import Motion


@pytest.fixture(scope="module")
def found(trained, small_dataset):
    return evaluate(load(trained), small_dataset, "test", num_samples=20)


def test_every_method_is_scored(found):
    assert list(found.rows) == ["real", *BASELINES, "tiny-window"]
    assert found.about["windows"] > 10
    assert found.about["people"] == 2
    for title, columns in tables.TABLES.items():
        for keys, _ in columns.values():
            for key in keys:
                assert key in found.rows["tiny-window"], (title, key)


def test_real_heads_score_perfectly(found):
    real = found.rows["real"]
    assert real["angular_error_deg"] == pytest.approx(0, abs=1e-4)
    assert real["correlation_yaw"] == pytest.approx(1)
    assert real["jerk_ratio"] == pytest.approx(1)
    assert real["variance_ratio_pitch"] == pytest.approx(1)
    assert abs(real["correlation_yaw_shuffled"]) < 0.5
    assert found.rows["constant_head"]["jerk_ratio"] == 0


def test_intervals_hold_their_values(trained, small_dataset, found, monkeypatch):
    assert not found.intervals  # two people are too few for any
    monkeypatch.setattr(evaluation, "MIN_PEOPLE", 2)
    found = evaluate(load(trained), small_dataset, "test", num_samples=20)
    row, intervals = found.rows["tiny-window"], found.intervals["tiny-window"]
    for key in ("angular_error_deg", "energy_score_deg", "coverage90_yaw"):
        low, high = intervals[key]
        assert low - 1e-9 <= row[key] <= high + 1e-9


def test_the_shuffled_control_uses_another_windows_heads():
    """Heads that follow their gaze exactly: correlation 1, control near 0."""
    rng = np.random.default_rng(0)
    windows = []
    for i in range(40):
        path = np.cumsum(rng.normal(0, 0.02, (32, 3)), 0)
        windows.append(Motion(path[:, :2], path, 5, subject=str(i)))
    others = evaluation.other_windows(windows, 0)
    assert all(i != j for i, j in enumerate(others))
    follow = lambda context, motion, n, seed: motion.gaze[None]
    scores = evaluation.score_windows(follow, windows, others, 2, 1, 0, 2)
    assert np.mean([s["correlation_yaw"] for s in scores]) == pytest.approx(1)
    assert abs(np.mean([s["correlation_yaw_shuffled"] for s in scores])) < 0.25


def test_the_truth_of_the_simulator_is_found(tmp_path_factory):
    """The lag that was put in is the one in the table, on whole sequences."""
    folder = tmp_path_factory.mktemp("clean")
    options = {"train_people": 2, "validation_people": 1, "test_people": 3}
    builder = build.prepare(
        "gazehead_synthetic/clean", folder, sequences=1, seconds=120.0, **options
    )
    motions = build.open_split(builder.data_dir, "test")
    truth = np.median([motions[i].meta["velocity_lag_s"] for i in range(3)])
    real = evaluation._score_whole(evaluation.real_predictor(2), list(motions), 2, 1, 0)
    assert real["whole_lag_yaw_s"] == pytest.approx(truth, abs=0.04)
    assert real["num_shifts"] > 50


def test_the_control_keeps_the_context():
    """Heads that only continue their context: no more correlated than the control."""
    rng = np.random.default_rng(0)
    path = np.cumsum(rng.normal(0, 0.02, (40, 32, 3)), 1)
    windows = [Motion(p[:, :2], p, 5, subject=str(i // 4)) for i, p in enumerate(path)]
    others = evaluation.other_windows(windows, 1)
    people = [w.subject for w in windows]
    assert all(people[i] != people[j] for i, j in enumerate(others))

    def go_on(context, motion, n, seed):
        speed = context.head[-1] - context.head[-2]
        steps = np.arange(1, len(motion) + 1)[:, None]
        return (context.head[-1] + steps * speed)[None, :, :2]

    scores = evaluation.score_windows(go_on, windows, others, 2, 1, 0, 2)
    for s in scores:
        assert s["correlation_yaw"] == pytest.approx(s["correlation_yaw_shuffled"])


def test_slow_rates_have_no_lag_or_head_share(found):
    for row in found.rows.values():
        assert np.isnan(row["whole_lag_yaw_s"])
        assert np.isnan(row["share_slope_yaw"])


def test_it_is_saved_as_strict_json_and_printed(found, tmp_path, capsys):
    path = found.save(tmp_path / "m.json")
    saved = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert saved["rows"]["real"]["angular_error_deg"] == pytest.approx(0, abs=1e-4)
    assert saved["rows"]["real"]["apd_deg2"] is None
    tables.print_tables(found)
    out = capsys.readouterr().out
    assert "mirror gaze" in out
    assert "…" not in out
    text = tables.to_markdown(found)
    # At 5 fps there is nothing to put into the third.
    assert text.count("| real |") == len(tables.TABLES) - 1
    assert "nan" not in text


@pytest.mark.parametrize("width", [80, 100, 120])
def test_tables_read_well_in_a_terminal(found, width, monkeypatch, capsys):
    """Of usual width: whole headings, a line for each method, all columns."""
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    # All the tables, as of a faster rate.
    values = {
        keys[0]: -12.345 for c in tables.TABLES.values() for keys, _ in c.values()
    }
    values |= {keys[-1]: -1.5 for c in tables.TABLES.values() for keys, _ in c.values()}
    rows = {name: values for name in found.rows}
    tables.print_tables(Evaluation(found.about, rows, {}))
    text = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in text
    # A row that broke in two would have a part without a name.
    names = [line.split("│")[1].strip() for line in lines if line.startswith("│")]
    assert {name.replace(" ", "_") for name in names} == {*rows}
    titles = [line for line in lines if line[:1] not in "│┃┏┡└"]
    assert any(line.startswith("What keeps it honest (continued)") for line in titles)
    heads = [line.strip("┃").split("┃") for line in lines if line.startswith("┃")]
    words = {word for cells in heads for cell in cells for word in cell.split()}
    for columns in tables.TABLES.values():
        assert {word for heading in columns for word in heading.split()} <= words


def test_undefined_numbers_are_dashes():
    empty = Evaluation({}, {"x": {"jerk_ratio": float("nan")}}, {})
    _, rows = tables.table_rows(empty, "What keeps it honest")
    assert rows[0][1] == "– / –"


def test_models_of_different_rates_are_refused(found, trained, small_dataset):
    import dataclasses

    first = load(trained)
    data = dataclasses.replace(first.config.data, fps=25.0)
    other = dataclasses.replace(
        first, config=dataclasses.replace(first.config, data=data)
    )
    with pytest.raises(GazeheadError, match="must share a frame rate"):
        evaluate({"a": first, "b": other}, small_dataset, "test")


def test_too_little_data_is_told(trained, small_dataset):
    with pytest.raises(GazeheadError, match="at least two valid windows"):
        evaluate(load(trained), small_dataset, "test", window_s=300.0)
    with pytest.raises(GazeheadError, match="num_samples must be"):
        evaluate(random_checkpoint("window"), small_dataset, "test", num_samples=0)
    with pytest.raises(GazeheadError, match="has no split"):
        evaluate(random_checkpoint("window"), small_dataset, "tset")
