"""Training: it learns, spreads over devices, resumes to the bit, and stops cleanly."""

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from conftest import tiny_config

from gazehead_jax import checkpoint, parallel, run_guard, train_step, training
from gazehead_jax.checkpoint import load
from gazehead_jax.errors import GazeheadError
from gazehead_jax.training import train


def config_of(dataset, kind="window", **changes):
    return tiny_config(kind, **{"data.dataset": dataset, **changes})


def leaves(workdir, which="latest"):
    return jax.tree.leaves(load(workdir, which).params)


def assert_same_params(a, b, atol=0.0):
    for x, y in zip(leaves(a), leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=0, atol=atol)


@pytest.mark.slow
def test_it_learns(tmp_path, small_dataset, kind):
    """Well under the error of its start in 200 steps."""
    config = config_of(
        small_dataset,
        kind,
        **{"train.steps": 200, "optimizer.learning_rate": 5e-3, "model.hidden": 32},
    )
    result = train(config, tmp_path, quiet=True)
    log = [
        json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()
    ]
    mse = [r["mse"] for r in log if r["split"] == "train"]
    assert mse[-1] < 0.6 * mse[0]
    assert result.step == 200
    assert np.isfinite(result.validation_loss)
    assert list((tmp_path / "tensorboard").iterdir())


def test_pmap_and_jit_on_two_devices_equal_one_device(tmp_path, small_dataset):
    assert len(jax.devices()) == 2
    finals = {}
    one = jax.devices()[:1]
    for name, mode, devices in (
        ("pmap", "pmap", None),
        ("jit", "jit", None),
        ("alone", "pmap", one),
    ):
        config = config_of(small_dataset, **{"train.parallel": mode})
        original = parallel.Parallel.__init__

        def pinned(self, mode, batch_size, devices=devices, original=original):
            original(self, mode, batch_size, devices)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(parallel.Parallel, "__init__", pinned)
            train(config, tmp_path / name, quiet=True)
        finals[name] = leaves(tmp_path / name)
    start = jax.tree.leaves(train_step.init_state(config).params)
    moved = max(
        float(np.abs(np.asarray(x) - y).max())
        for x, y in zip(start, finals["pmap"], strict=True)
    )
    assert moved > 5e-3
    for name in ("jit", "alone"):
        for x, y in zip(finals["pmap"], finals[name], strict=True):
            np.testing.assert_allclose(x, y, atol=2e-5)


def test_resident_and_streamed_training_are_the_same(tmp_path, small_dataset):
    for resident in ("always", "never"):
        config = config_of(small_dataset, **{"data.resident": resident})
        train(config, tmp_path / resident, quiet=True)
    assert_same_params(tmp_path / "always", tmp_path / "never", atol=1e-6)


def test_every_step_sees_its_own_windows(small_dataset):
    config = config_of(small_dataset)
    motions = training.load_split(small_dataset, "train")
    table = training.WindowTable(motions, config.data, config.model)
    spread = parallel.Parallel("jit", 8)
    run = training._Run(config, spread, None, None, None, table)
    places = [
        np.asarray(payload.start)
        for (payload, _), _ in zip(run._calls(5), range(3), strict=False)
    ]
    first = run.reader.batch(table.order(config.train.seed, 5, 8)).start
    np.testing.assert_array_equal(places[0][0], first)
    assert len({row.tobytes() for call in places for row in call}) == 15


def test_resuming_gives_the_same_bits(tmp_path, small_dataset):
    config = config_of(small_dataset)
    train(config, tmp_path / "whole", quiet=True)
    half = config_of(small_dataset, **{"train.steps": 10})
    train(half, tmp_path / "parts", quiet=True)
    train(config, tmp_path / "parts", quiet=True)
    assert_same_params(tmp_path / "whole", tmp_path / "parts")
    steps = [
        json.loads(line)["step"]
        for line in (tmp_path / "parts" / "log.jsonl").read_text().splitlines()
    ]
    assert steps == sorted(steps)


