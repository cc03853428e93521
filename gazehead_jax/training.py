"""Training: experiment config + prepared dataset → checkpoints in a workdir."""

import contextlib
import dataclasses
import datetime
import functools
import platform
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from gazehead_jax import checkpoint as checkpoints
from gazehead_jax import parallel
from gazehead_jax.build import load_split
from gazehead_jax.config import Config
from gazehead_jax.data import WindowTable, fixed_windows, make_reader
from gazehead_jax.errors import GazeheadError, require
from gazehead_jax.reporting import Report
from gazehead_jax.run_guard import exclusive, sigterm_as_request
from gazehead_jax.train_step import (
    TrainState,
    init_state,
    make_evaluate,
    make_train_step,
)
from gazehead_jax.version import __version__

# Fields that a resumed run may change: none alters what is computed, beyond rounding.
FREE_ON_RESUME = (
    "train.steps",
    "train.log_every",
    "train.eval_every",
    "train.checkpoint_every",
    "train.parallel",
    "data.resident",
    "data.resident_mb",
    "data.workers",
)


@dataclasses.dataclass(frozen=True)
class TrainResult:
    """What a run came to.

    Attributes:
      workdir: holds the checkpoints.
      step: the last one done.
      validation_loss: of the last evaluation, infinite before the first.
      interrupted: stopped by SIGTERM; the same command goes on.
    """

    workdir: Path
    step: int
    validation_loss: float
    interrupted: bool


def train(
    config: Config,
    workdir: str | Path,
    *,
    data_dir: str | Path | None = None,
    quiet: bool = False,
) -> TrainResult:
    """Trains, or goes on with, the experiment in `workdir`.

    A run that was killed resumes from its latest checkpoint and computes the same bits
    as one that was not. SIGTERM saves and returns.

    Args:
      config: the experiment.
      workdir: for checkpoints, `log.jsonl` and TensorBoard files.
      data_dir: where datasets are prepared (TFDS's default if None).
      quiet: no progress display.

    Raises:
      GazeheadError: a workdir in use or of another config, unusable data, more devices
        than the batch has rows, a full disk, or a loss that is not finite.
    """
    require(
        "://" not in str(workdir),
        f"a workdir is a folder that this machine sees as one, got {workdir}; mount the "
        "bucket and give its path.",
    )
    workdir = Path(workdir)
    spread = parallel.Parallel(config.train.parallel, config.train.batch_size)
    # Data first: a workdir is made only for a run that can start.
    table = WindowTable(
        _load(config.data, "train", data_dir), config.data, config.model
    )
    validation_split = _load(config.data, "validation", data_dir)
    # One process of several holds the lock for all.
    first = parallel.is_first_process()
    lock = exclusive(workdir) if first else contextlib.nullcontext()
    with lock, contextlib.closing(checkpoints.manager(workdir)) as orbax:
        state, start = _resume_or_init(config, orbax, table)
        validation = WindowTable(
            validation_split,
            dataclasses.replace(config.data, mirror=False),
            config.model,
            table.normaliser,
        )
        evaluate = make_evaluate(config, fixed_windows(validation))
        facts = checkpoints.about(config, table.normaliser, _provenance(config, table))
        run = _Run(config, spread, orbax, evaluate, facts, table)
        with (
            Report(
                workdir,
                start,
                config.train.steps,
                config.name,
                quiet=quiet,
                active=parallel.is_first_process(),
            ) as report,
            sigterm_as_request() as stop,
        ):
            step, loss, interrupted = run.loop(state, start, report, stop)
    return TrainResult(workdir, step, loss, interrupted)


def _load(data, split: str, data_dir):
    """The motions of a split, of all the datasets that are meant."""
    first = load_split(data.dataset, split, data_dir)
    if not data.also:
        return first
    rest = [load_split(name, split, data_dir) for name in data.also]
    return [motion for motions in (first, *rest) for motion in motions]


