"""The report on extraction: its arithmetic on known answers, and one real rendering."""

import json

import numpy as np
import pytest

from gazehead_jax import plots
from gazehead_jax.errors import GazeheadError
from gazehead_jax.extraction import ClipExtractor, ClipResult, ExtractSettings, checks
from gazehead_jax.extraction.track import Track
from gazehead_jax.extraction_report import (
    agreement,
    measures,
    rendered_scenes,
    rendered_truth,
    report,
    signals,
)
from gazehead_jax.face_geometry import Camera
from gazehead_jax.motion import gaze_in_camera, head_to_matrix, matrix_to_head
from gazehead_jax.video import write_video

FPS = 30.0


def wave(seconds=20.0, amplitude=10.0, rate=0.5, phase=0.0):
    """Radians `[t]`."""
    time = np.arange(round(seconds * FPS)) / FPS
    return np.deg2rad(amplitude) * np.sin(2 * np.pi * rate * time + phase)


# --- measures ----------------------------------------------------------------------


def test_gain_offset_and_error_of_a_known_line():
    true = wave()
    estimated = 0.8 * true + np.deg2rad(5)
    estimated[3] = np.nan
    found = measures.against_truth(estimated, true)
    assert found["frames"] == len(true) - 1
    assert found["gain"] == pytest.approx(0.8)
    assert found["correlation"] == pytest.approx(1)
    assert found["offset_deg"] == pytest.approx(5, abs=0.02)
    expected = np.abs(np.rad2deg(0.2 * true) - 5).mean()
    assert found["mae_deg"] == pytest.approx(expected, abs=0.02)


def test_a_wrong_sign_is_told():
    found = measures.against_truth(-wave(), wave())
    assert found["gain"] == pytest.approx(-1)
    assert found["correlation"] == pytest.approx(-1)


def test_a_truth_that_stands_still_has_no_gain():
    found = measures.against_truth(np.full(50, 0.1), np.zeros(50))
    assert "gain" not in found
    assert found["mae_deg"] == pytest.approx(np.rad2deg(0.1))
    assert measures.against_truth(np.full(50, np.nan), np.zeros(50)) == {"frames": 0}


def test_an_instrument_sees_through_shared_errors_and_noise():
    rng = np.random.default_rng(0)
    head, shared, own = rng.normal(0, 0.1, (3, 20_000))
    gaze = 0.4 * head + shared
    measured = head + shared + own
    # Plainly: (.4 + 1) / 3 of the variance.
    assert measures.slope(gaze, measured) == pytest.approx(1.4 / 3, abs=0.02)
    other = head + rng.normal(0, 0.1, 20_000)
    # A corr. of .41 with what it should explain is too little to go by,
    assert np.isnan(measures.slope_through(gaze, measured, other))
    # more is enough.
    measured = head + shared
    found = measures.slope_through(gaze, measured, head)
    assert found == pytest.approx(0.4, abs=0.02)
    assert measures.slope(gaze, measured) == pytest.approx(0.7, abs=0.02)


def test_slow_changes_are_taken_away_and_quick_ones_stay():
    quick, posture = wave(rate=1.0), np.linspace(0, 1, 600)
    valid = np.ones(600, bool)
    valid[200:230] = False
    left = measures.without_slow((quick + posture)[:, None], valid, FPS)[:, 0]
    assert np.isnan(left[200:230]).all()
    middle = np.r_[60:140, 300:540]
    np.testing.assert_allclose(left[middle], quick[middle], atol=0.02)


def test_velocity_is_the_change_over_a_fifth_of_a_second():
    valid = np.ones(30, bool)
    valid[10] = False
    found = measures.velocity(np.arange(30.0)[:, None], valid, FPS)[:, 0]
    assert np.isnan(found[:6]).all()
    assert np.isnan(found[[10, 16]]).all()
    np.testing.assert_array_equal(np.delete(found, [*range(6), 10, 16]), 6)


def test_quartiles_leave_out_what_is_not_known():
    found = measures.quartiles([1.0, None, 3.0, float("nan"), 2.0])
    assert found == {"median": 2.0, "low": 1.5, "high": 2.5, "count": 3}
    assert measures.quartiles([None]) == {"count": 0}


# --- scenes ------------------------------------------------------------------------