def test_a_run_can_begin_with_another_model(tmp_path, small_dataset):
    """Its parameters and units, its licences, and on after a stop."""
    first = config_of(small_dataset, name="first", **{"train.steps": 5})
    train(first, tmp_path / "first", quiet=True)
    made = load(tmp_path / "first", "latest")
    facts = {"datasets": ["elsewhere"], "licences": ["CC-BY-4.0"]}
    made = dataclasses.replace(
        made,
        normaliser=dataclasses.replace(
            made.normaliser, head_std=2 * made.normaliser.head_std
        ),
        provenance=facts,
    )
    begin = str(checkpoint.pack(made, tmp_path / "first.npz"))
    changes = {"train.init": begin, "train.steps": 5, "optimizer.learning_rate": 1e-9}
    train(config_of(small_dataset, **changes), tmp_path / "on", quiet=True)
    on = load(tmp_path / "on", "latest")
    for x, y in zip(
        jax.tree.leaves(on.params), jax.tree.leaves(made.params), strict=True
    ):
        np.testing.assert_allclose(x, y, atol=1e-7)
    np.testing.assert_array_equal(on.normaliser.head_std, made.normaliser.head_std)
    assert on.provenance["began_with"] == "first"
    assert on.provenance["datasets"] == ["elsewhere", small_dataset]
    assert set(on.provenance["licences"]) > {"CC-BY-4.0"}

    # In parts as in one piece, in the first model's units all the time.
    changes |= {"optimizer.learning_rate": 1e-3, "train.steps": 10}
    train(config_of(small_dataset, **changes), tmp_path / "whole", quiet=True)
    half = config_of(small_dataset, **changes | {"train.steps": 5})
    train(half, tmp_path / "parts", quiet=True)
    train(config_of(small_dataset, **changes), tmp_path / "parts", quiet=True)
    assert_same_params(tmp_path / "whole", tmp_path / "parts")
    parts = load(tmp_path / "parts", "latest")
    np.testing.assert_array_equal(parts.normaliser.head_std, made.normaliser.head_std)


def test_mirroring_needs_symmetric_units(tmp_path, small_dataset):
    first = config_of(
        small_dataset, name="first", **{"train.steps": 5, "data.mirror": False}
    )
    train(first, tmp_path / "first", quiet=True)
    begin = {"train.init": str(tmp_path / "first"), "train.steps": 5}
    with pytest.raises(GazeheadError, match="not symmetric"):
        train(config_of(small_dataset, **begin), tmp_path / "a", quiet=True)
    plain = config_of(small_dataset, **begin | {"data.mirror": False})
    assert train(plain, tmp_path / "b", quiet=True).step == 5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"train.init": "nowhere"}, "no such checkpoint"),
        ({"train.init": "natural"}, "a model like the one to be trained.*model.kind"),
    ],
)
def test_only_a_like_model_can_begin(tmp_path, small_dataset, change, said):
    with pytest.raises(GazeheadError, match=said):
        train(config_of(small_dataset, **change), tmp_path / "run", quiet=True)


PROGRAM = """
import sys
from gazehead_jax.cli import main
sys.exit(main(sys.argv[1:]))
"""


def command(workdir, dataset, **changes) -> list[str]:
    config = config_of(dataset, **changes)
    path = Path(workdir).parent / "experiment.py"
    path.write_text(
        "from gazehead_jax.config import Config\n"
        f"def get_config():\n    return Config.from_dict({config.to_dict()!r})\n"
    )
    arguments = ["train", "--config", str(path), "--workdir", str(workdir)]
    return [sys.executable, "-c", PROGRAM, *arguments]


def environment(devices: int) -> dict:
    flags = f"--xla_force_host_platform_device_count={devices}"
    return os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}


