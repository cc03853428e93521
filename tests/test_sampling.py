"""The sampler: the properties that make a rollout trustworthy."""

import dataclasses
import os
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import MODELS, random_checkpoint

from gazehead_jax import head_stream, networks
from gazehead_jax import rollout as rollouts
from gazehead_jax.errors import GazeheadError
from gazehead_jax.head_stream import HeadStream
from gazehead_jax.motion import Motion
from gazehead_jax.rollout import initial_state, rollout, sample_keys
from gazehead_jax.sampling import sample


@pytest.fixture(params=[*MODELS, "natural"])
def kind(request) -> str:
    return request.param


def heads(motions) -> np.ndarray:
    return np.stack([m.head for m in motions])


def test_scan_is_a_python_loop(tiny_checkpoint, gaze_motion):
    c, n = tiny_checkpoint.config.model, tiny_checkpoint.normaliser
    got = heads(sample(tiny_checkpoint, gaze_motion, num_samples=2, seed=7))
    state = initial_state(tiny_checkpoint, sample_keys(7, 2))
    carry, expected = state.carry, []
    step = jax.jit(
        lambda carry, *frame: networks.step(c, tiny_checkpoint.params, carry, *frame)
    )
    width = networks.noise_width(c)
    for t in range(len(gaze_motion)):
        noise = jnp.stack(
            [
                jax.random.normal(jax.random.fold_in(key, t // c.period), (width,))
                for key in state.keys
            ]
        )
        gaze = jnp.broadcast_to(n.gaze(gaze_motion.gaze[t]), (2, 2))
        carry, head = step(carry, gaze, jnp.full(2, bool(gaze_motion.valid[t])), noise)
        expected.append(n.head_inverse(np.asarray(head)))
    np.testing.assert_allclose(got[..., : c.head_dim], np.stack(expected, 1), atol=1e-5)
    if c.head_dim == 2:
        assert not got[..., 2].any()


def test_a_longer_rollout_begins_with_the_shorter(tiny_checkpoint, gaze_motion):
    whole = heads(sample(tiny_checkpoint, gaze_motion, num_samples=2))
    part = heads(sample(tiny_checkpoint, gaze_motion[:33], num_samples=2))
    np.testing.assert_array_equal(whole[:, :33], part)


def test_so_does_one_that_looks_ahead_but_for_what_it_cannot_see(gaze_motion):
    checkpoint = random_checkpoint("lookahead")
    ahead = checkpoint.config.model.lookahead
    whole = heads(sample(checkpoint, gaze_motion))
    part = heads(sample(checkpoint, gaze_motion[:33]))
    np.testing.assert_array_equal(whole[:, : 33 - ahead], part[:, : 33 - ahead])
    assert np.abs(whole[:, :33] - part).max() > 1e-5
    live = heads(sample(checkpoint, gaze_motion, live=True))
    part = heads(sample(checkpoint, gaze_motion[:33], live=True))
    np.testing.assert_array_equal(live[:, :33], part)


def test_future_gaze_never_changes_past_heads(tiny_checkpoint, gaze_motion):
    later = gaze_motion.gaze.copy()
    later[40:] += 0.3
    a = heads(sample(tiny_checkpoint, gaze_motion))
    b = heads(sample(tiny_checkpoint, gaze_motion.replace(gaze=later)))
    np.testing.assert_array_equal(a[:, :40], b[:, :40])
    assert np.abs(a[:, 40:] - b[:, 40:]).max() > 1e-3


@pytest.mark.parametrize("chunk", [1, 7, 13, 64, 300])
def test_the_chunk_size_changes_nothing(tiny_checkpoint, gaze_motion, chunk):
    a = heads(sample(tiny_checkpoint, gaze_motion, num_samples=2, seed=1))
    b = heads(sample(tiny_checkpoint, gaze_motion, num_samples=2, seed=1, chunk=chunk))
    np.testing.assert_allclose(a, b, atol=1e-6)


def test_a_batch_is_its_samples_one_by_one(tiny_checkpoint, gaze_motion):
    together = heads(sample(tiny_checkpoint, gaze_motion, num_samples=4, seed=2))
    gaze, valid = gaze_motion.gaze[None], gaze_motion.valid[None]
    for k in range(4):
        state = initial_state(tiny_checkpoint, sample_keys(2, 1, first=k))
        alone = np.concatenate(list(rollout(tiny_checkpoint, state, gaze, valid)), 1)
        np.testing.assert_allclose(together[k], alone[0], atol=1e-5)


def test_samples_and_seeds_differ_and_repeat(tiny_checkpoint, gaze_motion):
    a = heads(sample(tiny_checkpoint, gaze_motion, num_samples=3, seed=1))
    b = heads(sample(tiny_checkpoint, gaze_motion, num_samples=3, seed=1))
    c = heads(sample(tiny_checkpoint, gaze_motion, num_samples=3, seed=2))
    np.testing.assert_array_equal(a, b)
    for x, y in ((a[0], a[1]), (a[1], a[2]), (a[0], c[0])):
        assert np.abs(x - y).max() > 1e-3


@pytest.mark.parametrize("rows", [2, 3])
def test_the_stream_is_the_rollout(tiny_checkpoint, gaze_motion, rows, monkeypatch):
    """In NumPy for a few rows, compiled for more; noise is drawn anew on the way."""
    assert (rows <= head_stream.NUMPY_ROWS) == (rows == 2)
    monkeypatch.setattr(head_stream, "NOISE_AHEAD", 24)
    expected = heads(sample(tiny_checkpoint, gaze_motion, num_samples=rows, seed=5))
    stream = HeadStream(tiny_checkpoint, num_samples=rows, seed=5)
    for t in range(len(gaze_motion)):
        head = stream.step(gaze_motion.gaze[t], bool(gaze_motion.valid[t]))
        np.testing.assert_allclose(head, expected[:, t], atol=1e-5)


@pytest.mark.parametrize("rows", [2, 3])
def test_rows_shared_out_are_the_rows_on_one_device(rows, gaze_motion):
    """Also when devices do not get as many each."""
    assert rollouts._mesh(rows).size == len(jax.local_devices()) == 2
    assert rollouts._mesh(1) is None
    checkpoint = random_checkpoint("natural")
    shared = heads(sample(checkpoint, gaze_motion, num_samples=rows, chunk=32))
    with jax.default_device(jax.devices()[0]):
        assert rollouts._mesh(rows) is None
        alone = heads(sample(checkpoint, gaze_motion, num_samples=rows, chunk=32))
    np.testing.assert_allclose(shared, alone, atol=1e-5)


@pytest.mark.parametrize("block", [1, 300])
def test_the_block_of_noise_changes_nothing(
    tiny_checkpoint, gaze_motion, block, monkeypatch
):
    expected = heads(sample(tiny_checkpoint, gaze_motion, num_samples=3, chunk=64))
    monkeypatch.setattr(rollouts, "NOISE_BLOCK", block)
    rollouts._compiled.cache_clear()
    got = heads(sample(tiny_checkpoint, gaze_motion, num_samples=3, chunk=64))
    rollouts._compiled.cache_clear()
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_cores_are_asked_for_and_what_the_user_said_stays(monkeypatch):
    from gazehead_jax.doctor import use_cores

    def flags(rows, said):
        monkeypatch.setenv("XLA_FLAGS", said)
        monkeypatch.setattr("os.sched_getaffinity", lambda pid: range(4), raising=False)
        use_cores(rows)
        return os.environ["XLA_FLAGS"]

    devices = "--xla_force_host_platform_device_count="
    assert flags(64, "") == f"{devices}4"
    assert flags(3, "--xla_x=1") == f"--xla_x=1 {devices}3"
    assert flags(64, f"{devices}1") == f"{devices}1"
    assert "small_while_loop" in flags(1, "")
    assert devices not in flags(1, "")


def test_gaze_during_a_blink_is_never_used(tiny_checkpoint, gaze_motion):
    dirty = np.where(gaze_motion.valid[:, None], gaze_motion.gaze, 1.2)
    a = heads(sample(tiny_checkpoint, gaze_motion))
    b = heads(sample(tiny_checkpoint, gaze_motion.replace(gaze=dirty)))
    np.testing.assert_array_equal(a, b)


def test_the_last_valid_gaze_stands_in_for_a_blink(tiny_checkpoint, gaze_motion):
    if tiny_checkpoint.config.model.kind == "natural":
        pytest.skip("a natural model also sees that the eyes are closed")
    held = gaze_motion.gaze.copy()
    held[20:23] = held[19]
    open_eyes = Motion(held, None, 5)
    a, b = (
        heads(sample(tiny_checkpoint, gaze_motion)),
        heads(sample(tiny_checkpoint, open_eyes)),
    )
    np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("rubbish", [-999.0, 17.0])
def test_any_number_may_stand_in_for_a_blink(gaze_motion, rubbish):
    gaze = np.where(gaze_motion.valid[:, None], gaze_motion.gaze, rubbish)
    marked = Motion(gaze, None, 5, gaze_motion.valid)
    for kind in ("window", "frame", "natural"):
        checkpoint = random_checkpoint(kind)
        a, b = heads(sample(checkpoint, gaze_motion)), heads(sample(checkpoint, marked))
        np.testing.assert_array_equal(a, b)


def test_another_rate_looks_no_further_than_two_model_frames():
    """25 fps gaze, 5 fps model: what changes at 6 s changes heads after 5.6 s."""
    checkpoint = random_checkpoint("window")
    t = np.arange(250) / 25
    gaze = np.stack([0.1 * np.sin(t), 0.3 * np.sin(t)], -1)
    later = gaze + np.where(t >= 6, 0.3, 0)[:, None]
    a, b = (heads(sample(checkpoint, Motion(g, None, 25))) for g in (gaze, later))
    np.testing.assert_array_equal(a[:, t < 5.6], b[:, t < 5.6])
    assert np.abs(a - b).max() > 0.01


def test_the_stream_survives_a_gaze_that_is_not_finite(gaze_motion):
    a, b = (HeadStream(random_checkpoint("frame"), seed=1) for _ in range(2))
    for t in range(20):
        lost = t in (5, 6)
        gaze = np.full(2, np.nan, np.float32) if lost else gaze_motion.gaze[t]
        np.testing.assert_array_equal(
            a.step(gaze), b.step(gaze_motion.gaze[t], not lost)
        )


def test_the_stream_refuses_degrees_and_goes_on():
    a, b = (HeadStream(random_checkpoint("natural"), seed=1) for _ in range(2))
    for t in range(3):
        with pytest.raises(GazeheadError, match=r"got \(5, -40\); are these degrees"):
            a.step(np.array([5.0, -40.0]))
        now = np.array([0.1, 0.1 * t])
        np.testing.assert_array_equal(a.step(now), b.step(now))


def test_what_is_not_a_model_a_gaze_or_a_motion_is_told():
    """In a process without the type checker of these tests, as users have it."""
    program = """
import numpy as np
import gazehead_jax as gh

model = gh.load("natural")
gaze = gh.Motion(np.zeros((30, 2)), None, 30)
stream = gh.HeadStream(model)
for use in (
    lambda: gh.sample("natural", gaze),
    lambda: gh.HeadStream("natural"),
    lambda: gh.load(None),
    lambda: gh.render("head.csv", "head.mp4"),
    lambda: stream.step(np.zeros(3)),
    lambda: stream.step(np.zeros((1, 2))),
):
    try:
        use()
    except gh.GazeheadError as error:
        print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for line, words in zip(
        done.stdout.splitlines(),
        (
            "a loaded model is needed.*got str 'natural'",
            "a loaded model is needed.*got str 'natural'",
            "a name or a path, got NoneType",
            "a Motion is drawn.*got str 'head.csv'",
            r"shape \(3,\)",
            r"shape \(1, 2\)",
        ),
        strict=True,
    ):
        assert re.search(words, line), line


def test_the_context_conditions_the_start(gaze_motion):
    checkpoint = random_checkpoint("window")
    context = Motion(gaze=np.zeros((2, 2)), head=np.full((2, 3), 0.3), fps=5)
    a = heads(sample(checkpoint, gaze_motion))
    b = heads(sample(checkpoint, gaze_motion, context=context))
    assert np.abs(a[:, 0] - b[:, 0]).max() > 1e-3
    with pytest.raises(GazeheadError, match="context must be"):
        sample(checkpoint, gaze_motion, context=context[:1])


@pytest.mark.parametrize("valid", [[False, False, True, True], [False] * 4])
def test_invalid_frames_of_the_context_are_never_used(gaze_motion, valid):
    for kind in ("window", "frame", "natural", "lookahead"):
        checkpoint = random_checkpoint(kind)
        length = checkpoint.config.model.context
        made = []
        for rubbish in (0.0, 0.7):
            known = np.array(valid[-length:])[:, None]
            past = Motion(
                gaze=np.where(known, 0.1, np.full((length, 2), rubbish)),
                head=np.where(known, 0.2, np.full((length, 3), rubbish)),
                fps=5,
                valid=known[:, 0],
            )
            made.append(heads(sample(checkpoint, gaze_motion, context=past)))
        np.testing.assert_array_equal(*made)


def test_the_stream_takes_a_context_too(gaze_motion):
    checkpoint = random_checkpoint("natural")
    past = Motion(np.full((4, 2), 0.2), np.full((4, 3), 0.3), fps=5)
    expected = heads(sample(checkpoint, gaze_motion, context=past))
    stream = HeadStream(checkpoint, context=past)
    for t in range(len(gaze_motion)):
        head = stream.step(gaze_motion.gaze[t], bool(gaze_motion.valid[t]))
        np.testing.assert_allclose(head, expected[:, t], atol=1e-5)


@pytest.mark.parametrize("fps", [2, 5, 24, 25, 120])
def test_any_rate_in_the_same_rate_and_length_out(fps):
    checkpoint = random_checkpoint("window")
    t = np.arange(7 * fps + 3) / fps
    gaze = np.stack([0.1 * np.sin(t), 0.3 * np.sin(t)], -1)
    motion = Motion(gaze=gaze, head=None, fps=fps, subject="me")
    (made,) = sample(checkpoint, motion)
    assert len(made) == len(motion)
    assert made.fps == fps
    assert made.subject == "me"
    assert np.isfinite(made.head).all()
    assert made.meta["generated"]["model_fps"] == 5.0


def test_nothing_compiles_anew_for_another_length():
    checkpoint = random_checkpoint("frame")
    rng = np.random.default_rng(0)
    rollouts._compiled.cache_clear()
    for length in (5, 100, 256, 257, 1000):
        gaze = rng.normal(0, 0.1, (1, length, 2)).astype(np.float32)
        state = initial_state(checkpoint, sample_keys(0, 1))
        pieces = list(rollout(checkpoint, state, gaze, np.ones((1, length), bool)))
        assert sum(p.shape[1] for p in pieces) == length
    assert rollouts._compiled.cache_info().currsize == 1
    assert rollouts._compiled(checkpoint.config.model, None, None)._cache_size() == 1


@pytest.mark.slow
def test_ten_hours_run_in_constant_memory():
    """900,000 frames at 25 fps: an iterator of chunks that holds nothing back."""
    import resource

    checkpoint = random_checkpoint("frame")
    samples, length, piece = 16, 900_000, 90_000
    gaze = np.zeros((length, 2), np.float32)
    gaze[:, 1] = 0.3 * np.sin(np.arange(length) / 25)
    gaze = np.broadcast_to(gaze, (samples, length, 2))
    valid = np.broadcast_to(True, (samples, length))
    state = initial_state(checkpoint, sample_keys(0, samples))
    seen, early = 0, None
    for heads in rollout(checkpoint, state, gaze, valid, 4096):
        assert np.isfinite(heads).all()
        seen += heads.shape[1]
        if early is None and seen > piece:
            early = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert seen == length
    late = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # kB: nine tenths of the output, if anything held it, would be 155 MB.
    assert late - early < 60_000


def test_a_model_gone_wild_still_gives_angles(gaze_motion):
    """Parameters a thousand times too large, gaze far outside the human range."""
    checkpoint = random_checkpoint("frame")
    wild = jax.tree.map(lambda x: x * 1000, checkpoint.params)
    wild = dataclasses.replace(checkpoint, params=wild)
    gaze = np.clip(gaze_motion.gaze * 50, -1.5, 1.5)
    made = heads(sample(wild, gaze_motion.replace(gaze=gaze), num_samples=3))
    assert np.isfinite(made).all()
    assert (np.abs(made).max((0, 1)) <= np.float32([np.pi / 2, np.pi, np.pi])).all()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"num_samples": 0}, "num_samples must be"),
        ({"chunk": 0}, "chunk must be"),
        ({"seed": -1}, "seed must be"),
        ({"temperature": -1.0}, "temperature must be"),
        ({"temperature": np.nan}, "temperature must be"),
    ],
)
def test_bad_arguments(gaze_motion, arguments, says):
    checkpoint = random_checkpoint("window")
    with pytest.raises(GazeheadError, match=says):
        sample(checkpoint, gaze_motion, **arguments)
    if "chunk" not in arguments:
        with pytest.raises(GazeheadError, match=says):
            HeadStream(checkpoint, **arguments)


def test_a_motion_tells_how_it_was_made(gaze_motion):
    """Enough to make it again."""
    checkpoint = random_checkpoint("lookahead")
    how = {"style": [0.5, 1.0], "best_of": 3, "live": True, "temperature": 0.5}
    (made,) = sample(checkpoint, gaze_motion, seed=4, **how)
    facts = made.meta["generated"]
    again = {name: facts[name] for name in ("seed", *how)}
    (repeated,) = sample(checkpoint, gaze_motion, **again)
    np.testing.assert_array_equal(made.head, repeated.head)
    (usual,) = sample(checkpoint, gaze_motion)
    assert not {*how, "controls"} & {*usual.meta["generated"]}


def test_one_frame_is_refused(gaze_motion):
    with pytest.raises(GazeheadError, match="at least two frames"):
        sample(random_checkpoint("window"), gaze_motion[:1])


def test_zero_valid_frames_are_refused(gaze_motion):
    blind = gaze_motion.replace(valid=np.zeros(60, bool))
    with pytest.raises(GazeheadError, match="zero valid"):
        sample(random_checkpoint("window"), blind)