def test_scenes_show_all_people_and_keep_to_what_people_do():
    scenes = rendered_scenes.scenes()
    assert {s.person for s in scenes if s.condition == "centred"} == set(
        rendered_scenes.PEOPLE
    )
    conditions = {s.condition for s in scenes}
    assert conditions >= {"left", "right", "above", "near", "far", "rolled"}
    for scene in scenes:
        truth = rendered_scenes.truth_of(scene)
        head = truth.head - [0, 0, scene.roll]
        limit = rendered_scenes.RANGE + 1e-6
        assert (np.abs(np.concatenate([head, truth.eye], 1)) <= limit).all()
        turn = np.abs(np.diff(truth.head, axis=0)).max() * rendered_scenes.FPS
        assert turn < 0.7 * checks.FASTEST
        np.testing.assert_allclose(
            truth.gaze, gaze_in_camera(truth.eye, truth.head), atol=1e-12
        )


def test_one_axis_moves_at_a_time():
    truth = rendered_scenes.truth_of(rendered_scenes.scenes()[0])
    angles = np.concatenate([truth.head, truth.eye], 1)
    for axis, most in enumerate(rendered_scenes.RANGE):
        part = angles[truth.moving == axis]
        assert part[:, axis].max() > 0.98 * most
        assert part[:, axis].min() < -0.98 * most
        assert np.delete(part, axis, axis=1).std() == 0
    assert (angles[truth.moving == -1].std(0) > np.deg2rad(4)).all()


def test_the_field_of_view_is_that_of_the_focal_length():
    half = np.tan(np.deg2rad(rendered_scenes.FOV_DEG) / 2)
    assert 320 / half == pytest.approx(rendered_scenes.FOCAL_PX)


# --- against the truth, with an extractor that errs in a known way ------------------


class Erring(ClipExtractor):
    """Extracts a truth with given errors."""

    def __init__(self, truth, head_gain=(1, 1, 1), gaze_gain=(1, 1), zero=(0, 0, 0)):
        self.settings = ExtractSettings(gaze="iris")
        self._truth, self._gains = truth, (np.array(head_gain), np.array(gaze_gain))
        self._zero = head_to_matrix(np.deg2rad(np.array(zero, float)))
        self.missing = 0

    def __call__(self, path, *, subject="", source=""):
        frame = np.arange(self.missing, len(self._truth.gaze))
        truth = self._truth
        head = head_to_matrix(truth.head[frame] * self._gains[0]) @ self._zero
        track = a_track(frame, matrix_to_head(head))
        reasons = np.full(len(frame), checks.OK)
        reasons[-5:] = checks.FRAME_REASONS.index("blink")
        told = {"rejected": {}, "frame_reasons": {"blink": 5}}
        return ClipResult([], [track], [reasons], told)

    def gaze_of(self, track, name):
        return self._truth.gaze[track.frame] * self._gains[1]


def a_track(frame, head):
    t = len(frame)
    zeros = np.zeros(t)
    return Track(
        shot=0,
        camera=Camera(640, 480, 800.0),
        frame=frame,
        time_s=frame / FPS,
        head=head,
        measured={},
        openness=zeros,
        residual_cm=zeros,
        shade=zeros,
        centre=np.zeros((t, 2)),
        width_px=zeros,
        still=np.zeros(t, bool),
        outline=np.zeros((t, 0, 2), np.float32),
    )


@pytest.fixture(scope="module")
def truth():
    return rendered_scenes.truth_of(rendered_scenes.scenes()[0])


def test_perfect_extraction_is_found_perfect(truth, tmp_path):
    found = rendered_truth.measured(Erring(truth), tmp_path, truth)
    assert found["found"] == 1
    assert found["valid"] == pytest.approx(1 - 5 / len(truth.gaze))
    assert found["reasons"] == {"blink": 5}
    np.testing.assert_allclose(found["zero_deg"], 0, atol=1e-6)
    for axis in ("pitch", "yaw", "roll"):
        assert found["heads"]["mesh"][axis]["all"]["mae_deg"] < 1e-6
    for axis in ("pitch", "yaw"):
        for part in ("all", "head", "eyes"):
            assert found["gaze"]["iris"][axis][part]["gain"] == pytest.approx(1)