class _Run:
    """The loop, with what stays the same during it."""

    def __init__(self, config, spread, orbax, evaluate, facts, table):
        self.config, self.spread, self.orbax = config, spread, orbax
        self.evaluate, self.facts, self.table = evaluate, facts, table
        self.reader = make_reader(table)

    def loop(self, state: TrainState, start: int, report: Report, stop) -> tuple:
        """Runs from `start`; returns (last step, validation loss, interrupted)."""
        c = self.config.train
        materialise = functools.partial(
            self.reader.materialise, length=self.table.length
        )
        step_fn = self.spread.compile(make_train_step(self.config, materialise))
        data = self.spread.replicate(self.reader.constants)
        state = self.spread.replicate(state)
        pending, saved = [], start
        validation = checkpoints.loss_of(Path(self.orbax.directory) / str(start))
        step = start
        for batch in self._calls(start):
            state, diagnostics = step_fn(state, data, batch)
            pending.append((step, diagnostics))
            step += c.steps_per_call
            interrupted = stop.asked or self._preempted(step)
            last = step == c.steps or interrupted
            if step % c.log_every == 0 or last:
                report.record(step, "train", self._collect(pending))
                pending = []
            if step % c.eval_every == 0 or last:
                values = self.evaluate(self.spread.unreplicate(state.params))
                validation = values["loss"]
                report.record(step, "validation", values)
            if step % c.checkpoint_every == 0 or last:
                if pending:
                    self._collect(pending)  # never save what is not finite
                host = self.spread.unreplicate(state)
                loss = validation
                if step % c.eval_every and not last:
                    loss = self.evaluate(host.params)["loss"]
                checkpoints.save(self.orbax, step, host.to_dict(), self.facts, loss)
                saved = step
            if interrupted:
                break
        if saved > start:
            self.spread.assert_equal_everywhere(state.params)
        return step, validation, step < c.steps

    def _calls(self, start: int) -> Iterator:
        """The batches of each call: (payload, rows), stacked over its steps."""
        c = self.config.train
        rows = self.spread.local_rows

        order = functools.partial(_local_order, self.table, c.seed, c.batch_size, rows)
        batches = self.reader.batches(order, range(start, c.steps))
        with contextlib.closing(batches):
            for _ in range(start, c.steps, c.steps_per_call):
                payloads = [next(batches) for _ in range(c.steps_per_call)]
                payload = jax.tree.map(lambda *x: np.stack(x), *payloads)
                call_rows = np.tile(rows.astype(np.int32), (c.steps_per_call, 1))
                yield self.spread.shard((payload, call_rows))

    def _collect(self, pending) -> dict[str, float]:
        """Means of the diagnostics since the last record; stops at the first NaN."""
        first = pending[0][0]
        host = [self.spread.unreplicate(d) for _, d in pending]
        series = {k: np.concatenate([h[k] for h in host]) for k in host[0]}
        # The gradient too: it is what the parameters have already taken up.
        wrong = ~np.isfinite(series["loss"]) | ~np.isfinite(series["grad_norm"])
        bad = np.flatnonzero(wrong)
        if len(bad):
            raise GazeheadError(
                f"the loss or its gradient is not finite ({series['loss'][bad[0]]}, "
                f"{series['grad_norm'][bad[0]]}) at step "
                f"{first + bad[0]}; the last checkpoint is step "
                f"{self.orbax.latest_step() or 0}. Lower optimizer.learning_rate or look "
                "at the data."
            )
        return {k: float(v.mean()) for k, v in series.items()}

    def _preempted(self, step: int) -> bool:
        # Processes agree on a call to stop after; Orbax counts calls one by one.
        call = step // self.config.train.steps_per_call
        return jax.process_count() > 1 and self.orbax.reached_preemption(call)


def _local_order(table, seed, batch_size, rows, step):
    return table.order(seed, step, batch_size)[rows]


