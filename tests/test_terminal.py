"""What is printed arrives as it was meant, square brackets and colons too."""

import pytest

from gazehead_jax import cli, doctor, rendering, reporting, tables
from gazehead_jax.extraction import summary
from gazehead_jax.extraction.folder import Progress

# Rich would take it for a style, and for a picture.
NAME = "run[extract]:smile:"


def write_table(*_):
    tables.show(f"{NAME} text", [(f"{NAME} title", ["a", f"{NAME} b"], [[NAME, "1"]])])
    return 4


def check_up(monkeypatch, _):
    found = [doctor.Check("ok", f"{NAME} what", f"{NAME} detail")]
    monkeypatch.setattr(doctor, "checkup", lambda: found)
    assert cli.main(["doctor"]) == 0
    return 2


def log_training(_, folder):
    with reporting.Report(folder, 0, 1, NAME) as report:
        report.record(1, "validation", {"loss": 1.0})
    return 1


def draw_frames(*_):
    assert list(rendering._with_progress(iter([1, 2]), 2, NAME)) == [1, 2]
    return 0


def report_clips(*_):
    row = {"motions": [], "rejected": {}, "video": NAME, "message": ""}
    with summary.Reporter() as reporter:
        reporter(Progress(done=1, total=1, frames=1, seconds=1.0, row=row))
    return 1


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize(
    "tell", [write_table, check_up, log_training, draw_frames, report_clips]
)
def test_names_are_told_whole(tell, terminal, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    # Rich then draws its bars, too.
    monkeypatch.setenv("FORCE_COLOR" if terminal else "NO_COLOR", "1")
    least = tell(monkeypatch, tmp_path)
    printed = "".join(capsys.readouterr())
    assert printed.count(NAME) >= max(least, terminal)
    assert printed.count("run") == printed.count(NAME)