def test_gains_and_another_zero_are_told_apart(truth, tmp_path):
    extractor = Erring(truth, head_gain=(0.7, 1, 1), gaze_gain=(1, 0.5), zero=(8, 0, 0))
    found = rendered_truth.measured(extractor, tmp_path, truth)
    assert found["heads"]["mesh"]["pitch"]["head"]["gain"] == pytest.approx(
        0.7, abs=0.02
    )
    assert found["heads"]["mesh"]["yaw"]["head"]["gain"] == pytest.approx(1, abs=0.02)
    assert found["zero_deg"][0] == pytest.approx(8, abs=0.5)
    gaze = found["gaze"]["iris"]
    assert gaze["yaw"]["eyes"]["gain"] == pytest.approx(0.5)
    assert gaze["pitch"]["eyes"]["gain"] == pytest.approx(1)
    # In the frames that only the eyes move by yaw, nothing tells of pitch.
    assert gaze["pitch"]["eyes"]["frames"] == rendered_scenes.SWEEP


def test_what_is_not_found_is_counted(truth, tmp_path):
    extractor = Erring(truth)
    extractor.missing = 64
    found = rendered_truth.measured(extractor, tmp_path, truth)
    assert found["found"] == pytest.approx(1 - 64 / len(truth.gaze))
    assert "gain" not in found["heads"]["mesh"]["pitch"]["head"]


# --- agreement and coupling --------------------------------------------------------


def clips_of(people, shared_error, share=0.5, seconds=12, seed=0):
    """People who turn their heads, with gaze that takes `share` of the turn along, and
    a mesh whose error both the first gaze and its head contain."""
    rng = np.random.default_rng(seed)
    # Smooth, and nothing slower than a second or two.
    noise = lambda size, degrees: (
        np.deg2rad(degrees) * _smooth(rng.normal(size=(round(seconds * FPS), size)))
    )
    clips = []
    for number in range(people):
        head, error = noise(3, 5), noise(3, 5 * shared_error)
        gaze = share * head[:, :2] + noise(2, 3)
        valid = np.ones(len(head), bool)
        valid[50:60] = False
        clips.append(
            signals.Signals(
                name=f"clip {number}",
                fps=FPS,
                valid=valid,
                gaze={
                    "iris": gaze + error[:, :2],
                    "adas": gaze + noise(2, 1) + np.deg2rad([0, 2]),
                    signals.BLIND: gaze + noise(2, 1),
                },
                head={"mesh": head + error, signals.OTHER_HEAD: head + noise(3, 1)},
            )
        )
    return clips


def _smooth(x):
    kernel = np.hanning(16)
    out = np.stack([np.convolve(c, kernel, "same") for c in x.T], axis=1)
    return out / out.std(0)


def test_agreement_tells_correlation_bias_and_spread():
    found = agreement.agreement_of(clips_of(6, 0.0), ("iris", "adas"))
    camera = found["summary"]["camera"]
    assert camera["yaw"]["bias_deg"]["median"] == pytest.approx(2, abs=0.5)
    assert camera["pitch"]["bias_deg"]["median"] == pytest.approx(0, abs=0.5)
    assert camera["yaw"]["correlation"]["median"] > 0.9
    assert camera["yaw"]["spread"]["median"] == pytest.approx(1.03, abs=0.07)
    assert found["head"]["roll"]["correlation"]["median"] > 0.9
    assert len(found["clips"]) == 6


def rendered_gains(**gains):
    """Rows of a rendered truth in which an estimator has gains (head moves, eyes move)."""
    line = lambda head, eyes: {"head": {"gain": head}, "eyes": {"gain": eyes}}
    row = {"condition": "centred", "camera": "known"}
    row["heads"] = {"mesh": {axis: line(1.0, None) for axis in agreement.AXES}}
    row["gaze"] = {
        name: {axis: line(*both) for axis in agreement.AXES}
        for name, both in gains.items()
    }
    return [row]


PERFECT = rendered_gains(iris=(1.0, 1.0), adas=(1.0, 1.0))


