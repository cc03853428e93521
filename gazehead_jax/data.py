"""Prepared sequences → normalised training windows, resident or streamed.

Which windows a step sees is a pure function of (seed, step): a shuffled pass over all
windows, then the next. Two readers hand them out. `ResidentWindows` keeps the whole
split on the device and gathers inside the compiled step; `StreamedWindows` reads records
through a grain `MapDataset` whose element *is* a step's batch, so that position is step
and workers cannot change the stream. Both give the same windows.
"""

import functools
from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Bool, Int

from gazehead_jax import networks
from gazehead_jax.config import DataConfig, ModelConfig
from gazehead_jax.errors import require
from gazehead_jax.model import Windows
from gazehead_jax.motion import Array, Motion, mirror, resample
from gazehead_jax.normaliser import Normaliser

MIRROR = np.float32([1, -1, -1])


class WindowTable:
    """Every admissible window of a split, and which of them a step sees.

    Args:
      motions: the split, random access.
      data, model: what a window looks like.
      normaliser: statistics to use; fitted to these motions if None.

    Attributes:
      normaliser: of the training split. With `data.mirror` its yaw and roll means are
        0, so that mirroring is a change of sign in its units too.
      sequence, start: `[n]` of each window, before mirroring.
      frames: total frames after resampling.
      people: who is in it.
      licences: of the sequences, as they say themselves.

    Raises:
      GazeheadError: no sequence, or none with an admissible window.
    """

    def __init__(
        self,
        motions: Sequence[Motion],
        data: DataConfig,
        model: ModelConfig,
        normaliser: Normaliser | None = None,
    ):
        if data.exclude:
            motions = [m for m in motions if not m.subject.startswith(data.exclude)]
        require(len(motions) > 0, f"{data.dataset}: the split has no sequence.")
        self.motions, self.data, self.model = motions, data, model
        self._people: list[str] = []
        licences = set()
        self.length = model.context + data.horizon + model.lookahead
        tables, self._counts = [], []
        self._pass = None, None

        def scan() -> Iterator[Motion]:
            for i in range(len(motions)):
                motion = resample(motions[i], data.fps)
                starts = _admissible(motion.valid, self.length, data, model)
                tables.append(np.stack([np.full_like(starts, i), starts], -1))
                self._counts.append(len(motion))
                self._people.append(motion.subject)
                terms = motion.meta.get("licence") or motion.meta.get("terms")
                licences.add(str(terms or "not stated"))
                yield motion
                if data.mirror:
                    yield mirror(motion)

        normaliser = normaliser or networks.own_units(model)
        if normaliser is None:
            self.normaliser = Normaliser.fit(scan())
        else:
            self.normaliser = normaliser
            for _ in scan():
                pass
        self.sequence, self.start = np.concatenate(tables).T.astype(np.int32)
        self.frames = sum(self._counts)
        self.people, self.licences = sorted(set(self._people)), sorted(licences)
        require(
            len(self.start) > 0,
            f"{data.dataset}: no sequence is long and valid enough for one window of "
            f"{model.context} + {data.horizon} frames at {data.fps:g} fps with "
            f"{data.min_valid:.0%} valid frames ({len(motions)} sequences, "
            f"{self.frames} frames); use a shorter data.horizon or a lower "
            "data.min_valid.",
        )

    def __len__(self) -> int:
        """Windows in a pass, mirrored ones included."""
        return len(self.start) * (2 if self.data.mirror else 1)

    @functools.cached_property
    def offsets(self) -> np.ndarray:
        """`[sequences]` first frame of each sequence when all are laid end to end."""
        return np.concatenate([[0], np.cumsum(self._counts)[:-1]]).astype(np.int32)

    def order(self, seed: int, step: int, batch_size: int) -> Int[np.ndarray, " b"]:
        """Window numbers of a step's global batch; number // 2 is mirrored if odd."""
        positions = np.arange(step * batch_size, (step + 1) * batch_size)
        length = self._pass_length
        passes = positions // length
        order = np.empty(batch_size, np.int64)
        for number in np.unique(passes):
            here = passes == number
            order[here] = self._shuffled(seed, int(number))[positions[here] % length]
        return order

    def _shuffled(self, seed: int, number: int) -> np.ndarray:
        if self._pass[0] != (seed, number):
            rng = np.random.default_rng((seed, number))
            order = rng.permutation(len(self))
            if self.model.kind == "natural":
                order = self._in_pairs(order, rng)
            self._pass = (seed, number), order
        return self._pass[1]

    def _in_pairs(self, order: np.ndarray, rng) -> np.ndarray:
        """As many windows, each two neighbours from one person, people by the root of
        how many windows they have: who was recorded for long must not drown the rest."""
        whose = self._whose[self.locate_rows(order)]
        pairs = [
            np.resize(order[whose == person], (count, 2))
            for person, count in self._pairs_of.items()
        ]
        pairs = np.concatenate(pairs)
        return pairs[rng.permutation(len(pairs))].reshape(-1)

    @functools.cached_property
    def _whose(self) -> np.ndarray:
        """The number of the person in each row of `sequence`."""
        people = np.unique(self._people, return_inverse=True)[1]
        return people[self.sequence]

    @functools.cached_property
    def _pairs_of(self) -> dict[int, int]:
        """Person → pairs in a pass."""
        each = np.bincount(self._whose) * (len(self) // len(self.start))
        share = np.sqrt(each) / np.sqrt(each).sum()
        return {
            person: max(1, round(n))
            for person, n in enumerate(share * len(self) / 2)
            if each[person]
        }

    @functools.cached_property
    def _pass_length(self) -> int:
        if self.model.kind == "natural":
            return 2 * sum(self._pairs_of.values())
        return len(self)

    def locate_rows(self, order: np.ndarray) -> np.ndarray:
        """Rows of `sequence` and `start` of window numbers."""
        return order // 2 if self.data.mirror else order

    def normalised(self, i: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sequence i at the model's rate and in its units: gaze, head, valid."""
        motion = resample(self.motions[i], self.data.fps)
        head = motion.require_head()[:, : self.model.head_dim]
        return (
            self.normaliser.gaze(motion.gaze).astype(np.float32),
            self.normaliser.head(head).astype(np.float32),
            motion.valid,
        )

    def locate(self, order: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sequence, start and mirrored `[b]` of window numbers."""
        rows = self.locate_rows(order)
        mirrored = (order % 2 == 1) & self.data.mirror
        return self.sequence[rows], self.start[rows], mirrored


def _admissible(valid, length, data: DataConfig, model: ModelConfig) -> np.ndarray:
    """Starts of the windows whose context is valid and whose horizon is enough so."""
    if len(valid) < length:
        return np.zeros(0, np.int64)
    windows = np.lib.stride_tricks.sliding_window_view(valid, length)[:: data.stride]
    good = windows[:, : model.context].all(-1)
    good &= windows[:, model.context :].mean(-1) >= max(data.min_valid, 1e-9)
    return np.flatnonzero(good) * data.stride


class Places(struct.PyTreeNode):
    """Where a batch of windows lies in a resident split."""

    start: Int[Array, "*b"]
    mirrored: Bool[Array, "*b"]


class ResidentWindows:
    """The whole split on the device; a batch is a few integers."""

    def __init__(self, table: WindowTable):
        self.table = table
        parts = [table.normalised(i) for i in range(len(table.motions))]
        gaze, head, valid = (np.concatenate(x) for x in zip(*parts, strict=True))
        # What every device holds: Windows whose only window is the split.
        self.constants = Windows(gaze=gaze, head=head, valid=valid)

    def batch(self, order: np.ndarray) -> Places:
        sequence, start, mirrored = self.table.locate(order)
        return Places(start=self.table.offsets[sequence] + start, mirrored=mirrored)

    def batches(self, order: Callable[[int], np.ndarray], steps: range) -> Iterator:
        """The batches of steps, where `order(step)` are the window numbers wanted."""
        for step in steps:
            yield self.batch(order(step))

    @staticmethod
    def materialise(constants: Windows, places: Places, length: int) -> Windows:
        """Places → windows, inside the compiled step."""
        frames = places.start[:, None] + jnp.arange(length)[None]
        windows = jax.tree.map(lambda x: x[frames], constants)
        sign = jnp.where(places.mirrored[:, None, None], MIRROR[None, None], 1)
        return windows.replace(
            gaze=windows.gaze * sign[..., :2],
            head=windows.head * sign[..., : windows.head.shape[-1]],
        )


class StreamedWindows:
    """Windows read record by record, for splits that do not fit on the device."""

    constants = ()

    def __init__(self, table: WindowTable):
        self.table = table
        self._cache: dict[int, tuple] = {}

    def _sequence(self, i: int) -> tuple:
        if i not in self._cache:
            if len(self._cache) >= 256:
                self._cache.pop(next(iter(self._cache)))
            self._cache[i] = self.table.normalised(i)
        return self._cache[i]

    def batch(self, order: np.ndarray) -> Windows:
        parts = []
        for i, start, mirrored in zip(*self.table.locate(order), strict=True):
            gaze, head, valid = (
                x[start : start + self.table.length] for x in self._sequence(int(i))
            )
            if mirrored:
                gaze, head = gaze * MIRROR[:2], head * MIRROR[: head.shape[-1]]
            parts.append((gaze, head, valid))
        gaze, head, valid = (np.stack(x) for x in zip(*parts, strict=True))
        return Windows(gaze=gaze, head=head, valid=valid)

    def batches(self, order: Callable[[int], np.ndarray], steps: range) -> Iterator:
        """The batches of steps, where `order(step)` are the window numbers wanted."""
        import grain

        read = functools.partial(self._read, order)  # picklable, unlike a closure
        dataset = grain.MapDataset.source(steps).map(read)
        options = grain.ReadOptions(num_threads=1, prefetch_buffer_size=16)
        stream = dataset.to_iter_dataset(options)
        workers = self.table.data.workers
        if workers:
            # grain's worker processes read absl's flags.
            from absl import flags

            if not flags.FLAGS.is_parsed():
                flags.FLAGS.mark_as_parsed()
            stream = stream.mp_prefetch(
                grain.MultiprocessingOptions(num_workers=workers)
            )
        iterator = iter(stream)
        try:
            yield from (Windows(**batch) for batch in iterator)
        finally:
            if hasattr(iterator, "close"):
                iterator.close()

    def _read(self, order: Callable[[int], np.ndarray], step: int) -> dict:
        # A plain dict: grain maps over the structure with leaves of its own.
        windows = self.batch(order(step))
        return {k: getattr(windows, k) for k in ("gaze", "head", "valid")}

    @staticmethod
    def materialise(constants, windows: Windows, length: int) -> Windows:
        return windows


def make_reader(table: WindowTable) -> ResidentWindows | StreamedWindows:
    """The resident reader if the config or the size says so."""
    megabytes = table.frames * (2 + table.model.head_dim + 1) * 4 / 2**20
    resident = {
        "always": True,
        "never": False,
        "auto": megabytes <= table.data.resident_mb,
    }[table.data.resident]
    return ResidentWindows(table) if resident else StreamedWindows(table)


def fixed_windows(table: WindowTable, limit: int = 1024) -> Windows:
    """Windows for validation: not mirrored, spread evenly over the split."""
    step = max(1, -(-len(table.start) // limit))
    order = np.arange(0, len(table.start), step) * (2 if table.data.mirror else 1)
    return StreamedWindows(table).batch(order)
