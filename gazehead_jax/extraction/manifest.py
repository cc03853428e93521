"""What became of every video: one JSON line each, which is also how a run goes on."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from gazehead_jax.errors import GazeheadError
from gazehead_jax.files import unwritable

NAME = "manifest.jsonl"


def read_manifest(folder: Path) -> list[dict]:
    """The rows so far; of a video that was done again, the last.

    Each has `video`, `bytes` and `modified` (of the file), `settings` (a fingerprint),
    `motions` (files, relative to the folder) and the fields of `ClipResult.report`.

    Raises:
      GazeheadError: a line is no JSON; the last may be, when a run was killed.
    """
    path = folder / NAME
    if not path.exists():
        return []
    rows: dict[str, dict] = {}
    lines = path.read_text().split("\n")
    for number, line in enumerate(lines):
        if not line:
            continue
        try:
            row = json.loads(line)
            rows[row["video"]] = row
        except (ValueError, TypeError, KeyError) as error:
            if number == len(lines) - 1:
                continue
            raise GazeheadError(
                f"{path}: line {number + 1} is not a row of a manifest; mend it, or "
                "choose another --out."
            ) from error
    return list(rows.values())


class ManifestWriter:
    """Adds rows to a folder's manifest; a row is there whole or not at all.

    Raises:
      GazeheadError: the place cannot be written.
    """

    def __init__(self, folder: Path):
        self._path = folder / NAME
        # A line that a killed run left half-written is cut off.
        if self._path.exists():
            content = self._path.read_bytes()
            whole = content.rfind(b"\n") + 1
            if whole < len(content):
                with self._path.open("r+b") as file:
                    file.truncate(whole)

    def add(self, row: dict) -> None:
        line = json.dumps(row, sort_keys=True) + "\n"
        try:
            with self._path.open("ab") as file:
                size = file.tell()
                try:
                    file.write(line.encode())
                    file.flush()
                except OSError:
                    file.truncate(size)
                    raise
        except OSError as error:
            raise unwritable(self._path, error) from error


def summarise(rows: Iterable[dict]) -> dict:
    """The sums: `videos`, `videos_kept`, `motions`, `frames` (seen), `kept`, `valid`,
    `hours_valid`, `rejected` (reason → number) and `frame_reasons` (reason → frames)."""
    rejected, reasons = Counter(), Counter()
    total = Counter()
    seconds = 0.0
    for row in rows:
        total["videos"] += 1
        total["videos_kept"] += bool(row["motions"])
        total["motions"] += len(row["motions"])
        for key in ("frames", "kept", "valid"):
            total[key] += row[key]
        seconds += row["valid"] / row["fps"] if row["fps"] else 0.0
        rejected.update(row["rejected"])
        reasons.update(row["frame_reasons"])
    keys = ("videos", "videos_kept", "motions", "frames", "kept", "valid")
    return {
        **{key: total[key] for key in keys},
        "hours_valid": round(seconds / 3600, 6),
        "rejected": dict(rejected.most_common()),
        "frame_reasons": dict(reasons.most_common()),
    }