def test_a_real_coupling_survives_other_nets():
    found = agreement.coupling_of(clips_of(12, 0.0))
    rows = found["correlation"]["within seconds"]["yaw"]
    assert len(rows) == 6
    for row in rows:
        assert 0.4 < row["correlation"]["median"] < 0.8
        assert abs(row["control"]["median"]) < 0.2
        assert row["coupled"] > 0.8
    slopes = found["slopes"]["yaw"]["iris"]
    assert slopes["plain"]["median"] == pytest.approx(0.5, abs=0.1)
    assert slopes["instrument"]["median"] == pytest.approx(0.5, abs=0.1)
    for verdict in agreement.verdict_of(found, PERFECT, "iris").values():
        assert verdict["text"].count("no leak is found") == 2
        assert verdict["text"].endswith("the estimators agree on it.")
        assert verdict["slopes"]["iris"]["corrected"] == pytest.approx(0.5, abs=0.1)


def test_a_leaked_coupling_does_not():
    found = agreement.coupling_of(clips_of(12, 0.8, share=0.0))
    rows = {
        (row["gaze"], row["head"]): row
        for row in found["correlation"]["velocity"]["pitch"]
    }
    assert rows["iris", "mesh"]["correlation"]["median"] > 0.3
    apart = rows[signals.BLIND, signals.OTHER_HEAD]
    assert abs(apart["correlation"]["median"]) < 0.15
    assert apart["coupled"] < 0.35
    for axis, verdict in agreement.verdict_of(found, PERFECT, "iris").items():
        iris = verdict["slopes"]["iris"]
        assert iris["plain"] > 0.25, axis
        assert abs(iris["instrument"]) < 0.15
        assert f"shared errors make {iris['leak']:.2f}° of it" in verdict["text"]


def test_gains_that_make_estimators_disagree_are_undone():
    """People hold their gaze in part; one estimator loses half of what the eyes do."""
    clips = clips_of(12, 0.0)
    for clip in clips:
        eye = clip.gaze["adas"] - clip.head["mesh"][:, :2]
        clip.gaze["adas"][:] = clip.head["mesh"][:, :2] + 0.5 * eye
    found = agreement.coupling_of(clips)
    rendered = rendered_gains(iris=(1.0, 1.0), adas=(1.0, 0.5))
    for verdict in agreement.verdict_of(found, rendered, "iris").values():
        slopes = verdict["slopes"]
        assert slopes["adas"]["instrument"] == pytest.approx(0.75, abs=0.1)
        assert slopes["adas"]["corrected"] == pytest.approx(0.5, abs=0.15)
        assert "the estimators disagree by 0.2" in verdict["text"]
        assert verdict["text"].endswith("they agree.")


def test_what_a_head_input_adds_is_told():
    """A network that adds .4 of the head it is told of, whatever the eyes do."""
    clips = clips_of(12, 0.0)
    for clip in clips:
        clip.gaze["adas"] += 0.4 * clip.head["mesh"][:, :2]
    rendered = rendered_gains(
        **{"iris": (1.0, 1.0), "adas": (1.0, 1.0), signals.BLIND: (1.0, 1.0)}
    )
    found = agreement.verdict_of(agreement.coupling_of(clips), rendered, "iris")
    for verdict in found.values():
        more = np.subtract(
            *(verdict["slopes"][n]["corrected"] for n in ("adas", signals.BLIND))
        )
        assert more == pytest.approx(0.4, abs=0.05)
        assert verdict["text"].endswith(f"its head input adds {more:.2f}°.")


def test_without_rendered_gains_nothing_is_corrected():
    verdict = agreement.verdict_of(agreement.coupling_of(clips_of(5, 0.0)), [], "iris")
    assert np.isnan(verdict["yaw"]["slopes"]["iris"]["corrected"])


def test_people_who_do_not_move_get_no_verdict():
    clips = clips_of(4, 0.0)
    for clip in clips:
        for values in (*clip.gaze.values(), *clip.head.values()):
            values[:] = 0.1
    found = agreement.verdict_of(agreement.coupling_of(clips), PERFECT, "iris")
    assert found["yaw"]["text"] == "too few clips move by this axis to tell."


# --- the report --------------------------------------------------------------------


