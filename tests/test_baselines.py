"""Baselines: planted laws are recovered, samples obey one interface."""

import numpy as np
import pytest

from gazehead_jax import baselines, simulator
from gazehead_jax.coordination import Hinge
from gazehead_jax.errors import GazeheadError
from gazehead_jax.motion import Motion

FPS = 20.0


def random_gaze(seed, frames=400):
    """White gaze: every lag is seen."""
    return 0.15 * np.random.default_rng(seed).standard_normal((frames, 2)) + [
        0.1,
        -0.05,
    ]


def motion(gaze, head, seed=0, **fields):
    return Motion(gaze=gaze, head=head, fps=FPS, subject=f"p{seed}", **fields)


def filtered(gaze, taps, offset):
    """head(t) = offset + Σ_k taps[k] · gaze(t - k), by loops; gaze before 0 rests."""
    head = np.zeros((len(gaze), 3))
    for t in range(len(gaze)):
        for axis in range(3):
            head[t, axis] = offset[axis]
            for k in range(len(taps)):
                past = gaze[max(t - k, 0)]
                head[t, axis] += taps[k][0, axis] * past[0] + taps[k][1, axis] * past[1]
    return head


def sample(baseline, gaze, *, valid=None, context=None, n=2, fps=FPS):
    valid = np.ones(len(gaze), bool) if valid is None else valid
    context = np.zeros((1, 3)) if context is None else context
    return baseline.sample(gaze, valid, fps, context, n, 0)


@pytest.fixture(scope="module")
def planted():
    """Three people whose heads are one linear filter of gaze, and the filter."""
    rng = np.random.default_rng(5)
    taps = rng.normal(0, 0.2, (4, 2, 3))
    offset = np.array([0.05, -0.1, 0.02])
    people = []
    for seed in range(3):
        gaze = random_gaze(seed)
        people.append(motion(gaze, filtered(gaze, taps, offset), seed))
    return people, taps, offset


# --- the interface -------------------------------------------------------------------


@pytest.mark.parametrize("name", baselines.BASELINES)
def test_every_baseline_samples_finite_causal_heads(name):
    train = [simulator.simulate(20, FPS, seed=i, subject=f"p{i}") for i in range(3)]
    baseline = baselines.fit_baseline(name, train)
    assert baseline.description
    test = simulator.simulate(10, FPS, seed=9)
    valid = np.random.default_rng(0).random(len(test)) > 0.2
    valid[0] = valid[-1] = True
    gaze = test.gaze.copy()
    gaze[~valid] = np.nan
    context = test.head[:2]
    heads = sample(baseline, gaze, valid=valid, context=context, n=3)
    assert heads.shape == (3, len(test), 3)
    assert np.isfinite(heads).all()
    assert (heads == heads[0]).all() == baseline.deterministic
    np.testing.assert_array_equal(
        sample(baseline, gaze, valid=valid, context=context, n=3), heads
    )
    # Two channels are the first two of three (the context has no roll to hold).
    two = sample(baseline, gaze, valid=valid, context=context[:, :2], n=1)
    np.testing.assert_array_equal(two[0], heads[0, :, :2])
    # Gaze yet to come changes nothing.
    later = gaze.copy()
    later[100:] = 0.3
    changed = sample(baseline, later, valid=valid, context=context)
    np.testing.assert_array_equal(changed[0, :100], heads[0, :100])


@pytest.mark.parametrize("name", baselines.BASELINES)
def test_invalid_frames_do_not_enter_the_fit(name, planted):
    people, *_ = planted
    valid = np.random.default_rng(1).random(400) > 0.1
    spoiled = []
    for m in people:
        gaze, head = np.array(m.gaze), np.array(m.head)
        # Where gaze is lost it is held; that is what the clean fit must see, too.
        gaze = baselines.held_gaze(gaze, valid)
        clean = m.replace(gaze=gaze, valid=valid)
        gaze[~valid], head[~valid] = np.nan, 1.5
        spoiled.append((clean, m.replace(gaze=gaze, head=head, valid=valid)))
    one, two = (
        sample(baselines.fit_baseline(name, motions), people[0].gaze)
        for motions in zip(*spoiled, strict=True)
    )
    np.testing.assert_array_equal(one, two)


