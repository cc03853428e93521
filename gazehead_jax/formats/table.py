"""CSV files of other programs: named columns, read row by row in little memory."""

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from gazehead_jax.errors import GazeheadError, require

# What programs write for "no number"; C++ on Windows writes the last two.
_MISSING = {"", "nan", "na", "n/a", "null", "none", "-nan", "nan(ind)", "-nan(ind)"}
_CHUNK = 2048


class Table:
    """A CSV file whose header has been read.

    UTF-8 with or without a byte order mark, bytes of other encodings in columns that
    nobody needs, CRLF, and spaces around cells are all read.

    Attributes:
      path: the file.
      header: its column names, stripped.

    Raises:
      GazeheadError: the file is missing, empty or not CSV text, or two columns have one
        name.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        require(self.path.is_file(), f"{path}: there is no such file.")
        require(self.path.stat().st_size > 0, f"{path}: the file is empty (0 bytes).")
        with self.path.open("rb") as file:
            start = file.read(4096)
        require(
            not start.startswith((b"\xff\xfe", b"\xfe\xff")),
            f"{path}: the text is UTF-16; save it as UTF-8.",
        )
        require(
            b"\0" not in start,
            f"{path}: this is not a text file; expected a .csv with a header line.",
        )
        line, cells = next(self._rows(), (0, []))
        require(line > 0, f"{path}: the file is empty, expected a header line.")
        self.header = tuple(cells)
        require(
            len(cells) > 1 or not any(mark in cells[0] for mark in ";\t"),
            f"{path}: columns are divided by {'tabs' if chr(9) in cells[0] else ';'}, "
            "expected commas; save it as comma-separated.",
        )
        # OpenFace has x_0 (pixels) and X_0 (mm): case tells, where there is a choice.
        self._index = {name.lower(): i for i, name in enumerate(cells)}
        self._index |= {name: i for i, name in enumerate(cells)}
        twice = [name for name, n in Counter(cells).items() if name and n > 1]
        require(
            not twice,
            f"{path}: column names must differ, got twice: {', '.join(twice[:5])}.",
        )

    def has(self, *names: str) -> bool:
        """Whether all these columns are there, in whatever case."""
        return all(self._at(name) is not None for name in names)

    def first(self, *names: str) -> str | None:
        """The first of these columns that is there."""
        return next((name for name in names if self.has(name)), None)

    def read(
        self, numbers: Sequence[str], texts: Sequence[str] = (), *, gap_cells: int = 0
    ) -> tuple[np.ndarray, list[list[str]]]:
        """Columns of the file; all others are skipped.

        Args:
          numbers: columns of numbers.
          texts: columns of text.
          gap_cells: rows with exactly so many cells are gaps: their missing cells are
            read as no number.

        Returns:
          `[rows, len(numbers)]` float64, NaN where there is no number; and the cells of
          each text column.

        Raises:
          GazeheadError: a row of another length, a word where a number should be, or no
            row at all.
        """
        number_at = [self._at(name) for name in numbers]
        text_at = [self._at(name) for name in texts]
        parts, chunk, lines = [], [], []
        words: list[list[str]] = [[] for _ in texts]
        rows = self._rows()
        next(rows)
        for line, cells in rows:
            if gap_cells and len(cells) == gap_cells:
                cells = cells + [""] * (len(self.header) - gap_cells)
            require(
                len(cells) == len(self.header),
                f"{self.path}: line {line} must have {len(self.header)} cells as the "
                f"header has, got {len(cells)}; is the file cut off?",
            )
            chunk.append([cells[i] for i in number_at])
            lines.append(line)
            for column, i in zip(words, text_at, strict=True):
                column.append(cells[i])
            if len(chunk) == _CHUNK:
                parts.append(self._numbers(chunk, lines, numbers))
                chunk, lines = [], []
        if chunk:
            parts.append(self._numbers(chunk, lines, numbers))
        require(bool(parts), f"{self.path}: there is a header but no row.")
        return np.concatenate(parts), words

    def _at(self, name: str) -> int | None:
        return self._index.get(name, self._index.get(name.lower()))

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """(line, stripped cells) of the rows that are not blank, the header first."""
        try:
            with self.path.open(
                newline="", encoding="utf-8-sig", errors="surrogateescape"
            ) as file:
                reader = csv.reader(file)
                for row in reader:
                    cells = [cell.strip() for cell in row]
                    if any(cells):
                        yield reader.line_num, cells
        except (OSError, csv.Error) as error:
            raise GazeheadError(
                f"{self.path}: not a readable .csv ({error})."
            ) from error

    def _numbers(self, chunk, lines, names) -> np.ndarray:
        try:
            return np.array(chunk, np.float64).reshape(len(chunk), len(names))
        except ValueError:
            pass
        out = np.full((len(chunk), len(names)), np.nan)
        for i, row in enumerate(chunk):
            for j, cell in enumerate(row):
                if cell.lower() in _MISSING:
                    continue
                try:
                    out[i, j] = float(cell)
                except ValueError as error:
                    raise GazeheadError(
                        f"{self.path}: line {lines[i]}, column {names[j]} must be a "
                        f"number, got {cell!r}."
                    ) from error
        return out


def rows_of_face(
    path: Path, column: str, labels: Sequence[str], face: str | None
) -> np.ndarray:
    """`[rows]` bool: the rows of one person.

    Args:
      path: for the message.
      column: the column that tells who it is.
      labels: its cells.
      face: which to keep; may be left out if there is only one.

    Raises:
      GazeheadError: there are several and none was chosen, or it is not there.
    """
    found = np.array(labels)
    names, counts = np.unique(found[found != ""], return_counts=True)
    listed = ", ".join(
        f"{name} ({count} rows)"
        for name, count in zip(names[:10], counts[:10], strict=True)
    )
    if face is None:
        require(
            len(names) <= 1,
            f"{path}: a motion is of one person, and {column} has {len(names)}: "
            f"{listed}; choose one with --face.",
        )
        return np.ones(len(found), bool)
    require(
        face in names,
        f"{path}: there is no face {face!r}; {column} has {listed or 'none'}.",
    )
    return found == face
