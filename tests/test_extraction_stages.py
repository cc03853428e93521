"""The stages that see no picture: timing, smoothing, tracks, checks."""

import dataclasses

import numpy as np
import pytest
from mean_face import CAMERA, project

from gazehead_jax.errors import GazeheadError
from gazehead_jax.extraction import ExtractSettings, checks
from gazehead_jax.extraction.one_euro import one_euro
from gazehead_jax.extraction.track import Track, join, observe
from gazehead_jax.extraction.tracks import Tracker
from gazehead_jax.gaze import make_estimator
from gazehead_jax.timing import frame_rate, uniform

# --- timing ------------------------------------------------------------------------


def test_variable_frame_rates_become_uniform():
    time = np.delete(np.arange(100) / 25, [40, 60, 61, 62])
    values = np.stack([np.sin(time), time / 10], -1)
    fps, even = frame_rate(time)
    out, valid = uniform(time, values, np.ones(len(time), bool), fps)
    grid = np.arange(100) / 25
    assert (fps, even, len(out)) == (25, False, 100)
    # One lost frame is filled in, three are a hole.
    assert np.flatnonzero(~valid).tolist() == [60, 61, 62]
    np.testing.assert_allclose(out[valid, 0], np.sin(grid)[valid], atol=1e-3)


def test_invalid_neighbours_do_not_enter_a_valid_frame():
    time = np.array([0.0, 0.04, 0.08, 0.13, 0.16, 0.20])
    values = np.where(np.arange(6)[:, None] == 2, np.nan, 1.0)
    out, valid = uniform(time, values, np.arange(6) != 2, 25.0)
    assert valid.tolist() == [True, True, False, False, True, True]
    assert np.isfinite(out[valid]).all()


def test_the_short_way_round_is_taken_between_frames():
    time = np.array([0.0, 0.1, 0.2, 0.25, 0.3])
    yaw = np.deg2rad([[170.0], [176.0], [-178.0], [-175.0], [-172.0]])
    out, valid = uniform(time, yaw, np.ones(5, bool), 20.0)
    assert valid.all()
    assert np.rad2deg(out[3, 0]) % 360 == pytest.approx(179, abs=0.1)


@pytest.mark.parametrize("fps", [1.0, 24.0, 29.97, 30.0, 120.0])
def test_rounded_times_are_a_constant_rate(fps):
    time = np.round(np.arange(50) / fps, 3)
    assert frame_rate(time) == (pytest.approx(fps, rel=1e-3), True)


# --- One-Euro ----------------------------------------------------------------------


def reference_one_euro(x, fps, cutoff, beta):
    """Casiez et al., algorithm 1, for one channel, as published."""
    alpha = lambda hz: 1 / (1 + (1 / (2 * np.pi * hz)) * fps)
    out, speed = [x[0]], 0.0
    for value in x[1:]:
        # The published filter takes the difference to the last *filtered* value.
        speed = alpha(1.0) * (value - out[-1]) * fps + (1 - alpha(1.0)) * speed
        a = alpha(cutoff + beta * abs(speed))
        out.append(a * value + (1 - a) * out[-1])
    return np.array(out)


def test_one_euro_is_the_published_filter_and_causal():
    rng = np.random.default_rng(0)
    x = np.cumsum(rng.normal(0, 0.02, (80, 2)), 0)
    valid = np.ones(80, bool)
    out = one_euro(x, valid, 30.0, 1.5, 0.5)
    for d in range(2):
        np.testing.assert_allclose(
            out[:, d], reference_one_euro(x[:, d], 30, 1.5, 0.5), atol=1e-12
        )
    later = x.copy()
    later[50:] += 1.0
    np.testing.assert_array_equal(one_euro(later, valid, 30.0, 1.5, 0.5)[:50], out[:50])
    assert np.abs(np.diff(out, 2, axis=0)).mean() < np.abs(np.diff(x, 2, axis=0)).mean()


def test_one_euro_starts_anew_behind_a_hole():
    x = np.concatenate([np.zeros((10, 1)), np.full((10, 1), np.nan), np.ones((10, 1))])
    out = one_euro(x, np.isfinite(x[:, 0]), 30.0, 0.5, 0.0)
    np.testing.assert_array_equal(out[20:], 1.0)


# --- tracks ------------------------------------------------------------------------


def faces(*places, width=100.0):
    """Landmarks of square faces about (x, y)."""
    box = np.zeros((478, 3))
    box[:, 0] = np.linspace(-width / 2, width / 2, 478)
    box[:, 1] = np.linspace(width / 2, -width / 2, 478)
    return np.array([box + [x, y, 0] for x, y in places]).reshape(-1, 478, 3)


