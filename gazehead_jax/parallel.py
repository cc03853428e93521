"""One step function on many devices: pmap, or jit and shard_map. Only this file knows.

`step_fn(state, data, batch, axis_name)` works on one device's share of the batch; it
averages gradients and diagnostics with `mean(x, axis_name)`. State and data are the same
everywhere; the batch is split along its axis 1 (axis 0 counts the steps of one call).

JAX keeps `pmap` in maintenance; it is a thin layer over jit and shard_map. Both are offered,
are equally fast and give the same parameters to numerical tolerance.
"""

import os
from collections.abc import Callable

import jax
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from gazehead_jax.config import Config
from gazehead_jax.errors import GazeheadError, require

AXIS = "devices"
ROWS_WORTH_A_DEVICE = 32


def initialize(
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
) -> None:
    """Joins the processes of a multi-host run; before anything else touches JAX.

    Without arguments the cluster is asked: Cloud TPU, Slurm and Open MPI know.

    Raises:
      GazeheadError: the other processes were not found.
    """
    try:
        jax.distributed.initialize(coordinator, num_processes, process_id)
    except (ValueError, RuntimeError) as error:
        raise GazeheadError(
            f"the processes did not find each other ({str(error).splitlines()[0]}); on "
            "a cluster that JAX does not know, give --coordinator HOST:PORT "
            "--num-processes N --process-id I."
        ) from error


def host_devices(config: Config, cores: int | None = None) -> int:
    """Into how many devices a CPU is best divided to train: one loop keeps little more
    than one core busy, but a share of few rows does not pay.

    Args:
      config: the experiment.
      cores: of the machine; asked for if None.
    """
    if config.model.kind == "natural":
        # Its styles' spread is taken over a device's rows.
        return 1
    if cores is None:
        known = hasattr(os, "sched_getaffinity")
        cores = len(os.sched_getaffinity(0)) if known else 1
    batch = config.train.batch_size
    most = max(1, min(cores, batch // ROWS_WORTH_A_DEVICE))
    return max(n for n in range(1, most + 1) if batch % n == 0)


def is_first_process() -> bool:
    """Whether this process writes logs and prints."""
    return jax.process_index() == 0


def mean(tree, axis_name: str | None):
    """The average over devices, or the tree itself without an axis."""
    if axis_name is None:
        return tree
    # In one piece: devices wait for each other once a step, not once for each leaf.
    flat, restore = ravel_pytree(tree)
    return restore(jax.lax.pmean(flat, axis_name))


class Parallel:
    """How a training step is spread over devices.

    Args:
      mode: "pmap" or "jit".
      batch_size: rows of the global batch.
      devices: all of them by default, over all processes.

    Raises:
      GazeheadError: the batch does not divide among the devices.
    """

    def __init__(self, mode: str, batch_size: int, devices=None):
        self.mode = mode
        self.devices = list(devices or jax.devices())
        process = jax.process_index()
        self.local = [d for d in self.devices if d.process_index == process]
        count = len(self.devices)
        require(
            batch_size % count == 0,
            f"train.batch_size must be a multiple of the number of devices, got "
            f"{batch_size} windows for {count} devices; use a batch of "
            f"{max(1, batch_size // count) * count}, or fewer devices.",
        )
        self._per_device = batch_size // count
        if mode == "jit":
            self._mesh = Mesh(np.array(self.devices), (AXIS,))
            self._everywhere = NamedSharding(self._mesh, P())
            self._split = NamedSharding(self._mesh, P(None, AXIS))

    @property
    def local_rows(self) -> np.ndarray:
        """Rows of the global batch that this process feeds, in order."""
        n = self._per_device
        rows = [
            np.arange(i * n, (i + 1) * n)
            for i, d in enumerate(self.devices)
            if d in self.local
        ]
        return np.concatenate(rows)

    def replicate(self, tree):
        """The same value on every device."""
        if self.mode == "jit":
            return jax.tree.map(self._replicate_one, tree)
        mesh = Mesh(np.array(self.local), (AXIS,))
        sharding = NamedSharding(mesh, P(AXIS))

        def stack(x):
            # A NumPy view: no device ever holds more than its own copy.
            x = np.asarray(x)
            return jax.device_put(
                np.broadcast_to(x, (len(self.local), *x.shape)), sharding
            )

        return jax.tree.map(stack, tree)

    def _replicate_one(self, x):
        if jax.process_count() == 1:
            return jax.device_put(x, self._everywhere)
        return jax.make_array_from_process_local_data(self._everywhere, np.asarray(x))

    def unreplicate(self, tree):
        """One device's copy, as NumPy arrays."""

        def one(x):
            shard = np.asarray(x.addressable_shards[0].data)
            # A 0-d array, not a NumPy scalar, which Orbax saves but cannot restore.
            return np.asarray(shard[0] if self.mode == "pmap" else shard)

        return jax.tree.map(one, tree)

    def shard(self, batch):
        """Splits this process's rows `[steps, rows, …]` among its devices."""
        if self.mode == "jit":
            return jax.tree.map(
                lambda x: jax.make_array_from_process_local_data(self._split, x), batch
            )

        def split(x):
            steps, rows = x.shape[:2]
            x = x.reshape(steps, len(self.local), rows // len(self.local), *x.shape[2:])
            return np.swapaxes(x, 0, 1)

        return jax.tree.map(split, batch)

    def compile(self, step_fn: Callable) -> Callable:
        """`(state, data, batch) -> (state, diagnostics)`, compiled; donates the state."""
        share = lambda state, data, batch: step_fn(state, data, batch, AXIS)
        if self.mode == "jit":
            # Left to itself XLA would average each gradient where it arises.
            share = jax.shard_map(
                share,
                mesh=self._mesh,
                in_specs=(P(), P(), P(None, AXIS)),
                out_specs=P(),
                check_vma=False,
            )
            return jax.jit(share, donate_argnums=0)
        return jax.pmap(
            share,
            axis_name=AXIS,
            devices=self.devices if jax.process_count() == 1 else None,
            donate_argnums=0,
        )

    def assert_equal_everywhere(self, tree) -> None:
        """Raises if this process's devices do not hold equal values."""
        for path, x in jax.tree_util.tree_leaves_with_path(tree):
            shards = [np.asarray(s.data) for s in x.addressable_shards]
            for other in shards[1:]:
                if not np.array_equal(shards[0], other, equal_nan=True):
                    name = jax.tree_util.keystr(path)
                    raise GazeheadError(f"devices disagree on {name} after training.")
