"""The natural model and the energy score of its rollouts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import random_checkpoint, tiny_config

from gazehead_jax import energy, networks
from gazehead_jax.data import WindowTable
from gazehead_jax.energy import energy_loss
from gazehead_jax.errors import GazeheadError
from gazehead_jax.model import Windows
from gazehead_jax.motion import Motion, wrap
from gazehead_jax.natural import Frame, Natural, init_params, noise_width, start
from gazehead_jax.rollout import initial_state, rollout, sample_keys
from gazehead_jax.sampling import sample

CONFIG = tiny_config("natural")


def params(seed=0):
    return init_params(CONFIG.model, jax.random.key(seed))


def windows(b=4, seed=0, invalid=(), extra=0) -> Windows:
    """Wandering gaze and heads that follow it."""
    rng = np.random.default_rng(seed)
    t = CONFIG.model.context + CONFIG.data.horizon + extra
    gaze = np.cumsum(rng.normal(0, 0.05, (b, t, 2)), 1)
    head = np.concatenate([0.6 * gaze, np.zeros((b, t, 1))], -1)
    valid = np.ones((b, t), bool)
    for frame in invalid:
        valid[:, frame] = False
    as32 = lambda x: jnp.asarray(x, jnp.float32)
    return Windows(gaze=as32(gaze), head=as32(head), valid=jnp.asarray(valid))


def loss_of(w, paired=True, **changes):
    config = tiny_config("natural", **changes)
    b = len(w.valid)
    # A function of its own: constants that a test changes must not come from a cache.
    run = jax.jit(
        lambda p, w: energy_loss(config, p, w, jax.random.key(1), jnp.arange(b), paired)
    )
    return run(params(), w)


# --- the cell ----------------------------------------------------------------------


def test_the_training_scan_is_a_python_loop_of_step():
    w, model = windows(), Natural(CONFIG.model)
    b, t = w.valid.shape
    noise = jax.random.normal(jax.random.key(2), (b, t, noise_width(CONFIG.model)))
    force = jnp.broadcast_to(jnp.arange(t) < 4, (b, t))
    frames = Frame(w.gaze, w.valid, noise, w.head, force)
    carry = start(CONFIG.model, w.head[:, 0], jnp.ones((b, 2)))
    _, heads = model.apply({"params": params()}, carry, frames)
    for i in range(t):
        one = jax.tree.map(lambda x, i=i: x[:, i], frames)
        carry, head = model.apply({"params": params()}, carry, one, method=Natural.step)
        np.testing.assert_allclose(head, heads[:, i], atol=1e-6)


def test_where_north_is_does_not_matter():
    """Gaze and head turned about the vertical: the same movement, turned."""
    checkpoint = random_checkpoint("natural")
    rng = np.random.default_rng(0)
    gaze = np.cumsum(rng.normal(0, 0.05, (60, 2)), 0)
    past = np.concatenate([0.5 * gaze[:10], np.zeros((10, 1))], 1)
    runs = []
    for turn in (0.0, 2.8):
        seen = wrap(gaze + [0, turn])
        context = Motion(seen[:10], wrap(past + [0, turn, 0]), 5)
        state = initial_state(checkpoint, sample_keys(0, 2), context)
        ahead = np.broadcast_to(seen[None, 10:], (2, 50, 2)).astype(np.float32)
        (heads,) = rollout(checkpoint, state, ahead, np.ones((2, 50), bool))
        runs.append(wrap(heads - [0, turn, 0]))
    np.testing.assert_allclose(wrap(runs[0] - runs[1]), 0, atol=2e-3)


def test_the_past_sets_pose_and_movement_going_on():
    checkpoint = random_checkpoint("natural")
    turning = np.zeros((8, 3), np.float32)
    turning[:, 1] = 0.05 * np.arange(8)
    context = Motion(turning[:, :2] * 0, turning, 5)
    carry = initial_state(checkpoint, sample_keys(0, 3), context).carry
    np.testing.assert_allclose(carry.head, np.tile(turning[-1], (3, 1)), atol=1e-6)
    np.testing.assert_allclose(carry.step[:, 1], 0.05, atol=1e-6)
    # Without a past the head is at rest and looks straight ahead.
    carry = initial_state(checkpoint, sample_keys(0, 3)).carry
    assert not np.asarray(carry.head).any()
    assert not np.asarray(carry.step).any()


def test_the_first_gaze_is_no_movement():
    """A start far from the middle is not taken for a saccade of 60 degrees."""
    model = Natural(CONFIG.model)
    noise = jnp.zeros((1, noise_width(CONFIG.model)))
    closed = Frame(jnp.full((1, 2), 9.0), jnp.zeros(1, bool), noise)
    frame = Frame(jnp.array([[0.1, 1.0]]), jnp.ones(1, bool), noise)
    carry = start(CONFIG.model, jnp.zeros((1, 3)), jnp.zeros((1, 2)))
    apply = lambda c, f: model.apply({"params": params()}, c, f, method=Natural.step)
    carry, _ = apply(apply(carry, closed)[0], frame)
    np.testing.assert_allclose(carry.gaze, frame.gaze)
    np.testing.assert_allclose(carry.posture, 1.0)
    assert bool(carry.seen.all())


def test_styles_are_drawn_or_given():
    checkpoint = random_checkpoint("natural")
    styles = np.asarray(initial_state(checkpoint, sample_keys(0, 256)).carry.style)
    assert styles.shape == (256, 2)
    assert np.abs(styles.mean(0)).max() < 0.25
    assert np.abs(styles.std(0) - 1).max() < 0.15
    given = initial_state(checkpoint, sample_keys(0, 2), style=np.array([1.0, -1]))
    np.testing.assert_array_equal(given.carry.style, [[1, -1], [1, -1]])
    with pytest.raises(GazeheadError, match="one number along its axis or 2"):
        initial_state(checkpoint, sample_keys(0, 2), style=np.zeros(3))


def test_wild_gaze_leaves_heads_finite_and_in_bounds():
    """Untrained, for 2,000 frames of gaze that no eye can follow."""
    checkpoint = random_checkpoint("natural")
    rng = np.random.default_rng(0)
    gaze = rng.uniform(-1.5, 1.5, (2000, 2))
    gaze[:, 1] *= 2
    (motion,) = sample(checkpoint, Motion(gaze, None, 5))
    assert np.isfinite(motion.head).all()
    assert np.abs(motion.head[:, [0, 2]]).max() <= 1.4 + 1e-6


# --- the energy score --------------------------------------------------------------


def test_the_score_is_the_definition():
    rng = np.random.default_rng(0)
    both = rng.normal(size=(3, 1 + 5, 4, 2)).astype(np.float32)
    mask = np.array([[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 0]], bool)
    found = energy._score(jnp.asarray(both), jnp.asarray(mask[:, None]))
    for b in range(3):
        scores = []
        for n in np.flatnonzero(mask[b]):
            real, made = both[b, 0, n], both[b, 1:, n]
            away = np.mean([np.linalg.norm(x - real) for x in made])
            pairs = [
                np.linalg.norm(made[i] - made[j])
                for i in range(5)
                for j in range(5)
                if i != j
            ]
            scores.append(away - 0.5 * np.mean(pairs))
        assert found[b] == pytest.approx(np.mean(scores) if scores else 0, abs=1e-4)


def test_the_score_prefers_the_true_spread():
    rng = np.random.default_rng(0)
    real = rng.normal(size=(20_000, 1, 1, 1))
    score = {}
    for spread in (0.0, 0.5, 1.0, 1.5, 3.0):
        made = spread * rng.normal(size=(20_000, 2, 1, 1))
        both = jnp.asarray(np.concatenate([real, made], 1), jnp.float32)
        score[spread] = float(
            energy._score(both, jnp.ones((20_000, 1, 1), bool)).mean()
        )
    assert min(score, key=score.get) == 1.0


def test_numbers_at_invalid_frames_change_nothing():
    hidden = (7, 8, 11)
    clean = windows(invalid=hidden)
    at = jnp.asarray(hidden)
    dirty = clean.replace(
        gaze=clean.gaze.at[:, at].set(jnp.nan), head=clean.head.at[:, at].set(jnp.nan)
    )
    a, b = loss_of(clean), loss_of(dirty)
    jax.tree.map(np.testing.assert_array_equal, a, b)
    grad = jax.grad(
        lambda p: energy_loss(CONFIG, p, dirty, jax.random.key(1), jnp.arange(4), True)[
            0
        ].sum()
    )(params())
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(grad))


def test_noise_belongs_to_the_global_row():
    w = windows(4)
    whole, _ = loss_of(w, paired=False)
    half = jax.tree.map(lambda x: x[2:], w)
    part, _ = jax.jit(energy_loss, static_argnums=(0, 5))(
        CONFIG, params(), half, jax.random.key(1), jnp.arange(2, 4), False
    )
    np.testing.assert_allclose(whole[2:], part, rtol=1e-5)


def test_a_window_takes_its_neighbours_style_and_not_its_own(monkeypatch):
    monkeypatch.setattr(energy, "STYLE_DROPPED", 0.0)
    monkeypatch.setattr(energy, "STYLE_WEIGHT", 0.0)
    w = windows(4)
    base, _ = loss_of(w)
    # Another neighbour for row 0: only row 0 and that neighbour's own loss change.
    changed = jax.tree.map(lambda x, y: x.at[1].set(y[0]), w, windows(1, seed=9))
    other, _ = loss_of(changed)
    assert abs(float(other[0] - base[0])) > 1e-6
    np.testing.assert_allclose(other[2:], base[2:], rtol=1e-6)
    # A batch that cannot be halved cannot be paired.
    with pytest.raises(GazeheadError, match="even number"):
        loss_of(jax.tree.map(lambda x: x[:3], w))


def test_true_heads_forced_everywhere_leave_one_step_to_score():
    forced, free = loss_of(windows(), **{"loss.self_feed": 0.0}), loss_of(windows())
    assert float(forced[1]["pose"].mean()) < 0.3 * float(free[1]["pose"].mean())


# --- windows in pairs --------------------------------------------------------------


def test_neighbours_in_a_batch_are_one_person_and_rare_people_count():
    rng = np.random.default_rng(0)

    def person(name, seconds):
        n = int(5 * seconds)
        gaze = np.cumsum(rng.normal(0, 0.02, (n, 2)), 0)
        return Motion(gaze, np.zeros((n, 3)), 5, subject=name)

    motions = [person("long", 900), person("short", 9), person("other", 100)]
    table = WindowTable(motions, CONFIG.data, CONFIG.model)
    np.testing.assert_array_equal(table.normaliser.gaze_std, 1)
    seen = []
    for step in range(60):
        order = table.order(0, step, 8)
        sequence, _, _ = table.locate(order)
        assert (sequence.reshape(-1, 2)[:, 0] == sequence.reshape(-1, 2)[:, 1]).all()
        seen += sequence.tolist()
    share = np.bincount(seen) / len(seen)
    root = np.sqrt([900, 7, 98])
    np.testing.assert_allclose(share, root / root.sum(), atol=0.05)
    again = WindowTable(motions, CONFIG.data, CONFIG.model)
    np.testing.assert_array_equal(again.order(0, 59, 8), order)


def test_people_can_be_left_out():
    motions = [
        Motion(np.zeros((60, 2)), np.zeros((60, 3)), 5, subject=name)
        for name in ("a:1", "a:2", "b:1")
    ]
    config = tiny_config("natural", **{"data.exclude": "a:"})
    assert config.data.exclude == ("a:",)
    table = WindowTable(motions, config.data, config.model)
    assert [m.subject for m in table.motions] == ["b:1"]


def test_a_config_that_cannot_be_natural_is_told():
    with pytest.raises(GazeheadError, match="head_dim = 3"):
        tiny_config("natural", **{"model.head_dim": 2})
    with pytest.raises(GazeheadError, match="must be even"):
        tiny_config("natural", **{"train.batch_size": 7})


def test_networks_know_their_units_and_noise():
    assert networks.own_units(tiny_config("window").model) is None
    assert networks.noise_width(CONFIG.model) == CONFIG.model.latent + 3


def test_a_model_may_have_no_styles():
    config = tiny_config("natural", **{"model.style": 0})
    without = init_params(config.model, jax.random.key(0))
    assert "encoder" not in without
    w = windows()
    loss, _ = energy_loss(config, without, w, jax.random.key(1), jnp.arange(4), True)
    assert np.isfinite(loss).all()