def test_unknown_and_empty_are_told(planted):
    people, *_ = planted
    with pytest.raises(GazeheadError, match="one of constant_head.*got 'magic'"):
        baselines.fit_baseline("magic", people)
    for name in ("constant_head", "ridge_fir", "hinge"):
        with pytest.raises(GazeheadError, match="valid frame"):
            baselines.fit_baseline(name, [])
        with pytest.raises(GazeheadError, match="gaze but no head"):
            baselines.fit_baseline(name, [people[0].replace(head=None)])
    still = [motion(np.zeros((9, 2)), np.zeros((9, 3)))]
    with pytest.raises(GazeheadError, match="must move"):
        baselines.fit_baseline("hinge", still)
    mirror = baselines.MirrorGaze()
    with pytest.raises(GazeheadError, match="num_samples must be at least 1"):
        sample(mirror, people[0].gaze, n=0)
    with pytest.raises(GazeheadError, match="valid frame, got none of 400"):
        sample(mirror, people[0].gaze, valid=np.zeros(400, bool))
    with pytest.raises(GazeheadError, match="finite at valid frames"):
        sample(mirror, np.full((4, 2), np.nan))
    with pytest.raises(GazeheadError, match=r"\[c, 2\].*got \(1, 1\)"):
        sample(mirror, people[0].gaze, context=np.zeros((1, 1)))


def test_held_gaze():
    gaze = np.arange(12.0).reshape(6, 2)
    valid = np.array([0, 1, 0, 0, 1, 0], bool)
    got = baselines.held_gaze(gaze, valid)
    assert got[:, 0].tolist() == [2, 2, 2, 2, 8, 8]


# --- each of them --------------------------------------------------------------------


def test_constant_head_is_the_mean_over_frames():
    heads = [np.full((10, 3), 0.1), np.full((30, 3), 0.3)]
    train = [motion(random_gaze(0, len(h)), h) for h in heads]
    got = sample(baselines.fit_baseline("constant_head", train), random_gaze(1, 5))
    np.testing.assert_allclose(got, 0.25, atol=1e-7)


def test_hold_last_holds_the_last():
    context = np.array([[0.5, 0.5, 0.5], [0.1, -0.2, 0.3]])
    got = sample(baselines.HoldLast(), random_gaze(1, 5), context=context)
    np.testing.assert_array_equal(got, np.broadcast_to(context[1], (2, 5, 3)))
    with pytest.raises(GazeheadError, match="at least one frame of context_head"):
        sample(baselines.HoldLast(), random_gaze(1, 5), context=context[:0])


def test_mirror_gaze_points_where_gaze_does():
    gaze = random_gaze(2, 5)
    got = sample(baselines.MirrorGaze(), gaze)
    np.testing.assert_array_equal(got[0, :, :2], gaze)
    np.testing.assert_array_equal(got[..., 2], 0)


def test_ridge_recovers_a_planted_filter(planted):
    people, taps, offset = planted
    fit = baselines.RidgeFIR.fit(people, past_s=0.3)
    assert fit.delays.tolist() == list(range(7))
    weights = fit.weights.reshape(7, 2, 3)
    np.testing.assert_allclose(weights[:4], taps, atol=1e-4)
    np.testing.assert_allclose(weights[4:], 0, atol=1e-4)
    np.testing.assert_allclose(fit.offset, offset, atol=1e-4)
    gaze = random_gaze(7)
    got = sample(fit, gaze)[0]
    np.testing.assert_allclose(got, filtered(gaze, taps, offset), atol=1e-4)


def test_ridge_can_look_ahead():
    gaze = random_gaze(3)
    head = np.zeros((400, 3))
    head[:-2, 1] = 0.5 * gaze[2:, 1]
    people = [motion(gaze[:200], head[:200], 1), motion(gaze[200:], head[200:], 2)]
    fit = baselines.RidgeFIR.fit(people, past_s=0.1, future_s=0.1)
    assert fit.delays.tolist() == [-2, -1, 0, 1, 2]
    got = sample(fit, gaze)[0]
    np.testing.assert_allclose(got[:-2, 1], head[:-2, 1], atol=0.02)
    causal = sample(baselines.RidgeFIR.fit(people, past_s=0.1), gaze)[0]
    assert np.abs(causal[:, 1] - head[:, 1]).std() > 0.02


