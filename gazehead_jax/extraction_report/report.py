"""`gazehead evaluate-extraction`: one report of all that tells of extraction's quality."""

import datetime
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from gazehead_jax.errors import require
from gazehead_jax.extraction.folder import find_videos
from gazehead_jax.extraction.manifest import summarise
from gazehead_jax.extraction_report.agreement import (
    AXES,
    HEAD_AXES,
    agreement_of,
    coupling_of,
    verdict_of,
)
from gazehead_jax.extraction_report.measures import quartiles
from gazehead_jax.extraction_report.rendered_scenes import CENTRED
from gazehead_jax.extraction_report.rendered_truth import KNOWN, rendered_truth
from gazehead_jax.extraction_report.signals import OTHER_HEAD, signals_of_all
from gazehead_jax.files import atomic_path
from gazehead_jax.plots import plot_against_truth
from gazehead_jax.tables import markdown_table, number, show

Table = tuple[str, list[str], list[list[str]]]


def evaluate_extraction(
    gaze: tuple[str, ...] = ("iris", "adas"),
    videos: str | Path | None = None,
    *,
    weights: str | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> dict:
    """Rendered truth, and with videos also agreement, coupling and yield.

    Args:
      gaze: estimators; the first is the one that makes motions, agreement is between it
        and the second.
      videos: a video, a folder of them or a glob pattern.
      weights: a folder with weights, looked through before the usual places.
      progress: is told what is being done.

    Returns:
      JSON-able: `about`, `rendered` (rows of `rendered_truth`), `agreement`, `coupling`,
      `verdict` and `yield` (None where they could not be had).

    Raises:
      GazeheadError: no such estimator, weights or packages missing, or no video.
    """
    require(
        len(gaze) > 0 and len(set(gaze)) == len(gaze),
        f"estimators must be named once each, got {', '.join(gaze) or 'none'}.",
    )
    found = find_videos([videos]) if videos is not None else []
    report = {
        "about": {
            "gaze": list(gaze),
            "videos": len(found),
            "date": datetime.date.today().isoformat(),
        },
        "agreement": None,
        "coupling": None,
        "verdict": None,
        "yield": None,
    }
    report["rendered"] = rendered_truth(gaze, weights=weights, progress=progress)
    if found:
        clips, rows = signals_of_all(found, gaze, weights=weights, progress=progress)
        report["yield"] = summarise(rows)
        if len(gaze) > 1:
            report["agreement"] = agreement_of(clips, gaze)
        report["coupling"] = coupling_of(clips)
        if any(OTHER_HEAD in clip.head for clip in clips):
            report["verdict"] = verdict_of(
                report["coupling"], report["rendered"], gaze[0]
            )
    return report


def save_report(report: dict, path: str | Path) -> list[Path]:
    """Writes `.json`, and beside it `.md` and, of the rendered truth, `.png`.

    Returns:
      What was written.

    Raises:
      GazeheadError: another suffix, or the place cannot be written.
    """
    path = Path(path)
    require(
        path.suffix == ".json",
        f"{path}: the report is written as .json, got {path.suffix or 'no suffix'!r}.",
    )
    plain = report | {
        "rendered": [
            {k: v for k, v in row.items() if k != "pairs"} for row in report["rendered"]
        ]
    }
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(_finite(plain), indent=1) + "\n")
    with atomic_path(path.with_suffix(".md")) as temporary:
        temporary.write_text(to_markdown(report))
    plot_against_truth(_panels(report), path.with_suffix(".png"))
    return [path, path.with_suffix(".md"), path.with_suffix(".png")]


def print_report(report: dict) -> None:
    """Prints all tables and the verdict."""
    show(caption(report), tables(report))
    for axis, found in (report["verdict"] or {}).items():
        print(f"Coupling by {axis}: {found['text']}")