def test_people_keep_their_number_whatever_their_order():
    tracker = Tracker()
    a, b = tracker.assign(faces((100, 100), (400, 100)), 0.0)
    assert a != b
    assert tracker.assign(faces((390, 105), (110, 95)), 0.04).tolist() == [b, a]
    assert tracker.assign(faces((380, 105)), 0.08).tolist() == [b]
    # Away for a moment, and back.
    assert tracker.assign(faces((120, 95), (380, 105)), 0.3).tolist() == [a, b]


def test_another_place_size_shot_or_time_is_another_person():
    tracker = Tracker()
    first = tracker.assign(faces((100, 100)), 0.0)[0]
    there = tracker.assign(faces((300, 100)), 0.04)[0]
    larger = tracker.assign(faces((300, 100), width=200.0), 0.08)[0]
    tracker.reset()
    cut = tracker.assign(faces((300, 100), width=200.0), 0.12)[0]
    late = tracker.assign(faces((300, 100), width=200.0), 1.0)[0]
    assert len({first, there, larger, cut, late}) == 5
    assert tracker.assign(faces(), 1.04).tolist() == []


# --- checks ------------------------------------------------------------------------


def a_track(n=60, **changes) -> Track:
    fields = dict(
        shot=0,
        camera=CAMERA,
        frame=np.arange(n),
        time_s=np.arange(n) / 30,
        head=np.zeros((n, 3)),
        measured={},
        openness=np.ones(n),
        residual_cm=np.full(n, 0.3),
        shade=np.full(n, 0.9),
        centre=np.full((n, 2), 100.0),
        width_px=np.full(n, 150.0),
        still=np.zeros(n, bool),
        outline=np.zeros((n, 0, 2)),
    )
    return Track(**{**fields, **changes})


def found(track, gaze=None):
    gaze = np.zeros((len(track), 2)) if gaze is None else gaze
    reasons = checks.frame_reasons(track, gaze, ExtractSettings())
    return {
        checks.FRAME_REASONS[r]: np.flatnonzero(reasons == r).tolist()
        for r in sorted(set(reasons) - {checks.OK})
    }


def test_a_good_track_has_no_reasons():
    assert found(a_track()) == {}


def test_every_check_marks_its_frames():
    def changed(name, where, value, n=60):
        array = np.array(getattr(a_track(n), name), copy=True)
        array[where] = value
        return a_track(n, **{name: array})

    assert found(changed("width_px", slice(5, 8), 30.0)) == {"small face": [5, 6, 7]}
    assert found(changed("residual_cm", 9, 2.0)) == {"low confidence": [9]}
    # A blink takes its neighbours along.
    assert found(changed("openness", 20, 0.2)) == {"blink": [19, 20, 21]}
    gaze = np.zeros((60, 2))
    gaze[3] = np.nan
    assert found(a_track(), gaze) == {"no gaze": [3]}
    yaw = np.zeros((60, 3))
    yaw[:, 1] = np.deg2rad(np.concatenate([np.linspace(0, 66, 50), np.full(10, 66)]))
    far = np.flatnonzero(yaw[:, 1] > np.deg2rad(60)).tolist()
    assert found(a_track(head=yaw)) == {"extreme pose": far}
    jump = np.zeros((60, 3))
    jump[30:, 2] = np.deg2rad(25)  # 750 degrees a second
    assert found(a_track(head=jump)) == {"jump": [29, 30]}
    # Once round is no jump.
    jump[30:, 2] = 2 * np.pi
    assert found(a_track(head=jump)) == {}


def test_a_standing_picture_is_told_from_repeated_frames():
    still = np.zeros(60, bool)
    still[5:8] = still[20:23] = True
    assert found(a_track(still=still)) == {}
    still[30:50] = True
    # With the frame that is repeated.
    assert found(a_track(still=still)) == {"frozen": list(range(29, 50))}


def test_dark_glasses_are_told_from_a_passing_shadow():
    shade = np.full(120, 0.9)
    shade[30:40] = 0.2
    shade[50] = np.nan
    assert found(a_track(120, shade=shade)) == {}
    assert found(a_track(120, shade=np.full(120, 0.3)))["covered eyes"] == list(
        range(120)
    )
    assert found(a_track(120, shade=np.full(120, np.nan))) == {}


def test_eyes_that_stay_shut_are_a_blink_throughout():
    assert checks.closed_eyes(np.full(30, 0.1)).all()
    assert not checks.closed_eyes(np.full(30, 0.6)).any()


