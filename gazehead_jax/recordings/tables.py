"""Reading the number columns of a recording's text tables."""

import warnings
from pathlib import Path

import numpy as np
from jaxtyping import Float

from gazehead_jax.errors import GazeheadError, require


def read_columns(path: Path, names: tuple[str, ...]) -> Float[np.ndarray, "t c"]:
    """The named columns of a comma-separated file with a header line.

    Raises:
      GazeheadError: no such columns, no rows, or a cell that is no number.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            header = [name.strip() for name in file.readline().split(",")]
    except (OSError, UnicodeDecodeError) as error:
        raise GazeheadError(f"{path} could not be read ({error}).") from error
    missing = [name for name in names if name not in header]
    require(
        not missing,
        f"{path}: missing column(s) {', '.join(missing)}; the recording's own layout "
        f"has {', '.join(names)}, got {', '.join(header)[:200]!r}. Is this an "
        "untouched copy of the repository?",
    )
    columns = [header.index(name) for name in names]
    return read_numbers(path, delimiter=",", skiprows=1, usecols=columns)


def read_numbers(path: Path, **options) -> Float[np.ndarray, "t c"]:
    """A table of numbers by `numpy.loadtxt`, which opens `.gz` too.

    Raises:
      GazeheadError: no rows, or a cell that is no number.
    """
    try:
        with warnings.catch_warnings():
            # numpy only warns of an empty file; it is an error below.
            warnings.simplefilter("ignore", UserWarning)
            table = np.loadtxt(path, ndmin=2, encoding="utf-8-sig", **options)
    except (OSError, EOFError, ValueError, IndexError) as error:
        raise GazeheadError(
            f"{path} is not a whole table of numbers ({error}); fetch the file again."
        ) from error
    require(table.size > 0, f"{path} has no rows; fetch the file again.")
    return table


def folders(folder: Path) -> list[Path]:
    """The folder itself and its subfolders: where a clone may lie.

    Raises:
      GazeheadError: there is no such folder.
    """
    require(folder.is_dir(), f"{folder}: there is no such folder.")
    return [folder, *sorted(p for p in folder.iterdir() if p.is_dir())]