def to_markdown(report: dict) -> str:
    """All tables and the verdict."""
    parts = [caption(report), *(markdown_table(*table) for table in tables(report))]
    parts += [
        f"**Coupling by {axis}**: {found['text']}"
        for axis, found in (report["verdict"] or {}).items()
    ]
    return "\n\n".join(parts) + "\n"


def caption(report: dict) -> str:
    """What it is about, in a few lines."""
    about = report["about"]
    people = len({row["person"] for row in report["rendered"]})
    return (
        f"Estimators {', '.join(about['gaze'])}; {people} rendered people in "
        f"{len({row['condition'] for row in report['rendered']})} conditions, "
        f"{about['videos']} real videos; {about['date']}."
    )


def tables(report: dict) -> Iterator[Table]:
    """Title, headings and rows of each table, as text."""
    rows = report["rendered"]
    yield _centred(rows)
    yield _conditions(rows, report["about"]["gaze"])
    if report["agreement"]:
        yield _agreement(report["agreement"])
    if report["coupling"]:
        for axis in AXES:
            yield _coupling(report["coupling"], axis)
    if report["verdict"]:
        yield _slopes(report["verdict"])
    if report["yield"]:
        yield _yield(report["yield"])


def _centred(rows: list[dict]) -> Table:
    """Median over people before the camera, and their range."""
    people = [
        row for row in rows if (row["condition"], row["camera"]) == (CENTRED, KNOWN)
    ]
    lines = []
    for part, what, axes in (("heads", "head", HEAD_AXES), ("gaze", "gaze", AXES)):
        names = dict.fromkeys(name for row in people for name in row[part])
        for name in names:
            for axis in axes:
                found = [row[part].get(name, {}).get(axis, {}) for row in people]
                lines.append([f"{what} {axis}, {name}", *_line(found)])
    heading = ["extracted", "gain, all moves → 1", "gain, head moves → 1"]
    heading += ["gain, eyes move → 1", "correlation", "offset °", "error °"]
    return "Rendered truth: median over people (lowest to highest)", heading, lines


def _line(found: list[dict]) -> list[str]:
    of = lambda part, key: [one.get(part, {}).get(key) for one in found]
    cells = [_range(of(part, "gain")) for part in ("all", "head", "eyes")]
    cells.append(_range(of("all", "correlation")))
    return cells + [_range(of("all", key), 1) for key in ("offset_deg", "mae_deg")]


def _conditions(rows: list[dict], gaze: list[str]) -> Table:
    """A line for each condition and way to have the camera: medians over its people."""
    lines = []
    places = dict.fromkeys((row["condition"], row["camera"]) for row in rows)
    for place in places:
        some = [row for row in rows if (row["condition"], row["camera"]) == place]
        cells = [*place]
        cells += [
            number(100 * float(np.mean([row[key] for row in some])), 0)
            for key in ("found", "valid")
        ]
        cells.append(_joined(some, "heads", "mesh", HEAD_AXES, "mae_deg"))
        for name in gaze:
            for key in ("offset_deg", "mae_deg"):
                cells.append(_joined(some, "gaze", name, AXES, key))
        lines.append(cells)
    heading = ["place", "camera", "found %", "valid %", "head error ° p / y / r"]
    for name in gaze:
        heading += [f"{name} gaze offset ° p / y", f"{name} gaze error ° p / y"]
    return "Rendered truth by place, all axes moving", heading, lines


def _agreement(found: dict) -> Table:
    one, other = found["of"]
    cells = lambda s: [
        _quartiles(s["correlation"]),
        _quartiles(s["bias_deg"], 1),
        _quartiles(s["spread"]),
        str(s["correlation"]["count"]),
    ]
    lines = [
        [f"gaze {axis}, {frame}", *cells(found["summary"][frame][axis])]
        for frame in found["summary"]
        for axis in AXES
    ]
    lines += [
        [f"head {axis}, {OTHER_HEAD} with mesh", *cells(values)]
        for axis, values in found.get("head", {}).items()
    ]
    heading = ["quantity", "correlation", "bias °", "spread", "clips"]
    title = f"Agreement of {other} with {one}: median (quartiles) over real clips"
    return title, heading, lines


