"""The accelerator's benchmark runs whole, in tiny sizes, on any machine."""

import json

import pytest

from gazehead_jax.benchmarks import gpu

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("gpu")
    assert gpu.main(["--tiny", "--out", str(out)]) == 0
    return json.loads((out / "results.json").read_text()), (
        out / "results.md"
    ).read_text()


def test_every_part_is_measured(run):
    results, page = run
    for name in ("peak_tflops", "training", "extraction", "rendering"):
        assert "failed" not in results[name], results[name]
    assert not [r for r in results["sampling"] if "failed" in r]
    # Two models, two numbers of rows, three forms.
    assert len(results["sampling"]) == 12
    assert set(results["training"]) == {"paper", "natural"}
    assert results["size"]["rows"] == [1, 20]
    assert "no speeds" in page
    assert page.count("\n| ") == 13


def test_forms_agree_and_times_are_consistent(run):
    results, _ = run
    for row in results["sampling"]:
        limit = 5e-2 if "bfloat16" in row["form"] else 1e-5
        assert row["largest_error"] <= limit
        frames = row["frames_per_s"] * row["us_per_step"] * 1e-6
        assert frames == pytest.approx(row["rows"])
        assert row["share_of_peak"] > 0
    scans = [r for r in results["sampling"] if r["form"] == "scan"]
    assert all(r["times_the_scan"] == 1 for r in scans)


def test_what_no_longer_fits_is_said():
    clock = gpu.Clock(0.0, -1.0)
    rows = gpu.sampling(gpu.TINY, clock, print)
    assert {r["failed"] for r in rows} == {"no time was left"}
    page = gpu.markdown(
        dict.fromkeys(("peak_tflops", "training", "extraction", "rendering"), {})
        | {"device": "d", "jax": "j", "gazehead_jax": "g", "took_s": 0.0}
        | {"interpreted": False, "sampling": rows}
    )
    assert "no time was left" in page
