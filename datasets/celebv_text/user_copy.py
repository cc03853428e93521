"""A user's copy of CelebV-Text: what is in it, and whether all of it was extracted."""

import dataclasses
import hashlib
from collections.abc import Collection, Iterable
from pathlib import Path

from gazehead_jax.datasets.celebv_text.splits import SPLITS, clip_name, video_id
from gazehead_jax.errors import GazeheadError, require
from gazehead_jax.extraction import manifest
from gazehead_jax.extraction.folder import SUFFIXES

COMMAND = "gazehead extract CLIPS --out MOTIONS --shots reject"


@dataclasses.dataclass(frozen=True)
class Extracted:
    """A folder of motions that `gazehead extract` wrote.

    Attributes:
      folder: with the manifest.
      rows: clip → row of the manifest.
    """

    folder: Path
    rows: dict[str, dict]

    def files(self, clip: str) -> list[Path]:
        return [self.folder / name for name in self.rows[clip]["motions"]]


def is_extracted(folder: Path) -> bool:
    """Whether there are motions, and not only clips.

    Raises:
      GazeheadError: there is neither, or there are motions without their manifest.
    """
    if (folder / manifest.NAME).is_file():
        return True
    require(
        not any(_below(folder, {".npz"})),
        f"{folder}: there are .npz files but no {manifest.NAME}, which tells what was "
        "left out and why; give the whole folder that `gazehead extract` wrote.",
    )
    require(
        any(_below(folder, SUFFIXES)),
        f"{folder}: a copy of CelebV-Text has .mp4 clips in it, or the .npz motions and "
        f"the {manifest.NAME} of `{COMMAND}`; got neither.",
    )
    return False


def find_clips(folder: Path) -> dict[str, Path]:
    """Clips by name.

    Raises:
      GazeheadError: a file is no clip of CelebV-Text, or two have one name.
    """
    return _by_name((clip_name(path), path) for path in _below(folder, SUFFIXES))


def read_extracted(
    folder: Path, clips: Iterable[str], listed: Iterable[str], partial: bool
) -> Extracted:
    """What was extracted, after checking that it is all of it.

    Args:
      folder: of motions.
      clips: those that lie beside the motions, none if they lie elsewhere.
      listed: those in the user's lists.
      partial: whether less than all will do.

    Raises:
      GazeheadError: the manifest is broken, empty or of several settings, motions it
        names are gone, or clips or listed names are not in it.
    """
    rows = _by_name(
        (clip_name(row["video"]), row) for row in manifest.read_manifest(folder)
    )
    extracted = Extracted(folder, rows)
    require(
        bool(rows), f"{folder / manifest.NAME}: no clip was extracted; run `{COMMAND}`."
    )
    settings = {row["settings"] for row in rows.values()}
    require(
        len(settings) == 1,
        f"{folder}: extraction was partial, the clips were extracted under "
        f"{len(settings)} different settings; run `{COMMAND}` again to its end.",
    )
    gone = [f for clip in rows for f in extracted.files(clip) if not f.is_file()]
    require(
        not gone,
        f"{folder}: {len(gone)} motions that the {manifest.NAME} names are gone, as "
        f"{', '.join(f.name for f in gone[:3])}; run `{COMMAND}` again.",
    )
    if not partial:
        missing = sorted(set(clips) - set(rows))
        require(
            not missing,
            f"{folder}: extraction was partial, {len(missing)} of the clips are not in "
            f"the {manifest.NAME}, as {', '.join(missing[:3])}; run `{COMMAND}` again, "
            "which goes on where it stopped, or set partial=true.",
        )
        check_listed(folder, rows, listed)
    return extracted


def check_listed(folder: Path, there: Iterable[str], listed: Iterable[str]) -> None:
    """Raises GazeheadError unless all listed clips are there."""
    unknown = sorted(set(listed) - set(there))
    require(
        not unknown,
        f"{folder}: {len(unknown)} names in the lists are none of the copy's clips, as "
        f"{', '.join(unknown[:3])}; take them out of the lists, or set partial=true if "
        "your copy lacks them.",
    )


def fingerprint(folder: Path) -> str:
    """A hash of all that a build reads; of clips, their names and sizes."""
    total = hashlib.sha256()
    clips_only = not is_extracted(folder)
    files = [folder / f"{split}.txt" for split in SPLITS]
    files += [folder / manifest.NAME, *_below(folder, {".npz"})]
    for path in filter(Path.is_file, files):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        total.update(f"{path.relative_to(folder)}\t{content}\n".encode())
    if clips_only:
        for path in _below(folder, SUFFIXES):
            line = f"{path.relative_to(folder)}\t{path.stat().st_size}\n"
            total.update(line.encode())
    return total.hexdigest()


def _below(folder: Path, suffixes: Collection[str]) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in suffixes
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and not path.stem.endswith("_preview")
    )


def _by_name(pairs: Iterable[tuple]) -> dict:
    found = {}
    for name, value in pairs:
        video_id(name)
        if name in found:
            raise GazeheadError(
                f"two clips are called {name}; a clip is in a copy of CelebV-Text once."
            )
        found[name] = value
    return found