def test_the_first_reason_wins_and_a_track_goes_for_the_most_common_one():
    settings = ExtractSettings(min_seconds=1.0, min_valid=0.5)
    n = 60
    track = a_track(n, residual_cm=np.full(n, 2.0), width_px=np.full(n, 9.0))
    reasons = checks.frame_reasons(track, np.zeros((n, 2)), settings)
    assert checks.count(reasons) == {"small face": n}
    assert checks.track_reason(reasons, 30.0, settings) == "small face"
    reasons = np.full(n, checks.OK)
    reasons[:29] = checks.FRAME_REASONS.index("blink")
    assert checks.track_reason(reasons, 30.0, settings) is None
    reasons[29:31] = checks.FRAME_REASONS.index("no face")
    assert checks.track_reason(reasons, 30.0, settings) == "blink"
    assert checks.track_reason(reasons[:29], 30.0, settings) == "too short"


def test_several_people_are_seen_together_or_one_after_the_other():
    def during(first, last, shot=0):
        times = np.array([first, last])
        return dataclasses.replace(a_track(2), time_s=times, shot=shot)

    def together(*tracks):
        return checks.several_at_once(dict(enumerate(tracks)), 0.5)

    assert together(during(0, 5), during(2, 3))
    assert not together(during(0, 5), during(2, 2.3))  # a flicker
    assert not together(during(0, 5), during(4.8, 9))  # one leaves, one comes
    assert not together(during(0, 5), during(0, 5, shot=1))


# --- measuring ---------------------------------------------------------------------


def test_parts_of_a_track_are_the_track():
    n = 10
    rng = np.random.default_rng(0)
    head = np.deg2rad(rng.uniform(-15, 15, (n, 3)))
    landmarks = project(head, np.zeros((n, 2)), np.tile([0.0, 0, 200], (n, 1)))
    images = list(rng.integers(0, 255, (n, 480, 640, 3), np.uint8))
    estimators = [make_estimator("iris")]

    def part(frames):
        return observe(
            2,
            CAMERA,
            np.arange(n)[frames],
            np.arange(n)[frames] / 25,
            np.zeros(n, bool)[frames],
            images[frames],
            landmarks[frames],
            estimators,
            np.array([33, 263]),
        )

    whole, parts = part(slice(None)), join([part(slice(0, 4)), part(slice(4, None))])
    for field in dataclasses.fields(Track):
        a, b = getattr(whole, field.name), getattr(parts, field.name)
        if field.name == "measured":
            a, b = a["iris"], b["iris"]
        if isinstance(a, np.ndarray):
            np.testing.assert_allclose(a, b, atol=1e-9, err_msg=field.name)
        else:
            assert a == b
    assert np.rad2deg(np.abs(whole.head - head)).max() < 0.5
    assert whole.outline.shape == (n, 2, 2)
    # The mean face is rigid.
    assert whole.residual_cm.max() < 0.2


def test_shade_compares_the_skin_about_the_eyes_with_other_skin():
    landmarks = np.zeros((1, 478, 3))
    landmarks[:, :, 0] = np.linspace(100, 500, 478)
    landmarks[:, :, 1] = 200
    from gazehead_jax.extraction import track as t

    landmarks[:, t._COVERED, 1] = 100
    image = np.full((480, 640, 3), 200, np.uint8)
    image[80:120] = 50
    assert t._shade(image, landmarks[0], 100.0) == pytest.approx(0.25)
    landmarks[:, t._COVERED, 1] = -50  # outside
    assert np.isnan(t._shade(image, landmarks[0], 100.0))


# --- settings ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gaze": "nobody"}, "must be one of iris"),
        ({"compare": ("nobody",)}, "must be one of iris"),
        ({"faces": "maybe"}, "reject or split"),
        ({"shots": "maybe"}, "split or reject"),
        ({"min_seconds": 0.0}, "min_seconds"),
        ({"min_valid": 1.5}, "min_valid"),
        ({"max_turn_deg": 0.0}, "max_turn_deg"),
        ({"fov_deg": 180.0}, "fov_deg"),
        ({"fps": -1.0}, "fps must be positive"),
        ({"one_euro": (0.0, 1.0)}, "one_euro"),
    ],
)
def test_settings_that_cannot_be(change, words):
    with pytest.raises(GazeheadError, match=words):
        ExtractSettings(**change)


def test_a_fingerprint_changes_with_what_changes_files(monkeypatch):
    base = ExtractSettings().fingerprint()
    assert ExtractSettings(fps=5.0).fingerprint() != base
    assert ExtractSettings(weights="/elsewhere").fingerprint() == base
    monkeypatch.setattr("gazehead_jax.extraction.settings.VERSION", 2)
    assert ExtractSettings().fingerprint() != base
