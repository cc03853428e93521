"""Figures are written whole, in the right size, and fail in a sentence."""

import json
import struct
import sys

import numpy as np
import pytest

from gazehead_jax import coordination, gaze_shifts, plots, simulator
from gazehead_jax.errors import GazeheadError


def png_size(path):
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", data[16:24])


def ink(path):
    """Share of the pixels that are not white."""
    from matplotlib.image import imread

    return (imread(path)[..., :3].min(-1) < 0.98).mean()


@pytest.fixture(scope="module")
def motion():
    return simulator.simulate(8, 25, seed=0)


def samples_of(motion, s, d=3):
    noise = np.random.default_rng(0).normal(0, 0.02, (s, 1, d))
    return motion.head[None, :, :d] + noise


@pytest.mark.parametrize(("d", "height"), [(3, 1140), (2, 825)])
def test_trajectories(motion, tmp_path, d, height):
    path = tmp_path / "figure.png"
    plots.plot_trajectories(motion, samples_of(motion, 20, d), path)
    assert png_size(path) == (1350, height)
    assert 0.05 < ink(path) < 0.6
    assert [p.name for p in tmp_path.iterdir()] == ["figure.png"]


def test_trajectories_of_one_sample_and_without_a_real_head(motion, tmp_path):
    path = tmp_path / "figure.svg"
    plots.plot_trajectories(motion.replace(head=None), samples_of(motion, 1), path)
    text = path.read_text()
    assert "<svg" in text
    with pytest.raises(GazeheadError, match=r"samples must be \[s, 200"):
        plots.plot_trajectories(motion, samples_of(motion, 2)[:, 1:], path)


def axes_drawn(monkeypatch):
    """Figures as they go to be saved."""
    figures = []
    save = plots.save_figure
    monkeypatch.setattr(
        plots,
        "save_figure",
        lambda figure, path: (figures.append(figure), save(figure, path)),
    )
    return figures


def test_trajectories_are_in_degrees_and_break_at_gaps(motion, tmp_path, monkeypatch):
    figures = axes_drawn(monkeypatch)
    valid = np.arange(len(motion)) % 50 > 5
    plots.plot_trajectories(
        motion.replace(valid=valid), samples_of(motion, 10), tmp_path / "figure.pdf"
    )
    panels = figures[0].axes
    assert len(panels) == 3
    for i, panel in enumerate(panels):
        assert "(°)" in panel.get_ylabel()
        lines = {line.get_label(): line.get_ydata() for line in panel.get_lines()}
        real = lines["real head"]
        np.testing.assert_allclose(real[valid], np.rad2deg(motion.head[valid, i]))
        assert np.isnan(real[~valid]).all()
        assert ("gaze (input)" in lines) == (i < 2)
    # 50 % and 90 % bands, the inner inside the outer.
    wide, narrow = (
        c.get_paths()[0].get_extents().height for c in panels[1].collections
    )
    assert wide > narrow
    assert panels[-1].get_xlabel() == "time (s)"


@pytest.mark.parametrize(
    ("s", "label"), [(1, "generated"), (2, "generated (2 heads)"), (9, "(9 heads)")]
)
def test_few_samples_are_lines_and_no_bands(motion, tmp_path, monkeypatch, s, label):
    figures = axes_drawn(monkeypatch)
    samples = samples_of(motion, s)
    plots.plot_trajectories(motion, samples, tmp_path / "figure.png")
    for i, panel in enumerate(figures[0].axes):
        assert not panel.collections
        lines = [line.get_ydata() for line in panel.get_lines()]
        low, high = panel.get_ylim()
        for sample in np.rad2deg(samples[..., i]):
            assert any(np.array_equal(line, sample) for line in lines)
            assert low < sample.min() <= sample.max() < high
        labels = panel.get_legend_handles_labels()[1]
        assert sum(label in text for text in labels) == 1
        assert not [text for text in labels if "middle" in text]


def test_many_samples_are_bands_and_three_of_them(motion, tmp_path, monkeypatch):
    figures = axes_drawn(monkeypatch)
    plots.plot_trajectories(motion, samples_of(motion, 30), tmp_path / "figure.png")
    labels = figures[0].axes[0].get_legend_handles_labels()[1]
    assert "generated, middle 90 %" in labels
    assert "generated (3 of 30 heads)" in labels
    # Gaze and the real head are the other two.
    assert len(figures[0].axes[0].get_lines()) == 3 + 2


def test_head_share(tmp_path, monkeypatch):
    figures = axes_drawn(monkeypatch)
    found = []
    for seed in (0, 1):
        m = simulator.simulate(240, 25, seed=seed)
        found.append(gaze_shifts.find_shifts(m.gaze, m.head, m.valid, m.fps))
    path = tmp_path / "share.png"
    plots.plot_head_share({"real": found[0], "generated": found[1]}, path)
    assert png_size(path)[0] == 1350
    assert 0.01 < ink(path) < 0.5
    for axis, panel in zip(("pitch", "yaw"), figures[0].axes, strict=True):
        hinge = coordination.head_share(found[0], axis).hinge
        labels = panel.get_legend_handles_labels()[1]
        assert f"slope {hinge.slope:.2f} beyond" in labels[0]
        assert labels[1].startswith("generated")
        # Every settled shift is inside the panel.
        for shifts in found:
            i = ("pitch", "yaw").index(axis)
            assert (
                np.rad2deg(np.abs(shifts.gaze[shifts.settled, i]).max())
                <= (panel.get_xlim()[1])
            )


