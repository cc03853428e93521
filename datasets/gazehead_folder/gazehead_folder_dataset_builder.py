"""A user's own folder of motion files."""

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path

import tensorflow_datasets as tfds

from gazehead_jax.errors import GazeheadError, require
from gazehead_jax.motion import Motion
from gazehead_jax.motion_builder import MotionBuilder
from gazehead_jax.motion_io import SUFFIXES, load_motion


@dataclasses.dataclass(eq=False)
class FolderConfig(tfds.core.BuilderConfig):
    """How people are split.

    Attributes:
      validation_fraction, test_fraction: share of the people; 0 leaves the split out.
    """

    validation_fraction: float = 0.1
    test_fraction: float = 0.1

    def __post_init__(self):
        shares = (self.validation_fraction, self.test_fraction)
        require(
            all(x >= 0 for x in shares) and sum(shares) < 1,
            "gazehead_folder: validation_fraction and test_fraction must not be "
            f"negative and leave something to train on, got {shares}.",
        )


class Builder(MotionBuilder):
    """TFDS builder of `gazehead_folder`.

    Raises:
      GazeheadError: while preparing, if the folder has no motion file, a file cannot
        be read (it is named) or lacks head or valid frames, or there are fewer people
        than splits. Nothing is written then.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    BUILDER_CONFIGS = [FolderConfig(name="default", description="80 / 10 / 10 %.")]
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Give the folder of your .npz and .csv motion files as manual_dir; "
        "files of one person lie in a sub-folder of their own."
    )

    def _split_generators(self, dl_manager):
        folder = Path(dl_manager.manual_dir)
        # Every file is read before anything is written: the names of the people are
        # inside, and a bad file is better told about at once.
        people: dict[str, list[Path]] = {}
        for path in _files(folder):
            people.setdefault(_load(folder, path).subject, []).append(path)
        return {
            split: self._generate_examples(
                _motions(folder, [path for name in names for path in people[name]])
            )
            for split, names in split_people(list(people), self.builder_config).items()
        }

    def fingerprint(self, manual_dir: Path | None) -> str:
        """A hash of the names and contents of all files."""
        total = hashlib.sha256()
        for path in _files(Path(manual_dir)):
            name = path.relative_to(manual_dir).as_posix()
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            total.update(f"{name}\t{content}\n".encode())
        return total.hexdigest()


def split_people(people: list[str], config: FolderConfig) -> dict[str, list[str]]:
    """Names by split, the same for the same names whatever their order.

    Raises:
      GazeheadError: there are fewer people than splits.
    """
    shares = {"validation": config.validation_fraction, "test": config.test_fraction}
    shares = {split: share for split, share in shares.items() if share > 0}
    require(
        len(people) > len(shares),
        f"gazehead_folder: {1 + len(shares)} splits need as many people, got "
        f"{len(people)} ({', '.join(sorted(people)[:5])}); give the files of each "
        "person a sub-folder of their own, or leave a split out, as in "
        "--set validation_fraction=0.",
    )
    order = sorted(people, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    splits = {}
    for split, share in shares.items():
        # At least one, and one left for each split to come.
        room = len(order) - (len(shares) - len(splits))
        count = min(max(1, round(share * len(people))), room)
        splits[split], order = order[:count], order[count:]
    return {"train": order, **splits}


def _files(folder: Path) -> list[Path]:
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix in SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    require(
        bool(found),
        f"{folder}: a folder of motions has {' or '.join(SUFFIXES)} files in it, got "
        "none; write some with gazehead_jax.motion_io.save_motion.",
    )
    return found


def _load(folder: Path, path: Path) -> Motion:
    try:
        motion = load_motion(path)
    except GazeheadError as error:
        if str(path) in str(error):
            raise
        raise GazeheadError(f"{path}: {error}") from error
    require(
        motion.head is not None,
        f"{path}: there is gaze but no head, and a dataset to learn from needs both; "
        "take the file out of the folder.",
    )
    require(
        bool(motion.valid.any()),
        f"{path}: no frame is valid; take the file out of the folder.",
    )
    relative = path.relative_to(folder)
    inner = relative.parts[0] if len(relative.parts) > 1 else path.stem
    return motion.replace(
        subject=motion.subject or inner,
        meta={**motion.meta, "file": relative.as_posix()},
    )


def _motions(folder: Path, paths: list[Path]) -> Iterator[tuple[str, Motion]]:
    for path in paths:
        yield path.relative_to(folder).as_posix(), _load(folder, path)
