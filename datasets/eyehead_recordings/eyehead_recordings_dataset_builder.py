"""Public eye-tracker recordings of gaze and head, from a user's own copy."""

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path

import tensorflow_datasets as tfds

from gazehead_jax import recordings
from gazehead_jax.errors import require
from gazehead_jax.motion import Motion
from gazehead_jax.motion_builder import MotionBuilder


@dataclasses.dataclass(eq=False)
class RecordingsConfig(tfds.core.BuilderConfig):
    """Which source.

    Attributes:
      source: a name in `gazehead_jax.recordings.SOURCES`.
      fps: frames per second of the sequences; 0 for what suits each device.
    """

    source: str = "converted"
    fps: float = 0.0

    def __post_init__(self):
        require(
            self.fps >= 0,
            f"eyehead_recordings: fps must be positive, or 0 for the rate that suits "
            f"each device, got {self.fps}.",
        )


class Builder(MotionBuilder):
    """TFDS builder of `eyehead_recordings`, one config per source.

    Raises:
      GazeheadError: while preparing, if the folder does not have the source's layout
        (which is told), a file is broken (it is named), or nothing is usable.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    BUILDER_CONFIGS = [
        RecordingsConfig(name=name, source=name, description=f"From {module.LAYOUT}.")
        for name, module in recordings.SOURCES.items()
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Give as manual_dir a folder that holds: for vr_objects, "
        f"{recordings.vr_objects.LAYOUT}; for eyenavgs, {recordings.eyenavgs.LAYOUT}; "
        f"for sgaze, {recordings.sgaze.LAYOUT}; for converted, "
        f"{recordings.converted.LAYOUT}."
    )

    def _split_generators(self, dl_manager):
        entries = self._entries(dl_manager.manual_dir)
        people = {
            split: [e for e in entries if recordings.split_of(e.person) == split]
            for split in recordings.SPLITS
        }
        # Someone who has part of the data may have nobody of a split.
        return {
            split: self._generate_examples(self._motions(found))
            for split, found in people.items()
            if found
        }

    def _motions(self, entries) -> Iterator[tuple[str, Motion]]:
        config = self.builder_config
        for motion in recordings.motions(config.source, entries, config.fps or None):
            yield motion.source, motion

    def _entries(self, folder) -> list[recordings.Entry]:
        return recordings.find(self.builder_config.source, Path(folder))

    def fingerprint(self, manual_dir: Path | None) -> str:
        """A hash of the names and contents of all recordings."""
        total = hashlib.sha256()
        for entry in self._entries(manual_dir):
            total.update(f"{entry.source}\t{sorted(entry.meta.items())}\n".encode())
            for path in entry.paths:
                total.update(hashlib.sha256(path.read_bytes()).digest())
        return total.hexdigest()
