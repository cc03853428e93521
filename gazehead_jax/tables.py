"""Tables for the terminal and for Markdown; those of an evaluation and a scorecard."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from gazehead_jax.evaluation import Evaluation, write_json
from gazehead_jax.files import atomic_path
from gazehead_jax.scorecard import Domain, Scorecard

# Heading → (metrics shown in one cell, digits). The first table has the paper's form.
TABLES: Mapping[str, Mapping[str, tuple[tuple[str, ...], int]]] = {
    "As in the paper (Table 1)": {
        "angular error ° avg / best ↓": (
            ("angular_error_deg", "angular_error_best_deg"),
            2,
        ),
        "corr. pitch / yaw of the best ↑": (
            ("correlation_pitch_best", "correlation_yaw_best"),
            2,
        ),
        "AVE deg² ↓": (("ave_deg2",), 2),
        "smoothness °/frame³": (("smoothness_deg",), 2),
        "APD deg²": (("apd_deg2",), 2),
    },
    "What keeps it honest": {
        "centred error ° avg / best ↓": (
            ("centred_error_deg", "centred_error_best_deg"),
            2,
        ),
        "energy score ° ↓": (("energy_score_deg",), 2),
        "corr. yaw (shuffled)": (("correlation_yaw", "correlation_yaw_shuffled"), 2),
        "corr. pitch (shuffled)": (
            ("correlation_pitch", "correlation_pitch_shuffled"),
            2,
        ),
        "velocity corr. yaw (shuffled)": (
            ("velocity_correlation_yaw", "velocity_correlation_yaw_shuffled"),
            2,
        ),
        "jerk / real → 1": (("jerk_ratio",), 2),
        "variance / real, pitch / yaw → 1": (
            ("variance_ratio_pitch", "variance_ratio_yaw"),
            2,
        ),
        "in 90 % band, pitch / yaw → .90": (("coverage90_pitch", "coverage90_yaw"), 2),
    },
    "Coordination over whole sequences (compare with real)": {
        "lag s pitch / yaw": (("whole_lag_pitch_s", "whole_lag_yaw_s"), 2),
        "head share slope pitch / yaw": (("share_slope_pitch", "share_slope_yaw"), 2),
        "eye-only ° pitch / yaw": (
            ("share_theta0_pitch_deg", "share_theta0_yaw_deg"),
            1,
        ),
        "main sequence 1/s pitch / yaw": (
            ("main_sequence_pitch", "main_sequence_yaw"),
            1,
        ),
    },
}


# The scorecard's tables of all methods, in the same form.
METHOD_TABLES: Mapping[str, Mapping[str, tuple[tuple[str, ...], int]]] = {
    "Every method: windows": {
        "energy score ° ↓": (("energy_score_deg",), 2),
        "corr. over shuffled, pitch / yaw": (
            ("margin_correlation_pitch", "margin_correlation_yaw"),
            2,
        ),
        "of velocity": (
            ("margin_velocity_correlation_pitch", "margin_velocity_correlation_yaw"),
            2,
        ),
        "jerk / real": (("jerk_ratio",), 2),
        "variance / real, pitch / yaw / roll": (
            ("variance_ratio_pitch", "variance_ratio_yaw", "variance_ratio_roll"),
            2,
        ),
        "in 90 % interval": (
            ("coverage90_pitch", "coverage90_yaw", "coverage90_roll"),
            2,
        ),
    },
    "Every method: whole sequences, share of bins in the real band (pitch / yaw)": {
        "lag": (("inside_lag_pitch", "inside_lag_yaw"), 2),
        "head share": (("inside_head_share_pitch", "inside_head_share_yaw"), 2),
        "main sequence": (
            ("inside_main_sequence_pitch", "inside_main_sequence_yaw"),
            2,
        ),
        "two-sample accuracy ↓": (("accuracy",), 2),
    },
}


def table_rows(evaluation: Evaluation, title: str) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of one of `TABLES`, as text; undefined is a dash."""
    columns = TABLES[title]
    rows = []
    for method, values in evaluation.rows.items():
        cells = [method.replace("_", " ")]
        for keys, digits in columns.values():
            parts = [number(values.get(key), digits) for key in keys]
            shuffled = len(parts) == 2 and keys[1].endswith("_shuffled")
            cells.append(f"{parts[0]} ({parts[1]})" if shuffled else " / ".join(parts))
        rows.append(cells)
    return ["method", *columns], rows