def wait_for(condition, process, seconds=120):
    until = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until, "nothing happened"
        time.sleep(0.02)


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bits(tmp_path, small_dataset):
    long = {"train.steps": 4000, "train.checkpoint_every": 100, "train.eval_every": 100}
    run = command(tmp_path / "killed", small_dataset, **long)
    process = subprocess.Popen(run, env=environment(2))
    folder = tmp_path / "killed" / "checkpoints"
    done = lambda: len([p for p in folder.glob("*") if p.name.isdigit()]) >= 2
    wait_for(done, process)
    process.kill()
    process.wait()
    reached = max(int(p.name) for p in folder.iterdir() if p.name.isdigit())
    goal = {"train.steps": reached + 100}
    config = config_of(small_dataset, **(long | goal))
    train(config, tmp_path / "killed", quiet=True)
    train(config, tmp_path / "whole", quiet=True)
    assert_same_params(tmp_path / "whole", tmp_path / "killed")


@pytest.mark.slow
def test_sigterm_saves_and_says_so(tmp_path, small_dataset):
    far = {"train.steps": 100_000, "train.checkpoint_every": 100_000}
    run = command(tmp_path / "run", small_dataset, **far)
    process = subprocess.Popen(
        run, env=environment(2), stdout=subprocess.PIPE, text=True
    )
    log = tmp_path / "run" / "log.jsonl"
    wait_for(lambda: log.is_file() and log.stat().st_size > 0, process)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "the same command goes on" in out
    saved = [int(p.name) for p in (tmp_path / "run" / "checkpoints").iterdir()]
    assert saved
    assert f"step {max(saved)};" in out


def free_address() -> str:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{s.getsockname()[1]}"


def start_two(run, address) -> list[subprocess.Popen]:
    """Two processes of one device each."""
    return [
        subprocess.Popen(
            [*run, "--coordinator", address, "--num-processes=2", f"--process-id={i}"],
            env=environment(1),
        )
        for i in range(2)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["pmap", "jit"])
def test_two_processes_give_the_one_process_result(tmp_path, small_dataset, mode):
    # In two parts, so that two processes resume as well.
    for steps in (10, 20):
        changes = {"train.parallel": mode, "train.steps": steps}
        run = command(tmp_path / "two", small_dataset, **changes)
        for process in start_two(run, free_address()):
            assert process.wait(timeout=300) == 0
    train(
        config_of(small_dataset, **{"train.parallel": mode}),
        tmp_path / "one",
        quiet=True,
    )
    assert_same_params(tmp_path / "one", tmp_path / "two", atol=2e-5)
    log = (tmp_path / "two" / "log.jsonl").read_text().splitlines()
    records = [(r["step"], r["split"]) for r in map(json.loads, log)]
    assert len(records) == len(set(records)) > 4


@pytest.mark.slow
def test_sigterm_to_one_of_two_processes_stops_and_saves_both(tmp_path, small_dataset):
    far = {"train.steps": 200_000, "train.checkpoint_every": 200_000}
    run = command(tmp_path / "run", small_dataset, **far)
    processes = start_two(run, free_address())
    log = tmp_path / "run" / "log.jsonl"
    wait_for(lambda: log.is_file() and log.stat().st_size > 0, processes[0])
    processes[1].send_signal(signal.SIGTERM)
    for process in processes:
        assert process.wait(timeout=120) == 0
    assert [p for p in (tmp_path / "run" / "checkpoints").iterdir() if p.name.isdigit()]


def test_training_resumes_on_another_number_of_devices(tmp_path, small_dataset):
    config = config_of(small_dataset)
    train(config, tmp_path / "whole", quiet=True)
    train(
        config_of(small_dataset, **{"train.steps": 10}), tmp_path / "parts", quiet=True
    )
    run = command(tmp_path / "parts", small_dataset)
    assert subprocess.run(run, env=environment(1)).returncode == 0
    assert_same_params(tmp_path / "whole", tmp_path / "parts", atol=2e-5)