@pytest.fixture(scope="module")
def a_report(truth, tmp_path_factory):
    clips = clips_of(5, 0.0)
    coupling = agreement.coupling_of(clips)
    rows = [
        {"condition": "centred", "person": "asian_male", "camera": "known"}
        | rendered_truth.measured(
            Erring(truth, gaze_gain=(1, 0.5)), tmp_path_factory.mktemp("v"), truth
        )
    ]
    kept = {"videos": 5, "videos_kept": 4, "motions": 4, "frames": 100, "kept": 80}
    kept |= {
        "valid": 70,
        "rejected": {"several faces": 1},
        "frame_reasons": {"blink": 10},
    }
    return {
        "about": {"gaze": ["iris"], "videos": 5, "date": "2026-01-01"},
        "rendered": rows,
        "agreement": agreement.agreement_of(clips, ("iris", "adas")),
        "coupling": coupling,
        "verdict": agreement.verdict_of(coupling, rows, "iris"),
        "yield": kept,
    }


def test_tables_hold_the_numbers(a_report, capsys):
    text = report.to_markdown(a_report)
    assert "| gaze yaw, iris | 0.50 (0.50 to 0.50)" in text
    assert "| videos kept | 4 of 5 (80%) |" in text
    assert "several faces 1" in text
    assert "**Coupling by yaw**: with gaze from iris, r is 0." in text
    assert "nan" not in text
    report.print_report(a_report)
    shown = capsys.readouterr().out
    assert "Rendered truth by place" in shown
    assert "Coupling by pitch: with gaze from iris" in shown


def test_the_report_is_written_as_json_markdown_and_picture(a_report, tmp_path):
    pytest.importorskip("matplotlib")
    a_report = a_report | {"stray": float("nan")}
    written = report.save_report(a_report, tmp_path / "report.json")
    assert [p.suffix for p in written] == [".json", ".md", ".png"]
    read = json.loads((tmp_path / "report.json").read_text())
    assert "NaN" not in (tmp_path / "report.json").read_text()
    gaze = read["rendered"][0]["gaze"]["iris"]["yaw"]["eyes"]
    assert gaze["gain"] == pytest.approx(0.5)
    assert "pairs" not in read["rendered"][0]
    assert written[2].stat().st_size > 5000


def test_another_suffix_and_doubled_estimators_are_refused(a_report, tmp_path):
    with pytest.raises(GazeheadError, match=r"as \.json"):
        report.save_report(a_report, tmp_path / "report.txt")
    with pytest.raises(GazeheadError, match="once each"):
        report.evaluate_extraction(("iris", "iris"))
    assert not list(tmp_path.iterdir())


def test_nothing_to_draw_is_refused(tmp_path):
    with pytest.raises(GazeheadError, match="nothing to draw"):
        plots.plot_against_truth({}, tmp_path / "empty.png")


# --- real ---------------------------------------------------------------------------


def test_a_rendered_head_is_found_where_it_looks(shared, tmp_path):
    """A few dozen frames through the whole pipeline, video and landmark net included."""
    pytest.importorskip("av")
    pytest.importorskip("mediapipe")
    scene = rendered_scenes.Scene("left", "caucasian_female", (-0.12, 0.0, 0.55))
    truth = rendered_scenes.truth_of(scene, sweep=8, together=16)
    path = tmp_path / "rendered.mp4"
    write_video(path, rendered_scenes.frames_of(scene, truth), fps=10)
    settings = ExtractSettings(
        compare=("adas",),
        fov_deg=rendered_scenes.FOV_DEG,
        weights=str(shared / "weights"),
        max_turn_deg=80.0,
    )
    extractor = signals.probing_extractor(settings)
    found = rendered_truth.measured(extractor, path, truth)
    # The probes see the same pictures and agree, but for what they were not told.
    assert set(found["gaze"]) == {"iris", "adas", signals.BLIND}
    assert found["heads"][signals.OTHER_HEAD]["yaw"]["all"]["correlation"] > 0.8
    assert found["found"] == 1
    for axis in ("pitch", "yaw", "roll"):
        of = found["heads"]["mesh"][axis]
        assert of["all"]["correlation"] > 0.97
        assert of["all"]["mae_deg"] < 5
    yaw = found["gaze"]["iris"]["yaw"]
    assert yaw["eyes"]["correlation"] > 0.9
    assert 0.5 < yaw["eyes"]["gain"] < 1.3
    assert found["gaze"]["iris"]["pitch"]["eyes"]["correlation"] > 0.8
    # Off-centre by 12°, the head does not read as turned.
    assert abs(found["zero_deg"][1]) < 4