def shifts_at(gaze_deg, head_deg):
    """Settled shifts of these sizes, alike in pitch and yaw, one after the other."""
    both = lambda x: np.deg2rad(np.stack([x, x], -1).astype(float))
    index = 50 * np.arange(len(gaze_deg))
    gaze, head = both(gaze_deg), both(head_deg)
    still = np.ones(len(index), bool)
    return gaze_shifts.Shifts(index, index + 5, gaze, head, np.abs(head), still)


def test_few_shifts_have_no_line_and_none_is_clipped(tmp_path, monkeypatch):
    figures = axes_drawn(monkeypatch)
    rng = np.random.default_rng(0)
    gaze = rng.uniform(5, 20, 19)
    # Heads that go further than gaze.
    few = shifts_at(gaze, 2.2 * gaze)
    same = gaze_shifts.Shifts.join([few, few, few])
    more = rng.uniform(5, 20, 20)
    enough = shifts_at(more, 0.5 * more)
    shifts = {"few": few, "same gaze": same, "enough": enough}
    plots.plot_head_share(shifts, tmp_path / "share.png")
    for panel in figures[0].axes:
        labels = panel.get_legend_handles_labels()[1]
        assert set(labels) == {
            "few (n = 19): too few for a line",
            "same gaze (n = 57 at 19 gaze shifts): too few for a line",
            "enough (n = 20): slope 0.50 beyond 0.0°",
        }
        # The diagonal and one fit.
        assert len(panel.get_lines()) == 2
        for dots in panel.collections:
            x, y = dots.get_offsets().T
            assert panel.get_xlim()[0] < x.min() <= x.max() < panel.get_xlim()[1]
            assert panel.get_ylim()[0] < y.min() <= y.max() < panel.get_ylim()[1]


def test_head_share_without_shifts(tmp_path):
    path = tmp_path / "share.png"
    plots.plot_head_share({"real": gaze_shifts.Shifts.none()}, path)
    assert path.stat().st_size > 0
    with pytest.raises(GazeheadError, match="one to 3 sets"):
        plots.plot_head_share({}, path)


def write_log(path, records, tail=""):
    path.write_text("".join(json.dumps(r) + "\n" for r in records) + tail)


def test_training(tmp_path, monkeypatch):
    figures = axes_drawn(monkeypatch)
    log, path = tmp_path / "log.jsonl", tmp_path / "training.png"
    records = [
        {"step": i, "split": "train", "loss": 1000.0 / (1 + i) ** 2, "kl": 0.1 * i}
        for i in range(40)
    ] + [{"step": 39, "split": "validation", "loss": 2.0, "note": "text is no series"}]
    write_log(log, records, tail='{"step": 40, "lo')
    plots.plot_training(log, path)
    assert png_size(path) == (round((3.6 * 2 + 0.4) * 150), round(3.1 * 150))
    assert ink(path) > 0.01
    loss, kl = figures[0].axes
    assert (loss.get_title(), kl.get_title()) == ("loss", "kl")
    assert loss.get_yscale() == "log"
    assert kl.get_yscale() == "linear"
    train, validation = loss.get_lines()
    np.testing.assert_allclose(train.get_ydata(), [r["loss"] for r in records[:40]])
    np.testing.assert_allclose(validation.get_xydata(), [[39, 2.0]])
    assert loss.get_xlabel() == "step"


def test_a_diverged_run_can_still_be_drawn(tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_text('{"step": 0, "loss": 1.0}\n{"step": 1, "loss": NaN}\n')
    plots.plot_training(log, tmp_path / "training.png")
    log.write_text('{"step": 0, "loss": NaN}\n')
    plots.plot_training(log, tmp_path / "training.png")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no numbers"),
        ('{"step": 1}\n', "no numbers"),
        ('{"step": 1, "lo\n{"step": 2, "loss": 1}\n', "line 1 must be a JSON object"),
        ('{"loss": 1}\n', 'line 1 must be an object with an integer "step"'),
        ("[1]\n", "line 1 must be an object"),
    ],
)
def test_bad_logs_are_told(tmp_path, text, message):
    log = tmp_path / "log.jsonl"
    log.write_text(text)
    with pytest.raises(GazeheadError, match=message):
        plots.plot_training(log, tmp_path / "training.png")
    assert [p.name for p in tmp_path.iterdir()] == ["log.jsonl"]


def test_a_missing_log_is_told(tmp_path):
    with pytest.raises(GazeheadError, match="could not be read"):
        plots.plot_training(tmp_path / "none.jsonl", tmp_path / "training.png")


def test_a_strange_suffix_is_told(motion, tmp_path):
    with pytest.raises(GazeheadError, match=r"must end in one of \.png"):
        plots.plot_trajectories(motion, samples_of(motion, 2), tmp_path / "figure.doc")
    assert not list(tmp_path.iterdir())


def test_without_matplotlib_a_remedy_is_told(motion, tmp_path, monkeypatch):
    for name in list(sys.modules):
        if name.split(".")[0] == "matplotlib":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(GazeheadError, match=r"pip install matplotlib"):
        plots.plot_trajectories(motion, samples_of(motion, 2), tmp_path / "figure.png")
