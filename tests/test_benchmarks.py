"""Benchmarks: rivals compute what we do, noise is noticed, floors are kept."""

import argparse
import json
import time

import numpy as np
import pytest

from gazehead_jax import cli
from gazehead_jax.benchmarks import cases, lengths, round_robin, sample, stream
from gazehead_jax.benchmarks.ours import Ours
from gazehead_jax.benchmarks.report import Report
from gazehead_jax.benchmarks.rivals.numpy_rival import NumpyRival
from gazehead_jax.benchmarks.rivals.onnx_rival import OnnxRival
from gazehead_jax.benchmarks.rivals.torch_rival import TorchRival
from gazehead_jax.cli import benchmark as command
from gazehead_jax.errors import GazeheadError


@pytest.fixture(params=cases.MODELS)
def case(request, tmp_path):
    return cases.write(tmp_path, request.param, rows=2, frames=40, hidden=12)


def test_a_case_is_read_as_it_was_written(case):
    model, again = case.model["kind"], cases.load(case.folder)
    assert again.model == case.model
    assert (again.frames, again.rows) == (40, 2)
    np.testing.assert_array_equal(again.noise, case.noise)
    # By hand: prior_hidden, prior, three gates twice, head.
    if model == "cvae":
        prior = (12 + 2 + 4) * 6 + 6 * 64
        assert case.weights == prior + 3 * 12 * (2 + 32 + 4 + 12) + 12 * 2
    else:
        prior = (12 + 28 + 2) * 64 + 64 * 16
        gru = 3 * 12 * (28 + 8 + 2 + 12)
        assert case.weights == prior + gru + (12 + 28 + 2) * 12


def test_numpy_gives_our_heads(case):
    ours = Ours(case).heads()
    assert ours.shape == (40, 2, case.model["head_dim"])
    # Not a head that stands still: that would hide differences.
    assert ours.std(0).min() > 1e-4
    np.testing.assert_allclose(NumpyRival(case).heads(), ours, atol=1e-5)


def test_torch_gives_our_heads(case):
    torch = pytest.importorskip("torch")
    rival = TorchRival(case, "eager")
    np.testing.assert_allclose(rival.heads(), Ours(case).heads(), atol=1e-5)
    rival.settle()
    torch.set_grad_enabled(True)


def test_torch_scripts_our_heads(case):
    """In its process: the tests' type checker stands in TorchScript's way."""
    pytest.importorskip("torch")
    with round_robin.started(["numpy", "torch script"], case.folder) as workers:
        assert sample.check_equal(workers, case.folder)["torch script"] < 1e-5


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("form", ["step", "scan"])
def test_onnx_gives_our_heads(case, form):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from gazehead_jax.checkpoint import load
    from gazehead_jax.export import export

    export(load(case.folder / "model.npz"), "onnx", case.folder)
    rival = OnnxRival(case, form)
    np.testing.assert_allclose(rival.heads(), Ours(case).heads(), atol=1e-5)


class Machine:
    """A second goes by in every measurement, of which others use a given share."""

    def __init__(self, *others):
        self.others, self.now, self.mine, self.all = list(others), 0.0, 0.0, 0.0

    def measure(self):
        share = self.others.pop(0)
        self.now, self.mine, self.all = (
            self.now + 1,
            self.mine + 1,
            self.all + 1 + share,
        )
        return share

    def run(self):
        return round_robin.undisturbed(
            self.measure,
            lambda: self.mine,
            lambda: self.all,
            lambda: self.now,
            pause=0.0,
        )


def test_a_measurement_is_repeated_until_others_are_quiet():
    machine = Machine(0.5, 0.13, 0.1, 0.0)
    assert machine.run() == (0.1, True)
    assert machine.others == [0.0]


def test_without_a_quiet_moment_the_quietest_is_kept_and_marked():
    shares = [0.9, 0.3, 0.8, 0.7, 0.6]
    assert len(shares) == round_robin.TRIES
    assert Machine(*shares).run() == (0.3, False)


def test_where_use_cannot_be_known_nothing_is_repeated():
    got = round_robin.undisturbed(lambda: 1.0, lambda: 0.0, lambda: None)
    assert got == (1.0, True)


def test_a_busy_process_is_seen():
    import os

    before, end = round_robin.used_by([os.getpid()]), time.process_time() + 0.2
    while time.process_time() < end:
        pass
    assert round_robin.used_by([os.getpid()]) - before > 0.1
    assert round_robin.used_by([-1]) == 0


@pytest.fixture(scope="module")
def report():
    return sample.benchmark(
        ["frame"],
        [1],
        ["numpy"],
        count=2,
        seconds=0.01,
        frames=20,
        hidden=8,
        long=[10_000],
    )