def slow_ridge(motions, delays, penalty):
    """Ridge by the augmented least-squares problem, on centred data."""
    rows, heads = [], []
    for m in motions:
        for t in range(len(m)):
            at = [min(max(t - k, 0), len(m) - 1) for k in delays]
            rows.append(np.concatenate([m.gaze[i] for i in at]))
            heads.append(m.head[t])
    x, y = np.array(rows, np.float64), np.array(heads, np.float64)
    mean_x, mean_y = x.mean(0), y.mean(0)
    x, y = x - mean_x, y - mean_y
    strength = penalty * x.var(0).mean() * len(x)
    stacked = np.concatenate([x, np.sqrt(strength) * np.eye(x.shape[1])])
    target = np.concatenate([y, np.zeros((x.shape[1], 3))])
    weights = np.linalg.lstsq(stacked, target, rcond=None)[0]
    return weights, mean_y - mean_x @ weights


def test_ridge_and_its_penalty_against_a_slow_oracle():
    """Noisy heads: leaving each person out in turn chooses, as a loop does."""
    rng = np.random.default_rng(8)
    people = []
    for seed in range(3):
        gaze = random_gaze(seed, 60)
        head = 0.3 * gaze[:, [0, 1, 1]] * [1, 1, 0] + 0.15 * rng.standard_normal(
            (60, 3)
        )
        people.append(motion(gaze, head, seed))
    fit = baselines.RidgeFIR.fit(people, past_s=0.4)
    delays = range(9)
    errors = []
    for penalty in baselines.RidgeFIR.PENALTIES:
        error = np.zeros(3)
        for out in people:
            weights, offset = slow_ridge(
                [m for m in people if m is not out], delays, penalty
            )
            for t in range(len(out)):
                x = np.concatenate([out.gaze[max(t - k, 0)] for k in delays])
                error += (out.head[t] - x @ weights - offset) ** 2
        errors.append(error)
    chosen = np.array(baselines.RidgeFIR.PENALTIES)[np.argmin(errors, axis=0)]
    np.testing.assert_array_equal(fit.penalties, chosen)
    # Roll follows nothing, so it is shrunk the most.
    assert fit.penalties[2] > fit.penalties[1]
    for axis in range(3):
        weights, offset = slow_ridge(people, delays, chosen[axis])
        np.testing.assert_allclose(fit.weights[:, axis], weights[:, axis], atol=1e-7)
        np.testing.assert_allclose(fit.offset[axis], offset[axis], atol=1e-7)


def test_ridge_of_gaze_that_never_moves_is_the_mean_head():
    head = np.random.default_rng(0).normal(0.1, 0.05, (50, 3))
    fit = baselines.fit_baseline("ridge_fir", [motion(np.zeros((50, 2)), head)])
    got = sample(fit, np.zeros((5, 2)))
    np.testing.assert_allclose(got[0], np.tile(head.mean(0), (5, 1)), atol=1e-6)


def test_ridge_minds_the_frame_rate(planted):
    people, *_ = planted
    fit = baselines.fit_baseline("ridge_fir", people)
    with pytest.raises(GazeheadError, match="fitted at 20.0 fps, got gaze at 25.0"):
        sample(fit, people[0].gaze, fps=25.0)
    with pytest.raises(GazeheadError, match="one fps, got 20.0 and 30.0"):
        baselines.fit_baseline("ridge_fir", [*people, people[0].replace(fps=30.0)])


def test_hinge_recovers_a_planted_one():
    gaze = random_gaze(4, 3000)
    # The centre that a fit takes is the mean as stored.
    middle = gaze.astype(np.float32).astype(np.float64).mean(0)
    laws = Hinge(0.6, 0.08, 0.02), Hinge(0.8, 0.15, -0.04)
    head = np.stack(
        [law(gaze[:, i] - middle[i]) for i, law in enumerate(laws)] + [0 * gaze[:, 0]],
        -1,
    )
    head[:, 2] = 0.03
    fit = baselines.fit_baseline(
        "hinge", [motion(gaze[:2000], head[:2000]), motion(gaze[2000:], head[2000:])]
    )
    np.testing.assert_allclose(fit.hinges, laws, atol=1e-5)
    np.testing.assert_allclose(sample(fit, gaze)[0], head, atol=1e-5)


def test_on_simulated_people_gaze_tells_of_the_head():
    """Ridge beats the constant head on people it has not seen, in yaw."""
    people = [simulator.simulate(60, FPS, seed=i, subject=f"p{i}") for i in range(8)]
    error = {}
    for name in ("constant_head", "hinge", "ridge_fir"):
        fit = baselines.fit_baseline(name, people[:5])
        error[name] = np.mean(
            [
                np.abs(
                    sample(fit, m.gaze, valid=m.valid)[0, :, 1] - m.head[:, 1]
                ).mean()
                for m in people[5:]
            ]
        )
    assert error["ridge_fir"] < error["hinge"] < error["constant_head"]