def _resume_or_init(config, orbax, table) -> tuple[TrainState, int]:
    state = init_state(config)
    if orbax.latest_step() is None:
        if config.train.init:
            first = _first_model(config)
            params = jax.tree.map(jnp.asarray, first.params)
            state = state.replace(params=params)
            table.normaliser = first.normaliser
        return state, 0
    folder = orbax.directory
    old, normaliser, _ = checkpoints.read_about(
        checkpoints.restore_about(orbax), folder
    )
    _same_experiment(old, config, folder)
    now, then = table.normaliser.to_dict(), normaliser.to_dict()
    require(
        # The units of a run that began with another model are that model's.
        bool(config.train.init)
        or all(np.allclose(now[k], then[k], atol=1e-5) for k in now),
        f"{folder}: {config.data.dataset!r} is not the data that this run was trained "
        "on (its statistics differ); use another workdir.",
    )
    table.normaliser = normaliser
    here = jax.local_devices()[0]
    template = jax.tree.map(lambda x: jax.device_put(x, here), state.to_dict())
    state = TrainState(**checkpoints.restore_state(orbax, template))
    return state, orbax.latest_step()


def _first_model(config: Config) -> checkpoints.Checkpoint:
    """The model that `train.init` names, of the same shape."""
    first = checkpoints.load(config.train.init)
    here, there = config.to_dict()["model"], first.config.to_dict()["model"]
    differing = [k for k in here if k != "remat" and here[k] != there[k]]
    require(
        not differing,
        f"train.init must name a model like the one to be trained; {config.train.init} "
        "differs: "
        + ", ".join(
            f"model.{k} is {there[k]!r}, not {here[k]!r}" for k in differing[:3]
        )
        + ".",
    )
    mean = first.normaliser.head_mean[1:], first.normaliser.gaze_mean[1:]
    require(
        not config.data.mirror or bool(np.abs(np.concatenate(mean)).max() < 1e-6),
        f"train.init names a model whose units are not symmetric ({config.train.init} was "
        "trained with data.mirror=False), so that mirrored windows would be wrong; set "
        "data.mirror=False here too.",
    )
    require(
        abs(first.config.data.fps - config.data.fps) < 1e-3,
        f"train.init must name a model of data.fps = {config.data.fps:g}, got one of "
        f"{first.config.data.fps:g} ({config.train.init}).",
    )
    return first


def _same_experiment(old: Config, new: Config, folder) -> None:
    def flat(config):
        return {
            f"{section}.{k}": v
            for section, values in config.to_dict().items()
            if isinstance(values, dict)
            for k, v in values.items()
        }

    free = set(FREE_ON_RESUME)
    if new.optimizer.schedule == "cosine":
        free.discard("train.steps")
    before, after = flat(old), flat(new)
    differing = sorted(k for k in after if k not in free and before[k] != after[k])
    require(
        not differing,
        f"{folder} holds a run of another config: "
        + ", ".join(f"{k} was {before[k]!r}, is {after[k]!r}" for k in differing[:3])
        + "; use another workdir.",
    )


def _provenance(config: Config, table: WindowTable) -> dict:
    import flax

    datasets, licences = [config.data.dataset, *config.data.also], table.licences
    began = {}
    if config.train.init:
        # A model that another began with has learned from that one's data too.
        first = _first_model(config)
        began = {"began_with": first.name}
        datasets = [*first.provenance.get("datasets", ["not stated"]), *datasets]
        licences = [*first.provenance.get("licences", ["not stated"]), *licences]
    return {
        "datasets": list(dict.fromkeys(datasets)),
        "licences": list(dict.fromkeys(licences)),
        **began,
        "people": len(table.people),
        "hours": round(table.frames / config.data.fps / 3600, 2),
        "sequences": len(table.motions),
        "windows": len(table),
        "gazehead_jax": __version__,
        "jax": jax.__version__,
        "flax": flax.__version__,
        "python": platform.python_version(),
        "devices": f"{jax.device_count()} × {jax.devices()[0].device_kind}",
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