def test_a_run_tells_all_that_a_ratio_needs(report, tmp_path):
    path = report.write(tmp_path)
    facts = json.loads(path.with_suffix(".json").read_text())
    (table,) = facts["tables"]
    ours, rival = table["entries"]
    assert (ours["name"], rival["name"]) == ("gazehead_jax", "numpy")
    assert ours["ratio"] == 1
    assert rival["ratio"] == pytest.approx(rival["step_us"] / ours["step_us"])
    assert ours["frames_per_second"] == pytest.approx(1e6 / ours["step_us"])
    assert rival["error"] < sample.TOLERANCE
    assert table["share"] == pytest.approx(table["limit_us"] / ours["step_us"])
    assert {"jax", "numpy"} <= facts["machine"]["versions"].keys()
    text = path.read_text()
    assert f"| numpy | {rival['step_us']:.1f}" in text
    assert facts["machine"]["processor"] in text
    (long,) = facts["lengths"]
    assert 0.05 < long["frame_us"] < 1000
    assert 0 <= long["grown_mb"] < 50 < long["peak_mb"] < 5000
    assert f"| frame | 10,000 | {long['frame_us']:.1f} |" in text


def test_nothing_is_timed_that_is_not_equal(tmp_path):
    class Liar:
        def __init__(self, name, by):
            self.name, self.by = name, by

        def ask(self, do, to):
            np.save(to, np.zeros((80, 1, 2)) + self.by)

    with pytest.raises(GazeheadError, match="b does not compute what a does"):
        sample.check_equal([Liar("a", 0.0), Liar("b", 2e-4)], tmp_path)
    with pytest.raises(GazeheadError, match="finite"):
        sample.check_equal([Liar("a", 0.0), Liar("b", np.nan)], tmp_path)
    errors = sample.check_equal([Liar("a", 0.0), Liar("b", 1e-5)], tmp_path)
    assert errors["b"] == pytest.approx(1e-5)


def test_a_dead_worker_tells_its_last_words(tmp_path):
    with round_robin.started(["numpy"], tmp_path) as (worker,):
        with pytest.raises(GazeheadError, match=r"numpy failed: .*case\.npz"):
            worker.ask(do="time", seconds=0.01)


def test_unknown_names_are_refused():
    with pytest.raises(GazeheadError, match="caffe"):
        sample.benchmark(rivals=["caffe"])
    with pytest.raises(GazeheadError, match="unknown"):
        sample.benchmark(models=["gpt"])


def table(*ratios):
    entries = [sample.Row(n, 1.0, 1.0, r, 0.0, 0) for n, r in ratios]
    return sample.Table("frame", 1, 10, entries, "streaming", 1.0, 1.0, 1.0)


def test_a_floor_holds_for_the_best_form_of_a_rival():
    floors = {("frame", 1, "onnx"): 1.5, ("frame", 64, "onnx"): 9.0}
    fast = table(("onnx step", 2.0), ("onnx scan", 1.6))
    slow = table(("onnx step", 2.0), ("onnx scan", 1.4))
    assert sample.failures([fast], floors) == []
    assert sample.failures([slow], floors) == ["frame, 1 rows: 1.40 × onnx, floor 1.5"]


def test_long_rollouts_are_to_cost_no_more_and_to_hold_nothing():
    def rollouts(us, grown):
        sizes = ((1000, 9.0, 0.0), (10_000, 10.0, 0.0), (10**6, us, grown))
        return [lengths.Length("frame", n, t, 300.0, g) for n, t, g in sizes]

    assert lengths.failures(rollouts(12.9, 9.9)) == []
    (slow,) = lengths.failures(rollouts(13.1, 0.0))
    assert slow.startswith("frame, 1,000,000 frames: 1.31 × the cost of a frame")
    # What the heads take, if anything holds them.
    (large,) = lengths.failures(rollouts(10.0, 12.0))
    assert "memory grew by 12 MB" in large


def test_a_length_that_fails_tells_its_last_words():
    with pytest.raises(GazeheadError, match="rollout of 0 frames failed: .*Error"):
        lengths.measure("frame", [0], hidden=8)


@pytest.mark.parametrize(("check", "failed", "code"), [(1, 1, 1), (1, 0, 0), (0, 1, 0)])
def test_check_fails_when_a_floor_does(tmp_path, capsys, check, failed, code):
    found = Report("Sampling", "x", ["t"], {}, ["too slow"] * failed)
    args = argparse.Namespace(out=str(tmp_path), check=bool(check))
    assert command._finish(found, args) == code
    assert ("too slow" in capsys.readouterr().err) == bool(failed)


@pytest.mark.parametrize(
    "line",
    [
        "sample --rows 0",
        "sample --rows 1 -4",
        "sample --rounds 0",
        "stream --frames 0",
        "train --batches 64 0",
        "train --rounds -1",
        *(f"{kind} --rounds 0" for kind in ("data", "extract", "render", "start")),
    ],
)
def test_of_nothing_there_is_no_benchmark(line, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(command, "start", lambda: pytest.fail("it has begun"))
    words = line.split()
    assert cli.main(["benchmark", *words, "--out", str(tmp_path)]) == 2
    says = f"{words[1]} must be at least 1, got {words[-1]}."
    assert says in capsys.readouterr().err


def test_latency_is_of_a_stream_that_is_the_rollout(tmp_path):
    for model in cases.MODELS:
        got = stream.latency(cases.checkpoint(model, hidden=8), model, frames=300)
        assert 0 < got.p50 <= got.p99 <= got.longest
        assert got.error < 1e-5