def _known_tables(
    evaluation: Evaluation,
) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """Title, headings and rows of each table with a number: slow rates leave one
    without."""
    for title in TABLES:
        head, rows = table_rows(evaluation, title)
        if any(re.search(r"\d", cell) for row in rows for cell in row[1:]):
            yield title, head, rows


def to_markdown(evaluation: Evaluation) -> str:
    """All tables, with what they were measured on."""
    parts = [caption(evaluation)]
    parts += [markdown_table(*table) for table in _known_tables(evaluation)]
    return "\n\n".join(parts) + "\n"


def save_tables(evaluation: Evaluation, path: str | Path) -> None:
    """Writes the metrics as JSON to `path`, and the tables as Markdown beside it.

    Raises:
      GazeheadError: the place cannot be written.
    """
    evaluation.save(path)
    with atomic_path(Path(path).with_suffix(".md")) as temporary:
        temporary.write_text(to_markdown(evaluation))


def print_tables(evaluation: Evaluation) -> None:
    """Prints all tables to the terminal."""
    show(caption(evaluation), _known_tables(evaluation))


def save_scorecard(card: Scorecard, path: str | Path) -> None:
    """Writes a scorecard as JSON to `path`, and its tables as Markdown beside it.

    Raises:
      GazeheadError: the place cannot be written.
    """
    card.save(path)
    with atomic_path(Path(path).with_suffix(".md")) as temporary:
        temporary.write_text(scorecard_markdown(card))


def print_scorecard(card: Scorecard) -> None:
    """Prints a scorecard to the terminal."""
    for name, domain in card.domains.items():
        show(_domain_caption(card, name, domain), _domain_tables(card, domain))


def scorecard_markdown(card: Scorecard) -> str:
    """All tables of all domains."""
    parts = []
    for name, domain in card.domains.items():
        parts.append(_domain_caption(card, name, domain))
        parts += [markdown_table(*table) for table in _domain_tables(card, domain)]
    return "\n\n".join(parts) + "\n"


def _domain_caption(card: Scorecard, name: str, domain: Domain) -> str:
    about, a = card.about, domain.about
    trained = ", ".join(f"{m} on {data}" for m, data in about["trained_on"].items())
    only = f", only {about['device']}" if about["device"] else ""
    return (
        f"{name}, {about['split']} split{only}: {a['people']} people, {a['windows']} "
        f"windows of {a['window_s']:g} s and {a['minutes']:.0f} min of whole sequences "
        f"at {about['fps']:g} fps, {about['num_samples']} samples each; {about['date']}. "
        f"Trained: {trained}."
    )


def _domain_tables(
    card: Scorecard, domain: Domain
) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    for model in card.models:
        lines = []
        for goal in domain.goals[model]:
            interval = "–"
            if goal.interval:
                interval = " … ".join(number(x, 2) for x in goal.interval)
            value = number(goal.value, 2)
            lines.append(
                [goal.name, value, interval, goal.wanted, goal.verdict, goal.note]
            )
        met, of = _count(domain, model)
        head = ["goal", "value", "95 % interval", "wanted", "verdict", "note"]
        yield f"{model}: {met} of {of} goals met", head, lines
    for title, columns in METHOD_TABLES.items():
        lines = []
        for method, row in domain.rows.items():
            cells = [method.replace("_", " "), "–"]
            if method in domain.goals:
                cells[1] = "{} / {}".format(*_count(domain, method))
            for keys, digits in columns.values():
                parts = [number(row.get(key), digits) for key in keys]
                cells.append(" / ".join(parts) if set(parts) != {"–"} else "–")
            lines.append(cells)
        yield title, ["method", "goals met", *columns], lines


def _count(domain: Domain, method: str) -> tuple[int, int]:
    verdicts = [goal.verdict for goal in domain.goals[method]]
    return verdicts.count("met"), len(verdicts)


