"""The manifest of a config: one row a sequence."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from gazehead_jax.files import atomic_path


def write_manifest(folder: Path, rows: Sequence[Mapping]) -> None:
    """Writes `manifest.csv` into a folder, whole or not at all.

    Args:
      folder: of the config's data.
      rows: column → value, the same columns in each; at least one row.
    """
    with atomic_path(folder / "manifest.csv") as temporary:
        with temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
