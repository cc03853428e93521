"""All benchmarks, one after the other, and one page with their most important numbers."""

import dataclasses
import importlib
import importlib.util
import json
from collections.abc import Callable, Mapping
from pathlib import Path

from gazehead_jax.benchmarks.report import Key, Report, machine_facts, told
from gazehead_jax.errors import GazeheadError
from gazehead_jax.files import atomic_path

KINDS = ("sample", "stream", "train", "data", "extract", "render", "start")


def found() -> dict[str, Callable[[], Report]]:
    """Kind → its benchmark, of those that this package has."""
    package = "gazehead_jax.benchmarks"
    return {
        kind: lambda kind=kind: importlib.import_module(f"{package}.{kind}").benchmark()
        for kind in KINDS
        if importlib.util.find_spec(f"{package}.{kind}")
    }


def benchmark(
    out: str | Path,
    kinds: Mapping[str, Callable[[], Report]] | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> tuple[Path, list[str]]:
    """Runs all and writes a page for each, `benchmarks.md` and `benchmarks.json`.

    What is not installed is left out with a sentence; what fails is told, and the rest
    goes on.

    Args:
      out: the folder.
      kinds: name → what makes its report; all if left out.
      progress: told what is going on.

    Returns:
      (the page, what fell under its floor or failed).

    Raises:
      GazeheadError: the folder cannot be written.
    """
    rows, failures, left_out, pages = [], [], [], []
    for kind, run in (found() if kinds is None else kinds).items():
        progress(kind)
        try:
            report = run()
        except ImportError as error:
            left_out.append(f"{kind}: {error}")
            continue
        except GazeheadError as error:
            # Such as a rival that computes something else.
            failures.append(f"{kind}: {error}")
            continue
        page = report.write(out)
        pages.append(f"[{report.title}]({page.name})")
        rows += keys(report)
        failures += [f"{kind}: {failure}" for failure in report.failures]
        left_out += [f"{kind}: {n}" for n in report.notes if n.startswith("Left out")]
    return _write(Path(out), rows, failures, left_out, pages), failures


def keys(report: Report) -> list[Key]:
    """The most important numbers of a report."""
    if report.keys:
        return list(report.keys)
    tables = report.numbers.get("tables", [])
    return [_of_sampling(t) for t in tables] + [
        Key(
            f"stream, {r['model']}, one frame a call",
            f"p50 {r['p50']:.0f} µs, p99 {r['p99']:.0f} µs",
        )
        for r in report.numbers.get("latencies", [])
    ]


def _of_sampling(table: dict) -> Key:
    ours, *rivals = table["entries"]
    rows = f"{table['rows']} row{'s' if table['rows'] > 1 else ''}"
    limit = "one core's reading" if table["limit"] == "streaming" else table["limit"]
    return Key(
        f"sampling, {table['model']}, {rows}",
        f"{ours['step_us']:.1f} µs a frame",
        "; ".join(f"{r['name']} {r['ratio']:.2g} ×" for r in rivals),
        f"{table['share']:.0%} of {limit}",
    )


def _write(
    out: Path,
    rows: list[Key],
    failures: list[str],
    left_out: list[str],
    pages: list[str],
) -> Path:
    machine = machine_facts()
    lines = [
        "| | ours | ours is faster by | share of the limit |",
        "|---|---:|---|---|",
        *(f"| {k.what} | {k.ours} | {k.rivals} | {k.limit} |" for k in rows),
    ]
    parts = [
        "# Benchmarks",
        "`gazehead benchmark all`: every framework in a process of its own, with the same "
        "weights, outputs compared before anything is timed, in turns, medians; limits are "
        "measured in the same run. How each number was taken: "
        + ", ".join(pages)
        + ".",
        "\n".join(lines),
    ]
    if left_out:
        parts.append(
            "Not measured:\n\n" + "\n".join(f"- {sentence}" for sentence in left_out)
        )
    if failures:
        parts.append(
            "Failed, or under the floor:\n\n" + "\n".join(f"- {f}" for f in failures)
        )
    facts = {
        "machine": machine,
        "keys": [dataclasses.asdict(k) for k in rows],
        "failures": failures,
        "left_out": left_out,
    }
    path = out / "benchmarks.md"
    with (
        atomic_path(path) as text,
        atomic_path(path.with_suffix(".json")) as data,
    ):
        text.write_text("\n\n".join([*parts, told(machine)]) + "\n", encoding="utf-8")
        data.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return path