def markdown_table(
    title: str, head: Sequence[str], rows: Iterable[Sequence[str]]
) -> str:
    """A table of text in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"**{title}**\n\n{body}"


def show(
    text: str, tables: Iterable[tuple[str, Sequence[str], Iterable[Sequence[str]]]]
) -> None:
    """Prints a text and tables (title, headings, rows of text) to the terminal.

    Nothing is cut: headings break at spaces, numbers and names do not, and what is too
    wide for the terminal goes on in another table that repeats the first column.
    """
    from rich.console import Console
    from rich.table import Table

    # Names and paths are told as they are, whatever is in square brackets or colons.
    plain = {"markup": False, "emoji": False}
    console = Console(**plain)
    if not console.is_terminal:
        # A pipe or a log has no width of its own: do not fold columns to 80.
        console = Console(width=170, **plain)
    console.print(text, highlight=False)
    for title, head, rows in tables:
        rows = list(rows)
        least, most = _column_widths(head, rows)
        for part, columns in enumerate(_parts(least, console.width)):
            widths = _fitted(
                [least[i] for i in columns], [most[i] for i in columns], console.width
            )
            name = f"{title} (continued)" if part else title
            table = Table(title=name, title_justify="left")
            for i, width in zip(columns, widths, strict=True):
                justify = "right" if i else "left"
                table.add_column(head[i], justify=justify, width=width, overflow="fold")
            for row in rows:
                table.add_row(*(row[i] for i in columns))
            console.print(table)


# What a table's frame adds to each column's width; one more closes it.
_FRAME = 3
# Cells up to this width, as names, are not broken; longer text is.
_NAME = 24


def _column_widths(
    head: Sequence[str], rows: Sequence[Sequence[str]]
) -> tuple[list[int], list[int]]:
    """Widths that columns need at least, and those that leave every cell on one line."""
    from rich.cells import cell_len

    least, most = [], []
    for heading, *cells in zip(head, *rows, strict=True):
        words = [word for text in (heading, *cells) for word in text.split()]
        # Numbers that stand together are read together, and so are names.
        whole = [
            cell
            for cell in cells
            if cell_len(cell) <= _NAME or not any(c.isalpha() for c in cell)
        ]
        least.append(max(map(cell_len, [*words, *whole]), default=1))
        most.append(max(map(cell_len, [heading, *cells])))
    return least, most


def _parts(least: Sequence[int], room: int) -> list[list[int]]:
    """The columns of each table, the first in every one, with as few tables as `room`
    allows and about as wide."""

    def split(limit: int) -> list[list[int]]:
        parts, used = [[0]], least[0] + _FRAME + 1
        for i, width in enumerate(least[1:], 1):
            used += width + _FRAME
            if used > limit and len(parts[-1]) > 1:
                parts.append([0])
                used = least[0] + width + 2 * _FRAME + 1
            parts[-1].append(i)
        return parts

    parts = split(room)
    for limit in range(room - 1, 0, -1):
        narrower = split(limit)
        if len(narrower) > len(parts):
            break
        parts = narrower
    return parts


def _fitted(least: Sequence[int], most: Sequence[int], room: int) -> list[int]:
    """Widths of columns side by side: up to `most`, the widest give way first."""
    room -= _FRAME * len(least) + 1
    for cap in range(max(most), 0, -1):
        widths = [max(a, min(b, cap)) for a, b in zip(least, most, strict=True)]
        if sum(widths) <= room:
            return widths
    return list(least)


def caption(evaluation: Evaluation) -> str:
    """One line: data, protocol, date."""
    a = evaluation.about
    trained = ", ".join(f"{name} on {data}" for name, data in a["trained_on"].items())
    return (
        f"{a['dataset']}, {a['split']} split: {a['windows']} windows of "
        f"{a['window_s']:g} s at {a['fps']:g} fps from {a['sequences']} sequences of "
        f"{a['people']} people, {a['num_samples']} samples each; {a['date']}. "
        f"Trained: {trained}; baselines on the train split of {a['dataset']}."
    )


class OneTable:
    """A result that is one table: how it is shown and saved. Has `caption`, `table` and
    `values` (for the JSON)."""

    def save(self, path: str | Path) -> Path:
        """Writes it as JSON, undefined numbers as null, and the table as Markdown beside.

        Raises:
          GazeheadError: the place cannot be written.
        """
        write_json(self.values(), path)
        with atomic_path(Path(path).with_suffix(".md")) as temporary:
            temporary.write_text(self.to_markdown())
        return Path(path)

    def to_markdown(self) -> str:
        return f"{self.caption()}\n\n{markdown_table(*self.table())}\n"

    def show(self) -> None:
        """Prints the table to the terminal."""
        show(self.caption(), [self.table()])


def number(value: float | None, digits: int) -> str:
    """A number as text; undefined is a dash, and nothing is "-0"."""
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text
