"""Bands: known curves, weights that mean copies, an envelope that holds what it says."""

import numpy as np
import pytest

from gazehead_jax import bands, simulator
from gazehead_jax.bands import Band, Cases


def random_cases(seed, n=40):
    rng = np.random.default_rng(seed)
    out = {}
    for name in bands.CURVES:
        bins = len(bands.EDGES[name.rpartition("_")[0]]) - 1
        out[name] = rng.integers(-1, bins, n), rng.normal(seed, 1, n)
    return Cases(out)


def test_curves_by_hand():
    index, value = np.array([0, 0, 0, 2, -1]), np.array([1.0, 5.0, 2.0, 7.0, 99.0])
    found = bands.curves([Cases({name: (index, value) for name in bands.CURVES})])
    # Of five pieces three lie in the first bin and one in the third.
    assert found["lag_yaw"].tolist()[:4] == [0.6, 0, 0.2, 0]
    assert found["head_share_yaw"][0] == 2
    assert np.isnan(found["head_share_yaw"][1])
    assert found["main_sequence_pitch"][2] == 7


def test_a_person_drawn_twice_counts_twice():
    cases = [random_cases(i) for i in range(4)]
    person = np.array([0, 0, 1, 2])
    weights = np.array([[2.0, 0, 1], [0, 3, 0]])
    for name in bands.CURVES:
        found = bands._curve(name, cases, person, weights)
        first = [cases[0], cases[1], cases[0], cases[1], cases[3]]
        np.testing.assert_allclose(found[0], bands.curves(first)[name])
        np.testing.assert_allclose(found[1], bands.curves([cases[2]] * 3)[name])


def test_the_envelope_holds_its_share_of_whole_curves():
    rng = np.random.default_rng(0)
    curves = rng.normal(0, [1, 2, 3, 4], (2000, 4)) + rng.normal(0, 1, (2000, 1))
    low, high = bands.envelope(curves, 0.9)
    inside = ((curves >= low) & (curves <= high)).all(1).mean()
    assert 0.9 <= inside < 0.91
    # Bin by bin it must therefore be wider than 90 %.
    each = ((curves >= low) & (curves <= high)).mean(0)
    assert (each > 0.95).all()
    assert each == pytest.approx(each.mean(), abs=0.005)
    # Of one bin it is the usual interval.
    low, high = bands.envelope(curves[:, :1], 0.9)
    assert [low[0], high[0]] == pytest.approx(
        np.quantile(curves[:, 0], [0.05, 0.95]), abs=0.02
    )
    gap = curves.copy()
    gap[0, 2] = np.nan
    np.testing.assert_allclose(
        bands.envelope(gap, 0.9)[0], bands.envelope(curves, 0.9)[0], atol=0.2
    )


def test_inside_counts_judged_bins_only():
    judged = np.array([True, True, False, True])
    band = Band(np.zeros(4), np.full(4, -1.0), np.full(4, 1.0), judged)
    assert band.inside(np.array([0, 1.0, 9, 1.1])) == pytest.approx(2 / 3)
    assert band.inside(np.array([0, np.nan, 0, 0])) == pytest.approx(2 / 3)
    none = Band(np.zeros(4), np.zeros(4), np.zeros(4), np.zeros(4, bool))
    assert np.isnan(none.inside(np.zeros(4)))


def test_simulated_people_lie_in_their_own_band_and_late_heads_do_not():
    motions = [simulator.simulate(40, 30.0, seed=i, subject=f"p{i}") for i in range(8)]
    real = [bands.measure(m.gaze, m.head[None], m.valid, m.fps) for m in motions]
    found = bands.bands(real, [m.subject for m in motions])
    curves = bands.curves(real)
    for name, band in found.items():
        if band.judged.any():
            assert band.inside(curves[name]) == 1
            np.testing.assert_array_equal(np.isnan(band.low), ~band.judged)
    assert found["lag_yaw"].judged.any()
    late = [
        bands.measure(m.gaze[9:], m.head[None, :-9], m.valid[9:], m.fps)
        for m in motions
    ]
    assert found["lag_yaw"].inside(bands.curves(late)["lag_yaw"]) < 1
    # Four equal samples are four times the cases, and the same curves.
    same = [
        bands.measure(m.gaze, np.repeat(m.head[None], 4, 0), m.valid, m.fps)
        for m in motions
    ]
    for name, curve in bands.curves(same).items():
        np.testing.assert_allclose(curve, curves[name])


def test_bins_of_few_people_are_not_judged():
    bins = np.repeat([0, 1], 40), np.ones(80)
    crowd = Cases({name: bins for name in bands.CURVES})
    lone = Cases({n: (np.full(80, 2), np.ones(80)) for n in bands.CURVES})
    found = bands.bands([crowd] * 5 + [lone], [f"p{i}" for i in range(6)])
    assert found["head_share_yaw"].judged.tolist()[:4] == [True, True, False, False]