def _coupling(found: dict, axis: str) -> Table:
    kinds = list(found["correlation"])
    lines = []
    for index, first in enumerate(found["correlation"][kinds[0]][axis]):
        cells = [first["gaze"], first["head"]]
        for kind in kinds:
            row = found["correlation"][kind][axis][index]
            cells.append(_quartiles(row["correlation"]))
            cells.append(number(row["control"].get("median"), 2))
            cells.append(number(100 * row["coupled"], 0))
        lines.append(cells)
    heading = ["gaze from", "head from"]
    for kind in kinds:
        heading += [f"r {kind}", "control", "coupled %"]
    return f"Coupling of gaze and head by {axis}, median (quartiles)", heading, lines


def _slopes(verdict: dict) -> Table:
    lines = [
        [f"{gaze}, {axis}"]
        + [number(s[key], 2) for key in ("plain", "instrument", "leak", "corrected")]
        for axis, found in verdict.items()
        for gaze, s in found["slopes"].items()
    ]
    heading = ["gaze from", "plain", f"through {OTHER_HEAD}", "leaked"]
    heading += ["corrected by rendered gains"]
    return "Degrees of gaze per degree of head, within seconds, medians", heading, lines


def _yield(found: dict) -> Table:
    share = lambda n, of: f"{n} of {of} ({n / max(of, 1):.0%})"
    told = lambda reasons: (
        ", ".join(f"{name} {n}" for name, n in reasons.items()) or "none"
    )
    lines = [
        ["videos kept", share(found["videos_kept"], found["videos"])],
        ["motions", str(found["motions"])],
        ["frames in motions", share(found["kept"], found["frames"])],
        ["valid frames", share(found["valid"], found["frames"])],
        ["tracks left out", told(found["rejected"])],
        ["frames marked", told(found["frame_reasons"])],
    ]
    return "Yield", ["what", "how much"], lines


def _panels(report: dict) -> dict:
    """Of the people before the camera: extracted head and gaze over the truth."""
    panels: dict = {}
    gaze = report["about"]["gaze"]
    for row in report["rendered"]:
        where = row["condition"], row["camera"]
        if where != (CENTRED, KNOWN) or "pairs" not in row:
            continue
        parts = [("head", row["pairs"]["head"], HEAD_AXES)]
        parts += [
            (f"gaze ({name})", pair, AXES)
            for name, pair in row["pairs"]["gaze"].items()
            if name in gaze
        ]
        for part, (extracted, true), axes in parts:
            for i, axis in enumerate(axes):
                series = panels.setdefault(f"{part} {axis}", {})
                series[row["person"].replace("_", " ")] = true[:, i], extracted[:, i]
    return panels


def _range(values: list, digits: int = 2) -> str:
    values = [v for v in values if v is not None and np.isfinite(v)]
    if not values:
        return "–"
    low, high = number(min(values), digits), number(max(values), digits)
    return f"{number(float(np.median(values)), digits)} ({low} to {high})"


def _quartiles(found: dict, digits: int = 2) -> str:
    if not found["count"]:
        return "–"
    low, high = number(found["low"], digits), number(found["high"], digits)
    return f"{number(found['median'], digits)} ({low} to {high})"


def _joined(
    rows: list[dict], part: str, name: str, axes: tuple[str, ...], key: str
) -> str:
    """Medians over rows, an axis each: "1.0 / 2.0"."""
    medians = [
        quartiles(
            row[part].get(name, {}).get(axis, {}).get("all", {}).get(key)
            for row in rows
        )
        for axis in axes
    ]
    return " / ".join(number(m.get("median"), 1) for m in medians)


def _finite(value):
    """JSON knows no NaN."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value
