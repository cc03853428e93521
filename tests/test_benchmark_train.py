"""The training benchmark: PyTorch takes our steps, and what is counted is counted right."""

import dataclasses
import json

import numpy as np
import pytest

from gazehead_jax import parallel
from gazehead_jax.benchmarks import contest, train
from gazehead_jax.config import load_experiment, override
from gazehead_jax.errors import GazeheadError

STEPS = 4


@pytest.fixture
def case(tmp_path, monkeypatch):
    # The runner adds to it, for the process that it usually has for itself.
    monkeypatch.setenv("XLA_FLAGS", "")
    train.write_case(tmp_path, batch=8, steps=STEPS, hidden=12)
    return tmp_path


def test_pytorch_takes_our_steps(case):
    pytest.importorskip("torch", reason="what training is timed against")
    from gazehead_jax.benchmarks.rivals.torch_training import TorchTraining

    ours = train.Ours(str(case), 2, "pmap")
    first = ours.shown(ours.run())
    # Losses that move, and every weight with them.
    assert np.ptp(first[:STEPS]) > 1e-3
    assert (first[STEPS:] != 0).mean() > 0.99
    for form in ("gru", "cell"):
        rival = TorchTraining(str(case), form)
        rival.settle()
        assert train.apart(first, rival.shown(rival.run()), STEPS) < 1e-4


def test_shown_begins_anew(case):
    ours = train.Ours(str(case), 2, "jit")
    once = ours.shown(ours.run())
    later = ours.run()
    np.testing.assert_array_equal(ours.shown(later), once)
    assert not np.array_equal(later, once[:STEPS])


def test_steps_that_differ_are_not_timed():
    ours = np.array([2.0, 1.0, 0.3, 0.4])
    assert train.apart(ours, ours, 2) == 0
    assert train.apart(ours, np.array([2.0, 1.1, 0.3, 0.4]), 2) == pytest.approx(0.1)
    other = np.array([2.0, 1.0, 0.3, 0.0])
    assert train.apart(ours, other, 2) == pytest.approx(0.8)
    work = contest.Contest(
        "steps", "steps", 1, {}, train.TOLERANCE, lambda a, b: train.apart(a, b, 2)
    )
    with pytest.raises(GazeheadError, match="b does not compute what a does"):
        contest.distances(work, {"a": ours, "b": other})


def test_arithmetic_is_counted_as_by_hand():
    facts = {"batch": 2, "hidden": 3, "latent": 5, "frames": 4, "context": 2}
    encoder = 9 * (4 * (3 + 2 + 2 + 1) + 2 * 2 + 2) + 3 * 10
    decoder = 9 * (4 * (3 + 2) + 5 + 4) + 4 * 3 * 2
    assert train.flops(facts) == 3 * 2 * 2 * (encoder + decoder)


@pytest.mark.slow
def test_a_run_tells_ratios_scaling_and_the_whole_recipe(tmp_path):
    report = train.benchmark((8,), (), (1, 2), steps=3, count=1, seconds=0.01, hidden=8)
    facts = json.loads(report.write(tmp_path).with_suffix(".json").read_text())
    (result,) = facts["results"]
    names = [e["name"] for e in result["entries"]]
    assert names == [
        "gazehead_jax",
        "gazehead_jax, 2 host devices",
        "gazehead_jax, jit",
    ]
    rate = result["entries"][0]["rate"]
    assert facts["minutes_of_the_recipe"] == pytest.approx(1000 / rate)
    assert 0 < result["share"] < 1
    assert not report.failures


def test_a_floor_is_held_against_the_best_pytorch():
    ours = contest.Entry(contest.OURS, 100.0, 1.0, 0.0, 0)
    rivals = [
        dataclasses.replace(ours, name=n, ratio=r)
        for n, r in (("torch nn.GRU", 1.2), ("torch nn.GRUCell", 1.5))
    ]
    result = contest.Result("training step, 64 windows", "steps", [ours, *rivals])
    floors = {("training step, 64 windows", "torch"): 1.3}
    (said,) = contest.failures([result], floors)
    assert "1.20 × torch" in said


def test_a_processor_is_divided_only_where_it_pays():
    def devices(batch, cores, **changes):
        config = load_experiment("paper")
        config = override(config, {"train.batch_size": batch, **changes})
        return parallel.host_devices(config, cores)

    assert devices(64, 2) == 2
    assert devices(64, 8) == 2
    assert devices(32, 8) == 1
    assert devices(256, 1) == 1
    # Every device gets as many rows.
    assert devices(100, 8) == 2
    assert devices(96, 4) == 3
    natural = load_experiment("natural")
    assert parallel.host_devices(natural, 8) == 1
