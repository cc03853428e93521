"""Windows: what is admissible, the same from both readers, a function of the step."""

import dataclasses
import itertools

import jax
import numpy as np
import pytest
from conftest import tiny_config

from gazehead_jax.build import load_split
from gazehead_jax.data import (
    ResidentWindows,
    StreamedWindows,
    WindowTable,
    fixed_windows,
    make_reader,
)
from gazehead_jax.errors import GazeheadError
from gazehead_jax.motion import Motion, mirror, resample


def table_of(motions, kind="window", **changes) -> WindowTable:
    config = tiny_config(kind, **changes)
    return WindowTable(motions, config.data, config.model)


@pytest.fixture(scope="module")
def motions(small_dataset):
    return load_split(small_dataset, "train")


def test_a_window_is_its_stretch_of_the_motion(motions):
    table = table_of(motions, **{"model.head_dim": 3})
    n = table.normaliser
    order = np.arange(0, len(table), 7)
    windows = StreamedWindows(table).batch(order)
    for k, number in enumerate(order):
        i, start = table.sequence[number // 2], table.start[number // 2]
        motion = resample(motions[int(i)], 5)
        motion = mirror(motion) if number % 2 else motion
        stretch = motion[int(start) : int(start) + table.length]
        np.testing.assert_allclose(n.gaze(stretch.gaze), windows.gaze[k], atol=1e-5)
        np.testing.assert_allclose(n.head(stretch.head), windows.head[k], atol=1e-5)
        np.testing.assert_array_equal(stretch.valid, windows.valid[k])


def test_windows_keep_their_promises(motions):
    table = table_of(motions, **{"data.min_valid": 0.75})
    windows = fixed_windows(table, limit=10**6)
    assert len(windows.valid) == len(table.start)
    context = table.model.context
    assert windows.valid[:, :context].all()
    assert windows.valid[:, context:].mean(1).min() >= 0.75


def test_resident_and_streamed_windows_are_the_same(motions):
    table = table_of(motions)
    resident, streamed = ResidentWindows(table), StreamedWindows(table)
    gather = jax.jit(
        lambda data, places: resident.materialise(data, places, table.length)
    )
    for step in (0, 1, 50):
        order = table.order(3, step, 16)
        a = gather(resident.constants, resident.batch(order))
        b = streamed.batch(order)
        np.testing.assert_allclose(a.gaze, b.gaze, atol=1e-6)
        np.testing.assert_allclose(a.head, b.head, atol=1e-6)
        np.testing.assert_array_equal(a.valid, b.valid)


def test_an_epoch_sees_every_window_once_and_is_reshuffled(motions):
    table = table_of(motions, **{"data.stride": 5})
    size = 7
    steps = -(-2 * len(table) // size)
    seen = np.concatenate([table.order(0, s, size) for s in range(steps)])
    n = len(table)
    assert sorted(seen[:n]) == list(range(n))
    assert sorted(seen[n : 2 * n]) == list(range(n))
    assert (seen[:n] != seen[n : 2 * n]).any()
    np.testing.assert_array_equal(table.order(0, 5, size), seen[5 * size : 6 * size])
    assert (table.order(1, 0, size) != table.order(0, 0, size)).any()


def test_a_step_does_not_shuffle_again(motions, monkeypatch):
    """Also beyond the first pass, and where a batch straddles two."""
    table = table_of(motions)
    shuffled = []
    make = np.random.default_rng
    monkeypatch.setattr(
        np.random, "default_rng", lambda seed: shuffled.append(seed) or make(seed)
    )
    steps = 3 * len(table) // 8
    for step in range(steps):
        table.order(0, step, 8)
    assert shuffled == [(0, 0), (0, 1), (0, 2)]


class Order:
    """`step -> window numbers`, picklable for grain's workers."""

    def __init__(self, table):
        self.table = table

    def __call__(self, step):
        return self.table.order(0, step, 8)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_the_stream_starts_anywhere_whatever_the_workers(motions, workers):
    table = table_of(motions, **{"data.workers": workers})
    reader = StreamedWindows(table)
    stream = reader.batches(Order(table), range(11, 40))
    for step, got in zip(range(11, 16), itertools.islice(stream, 5), strict=True):
        expected = reader.batch(table.order(0, step, 8))
        np.testing.assert_array_equal(got.gaze, expected.gaze)
    stream.close()


def test_the_reader_is_chosen_by_size(motions):
    make = lambda **changes: make_reader(table_of(motions, **changes))
    assert isinstance(make(), ResidentWindows)
    assert isinstance(make(**{"data.resident_mb": 0}), StreamedWindows)
    assert isinstance(make(**{"data.resident": "never"}), StreamedWindows)
    small = {"data.resident": "always", "data.resident_mb": 0}
    assert isinstance(make(**small), ResidentWindows)


def test_mirroring_makes_the_statistics_symmetric(motions):
    n = table_of(motions).normaliser
    assert n.gaze_mean[1] == pytest.approx(0, abs=1e-6)
    assert n.head_mean[1:] == pytest.approx([0, 0], abs=1e-6)
    assert (
        abs(table_of(motions, **{"data.mirror": False}).normaliser.gaze_mean[1]) > 1e-5
    )


def test_invalid_stretches_are_left_out():
    valid = np.ones(60, bool)
    valid[20:40] = False
    motion = Motion(np.zeros((60, 2)), np.zeros((60, 3)), 5, valid)
    table = table_of([motion], **{"data.mirror": False, "data.min_valid": 1.0})
    covered = set()
    for start in table.start:
        covered |= set(range(start, start + table.length))
    assert covered == set(range(20)) | set(range(40, 60))


def test_nothing_to_train_on_is_told(motions):
    with pytest.raises(GazeheadError, match="no sequence is long and valid enough"):
        table_of(motions, **{"data.horizon": 4000})
    with pytest.raises(GazeheadError, match="no sequence"):
        table_of([])
    blind = dataclasses.replace(motions[0], valid=np.zeros(len(motions[0]), bool))
    with pytest.raises(GazeheadError, match="zero valid frames"):
        table_of([blind])