def test_the_best_and_the_latest_are_kept(tmp_path, small_dataset, monkeypatch):
    losses = iter([3.0, 1.0, 2.0, 2.5])

    def fake(config, windows):
        return lambda params: {"loss": next(losses)}

    monkeypatch.setattr(training, "make_evaluate", fake)
    every = {"train.eval_every": 5, "train.checkpoint_every": 5}
    train(config_of(small_dataset, **every), tmp_path, quiet=True)
    kept = sorted(int(p.name) for p in (tmp_path / "checkpoints").iterdir())
    assert kept == [10, 20]
    best, latest = leaves(tmp_path, "best"), leaves(tmp_path, "latest")
    tenth = leaves(tmp_path, "10")
    assert all(np.array_equal(x, y) for x, y in zip(best, tenth, strict=True))
    assert any(not np.array_equal(x, y) for x, y in zip(best, latest, strict=True))


def test_a_checkpoint_loads_on_other_devices(trained):
    program = (
        "import sys, jax; assert jax.device_count() == 1;"
        "from gazehead_jax.checkpoint import load; c = load(sys.argv[1]);"
        "print(c.name, c.provenance['windows'] > 0)"
    )
    run = [sys.executable, "-c", program, str(trained)]
    done = subprocess.run(run, env=environment(1), capture_output=True, text=True)
    assert done.stdout.split() == ["tiny-window", "True"], done.stderr


def test_a_loss_that_is_not_finite_names_its_step(tmp_path, small_dataset, monkeypatch):
    original = train_step.elbo_loss

    def broken(config, params, windows, key, rows, beta):
        loss, diagnostics = original(config, params, windows, key, rows, beta)
        return loss + jax.numpy.where(beta > 0.65, np.nan, 0.0), diagnostics

    monkeypatch.setattr(train_step, "elbo_loss", broken)
    with pytest.raises(GazeheadError, match=r"not finite \(nan, .*\) at step 7"):
        train(config_of(small_dataset), tmp_path, quiet=True)
    assert checkpoint.manager(tmp_path).latest_step() is None


def test_a_workdir_is_used_by_one_run_at_a_time(tmp_path, small_dataset):
    with run_guard.exclusive(tmp_path), pytest.raises(GazeheadError, match="is in use"):
        train(config_of(small_dataset), tmp_path, quiet=True)


def test_a_workdir_of_another_config_is_refused(trained, small_dataset):
    for change in ({"optimizer.learning_rate": 0.5}, {"model.hidden": 8}):
        with pytest.raises(GazeheadError, match="another config"):
            train(config_of(small_dataset, **change), trained, quiet=True)


def test_more_devices_than_the_batch_has_rows(tmp_path, small_dataset):
    config = config_of(small_dataset, **{"train.batch_size": 1})
    with pytest.raises(GazeheadError, match="multiple of the number of devices"):
        train(config, tmp_path, quiet=True)


def test_a_full_disk_is_told_in_one_sentence(tmp_path, small_dataset, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("orbax.checkpoint.CheckpointManager.save", full)
    with pytest.raises(GazeheadError, match="disk is full"):
        train(config_of(small_dataset), tmp_path, quiet=True)


def test_bad_checkpoints_are_told_apart(tmp_path, trained):
    with pytest.raises(GazeheadError, match="there is no such checkpoint"):
        load(tmp_path / "none")
    with pytest.raises(GazeheadError, match="holds no finished checkpoint"):
        load(tmp_path)
    with pytest.raises(GazeheadError, match="must be best, latest or one of"):
        load(trained, "12345")
    import shutil

    broken = tmp_path / "broken"
    shutil.copytree(trained, broken)
    for file in broken.rglob("metadata"):
        if file.parent.name == "about":
            facts = json.loads(file.read_text())
            facts["config"]["model"]["hidden"] = 99
            file.write_text(json.dumps(facts))
    with pytest.raises(GazeheadError, match="do not fit the config"):
        load(broken)
    for file in broken.rglob("_METADATA"):
        file.write_text("not json")
    with pytest.raises(GazeheadError, match="not a readable checkpoint"):
        load(broken)
