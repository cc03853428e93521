"""A user's own folder of face videos, extracted by many workers with Apache Beam."""

import dataclasses
import functools
import hashlib
import importlib.util
import json
import os
import re
import sys
import tempfile
from collections.abc import Sequence

import tensorflow_datasets as tfds
from etils import epath
from tensorflow_datasets.core import writer

from gazehead_jax.datasets.gazehead_folder.gazehead_folder_dataset_builder import (
    FolderConfig,
    split_people,
)
from gazehead_jax.errors import GazeheadError, require
from gazehead_jax.extraction import ClipExtractor, ExtractSettings, manifest
from gazehead_jax.extraction.folder import SUFFIXES
from gazehead_jax.extraction.summary import licences
from gazehead_jax.motion_builder import MotionBuilder


@dataclasses.dataclass(eq=False)
class VideosConfig(tfds.core.BuilderConfig):
    """How videos become motions, and how people are split.

    Attributes:
      gaze, faces, shots, min_seconds, min_valid, max_turn_deg: see `ExtractSettings`.
      fps: frames per second of the motions; 0 for each video's own.
      validation_fraction, test_fraction: share of the people; 0 leaves the split out.
    """

    gaze: str = ExtractSettings.gaze
    faces: str = ExtractSettings.faces
    shots: str = ExtractSettings.shots
    min_seconds: float = ExtractSettings.min_seconds
    min_valid: float = ExtractSettings.min_valid
    max_turn_deg: float = ExtractSettings.max_turn_deg
    fps: float = 0.0
    validation_fraction: float = 0.1
    test_fraction: float = 0.1

    def __post_init__(self):
        self.settings  # noqa: B018 - checks them.
        shares = (self.validation_fraction, self.test_fraction)
        require(
            all(x >= 0 for x in shares) and sum(shares) < 1,
            "gazehead_videos: validation_fraction and test_fraction must not be "
            f"negative and leave something to train on, got {shares}.",
        )

    @property
    def settings(self) -> ExtractSettings:
        return ExtractSettings(
            gaze=self.gaze,
            faces=self.faces,
            shots=self.shots,
            min_seconds=self.min_seconds,
            min_valid=self.min_valid,
            max_turn_deg=self.max_turn_deg,
            fps=self.fps or None,
        )


class Builder(MotionBuilder):
    """TFDS builder of `gazehead_videos`; needs Apache Beam.

    Beside the records it writes `manifest.jsonl`, a line for each video with what was
    kept and why the rest was not; the sums are in the metadata as `extraction`.

    Raises:
      GazeheadError: while preparing, if Beam or what extraction needs is missing, the
        folder has no video, there are fewer people than splits, or nothing at all is
        left of a split's videos. A bad video raises nothing; it is in `manifest.jsonl`.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    BUILDER_CONFIGS = [VideosConfig(name="default", description="80 / 10 / 10 %.")]
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Give the folder of your videos as manual_dir; those of one person lie in a "
        "sub-folder of their own."
    )
    # All cores of this machine, until another runner is asked for.
    BEAM_DEFAULTS = {
        "runner": "DirectRunner",
        "direct_running_mode": "multi_processing",
        "direct_num_workers": "0",
        "default_sdk_harness_log_level": "ERROR",
    }

    def beam_options(self, settings: Sequence[str] = ()):
        """Beam's PipelineOptions of "NAME=VALUE" texts over `BEAM_DEFAULTS`.

        Raises:
          GazeheadError: Beam is not installed, or does not know an option.
        """
        require(
            importlib.util.find_spec("apache_beam") is not None,
            "gazehead_videos runs on Apache Beam, which is not installed: pip install "
            "-e '.[extract,beam]' in the clone, in an environment of its own. On one "
            "machine, `gazehead extract` and the dataset gazehead_folder do without.",
        )
        from gazehead_jax.datasets.gazehead_videos.pipeline import pipeline_options

        return pipeline_options(tuple(settings), self.BEAM_DEFAULTS)

    def make_extractor(self):
        """What each worker calls to get its extractor; can be pickled."""
        return functools.partial(ClipExtractor, self.builder_config.settings)

    def _split_generators(self, dl_manager, pipeline):
        from gazehead_jax.datasets.gazehead_videos.pipeline import Clip, extract

        for line in licences(self.builder_config.settings):
            print(line, file=sys.stderr)
        folder = epath.Path(dl_manager.manual_dir)
        split_of = self._split_of(folder)
        clips = [
            Clip(_key(folder, path), os.fspath(path), person, split_of[person])
            for path in _videos(folder)
            for person in [_person(folder, path)]
        ]
        return extract(pipeline, clips, self.make_extractor(), self._manifest())

    def _split_of(self, folder) -> dict[str, str]:
        config = self.builder_config
        people = sorted({_person(folder, path) for path in _videos(folder)})
        count = 1 + (config.validation_fraction > 0) + (config.test_fraction > 0)
        require(
            len(people) >= count,
            f"gazehead_videos: {count} splits need as many people, got {len(people)} "
            f"({', '.join(people[:5])}); give the videos of each person a sub-folder "
            "of their own, or leave a split out, as in "
            "--set validation_fraction=0.",
        )
        # As gazehead_folder does it: a person is in the same split either way.
        shares = FolderConfig(
            name="shares",
            validation_fraction=config.validation_fraction,
            test_fraction=config.test_fraction,
        )
        splits = split_people(people, shares)
        return {person: split for split, names in splits.items() for person in names}

    def _download_and_prepare(self, dl_manager, download_config):
        try:
            super()._download_and_prepare(dl_manager, download_config)
        except Exception as error:
            told = _told(error)
            if told is None:
                raise
            raise told from error

    def _process_pipeline_result(self, pipeline_result):
        del pipeline_result  # Its counters count a bundle twice that is tried twice.
        lines = epath.Path(self._manifest()).read_text().splitlines()
        total = manifest.summarise(json.loads(line) for line in lines)
        self.info.metadata["extraction"] = total
        print(in_words(total), file=sys.stderr)

    def _example_writer(self):
        return _Writer(file_format=self.info.file_format)

    def _manifest(self) -> str:
        return os.fspath(epath.Path(self.data_dir) / manifest.NAME)

    def fingerprint(self, manual_dir) -> str:
        """A hash of the names and sizes of all videos."""
        folder = epath.Path(manual_dir)
        total = hashlib.sha256()
        for path in _videos(folder):
            total.update(
                f"{_key(folder, path)}\t{epath.Path(path).stat().length}\n".encode()
            )
        return total.hexdigest()


class _Writer(writer.ExampleWriter):
    """Writes records to URLs, too, which ArrayRecord itself cannot."""

    def write(self, path, examples):
        path = epath.Path(path)
        if "://" not in os.fspath(path):
            return super().write(path, examples)
        with tempfile.TemporaryDirectory() as folder:
            local = epath.Path(folder) / path.name
            positions = super().write(local, examples)
            local.copy(path)
        return positions


def in_words(total: dict) -> str:
    """A line about the sums of `extraction.manifest.summarise`."""
    reasons = ", ".join(f"{n} {reason}" for reason, n in total["rejected"].items())
    return (
        f"{total['videos_kept']} of {total['videos']} videos kept as "
        f"{total['motions']} motions; {total['valid']} of {total['frames']} frames valid"
        + (f"; rejected: {reasons}." if reasons else ".")
    )


def _told(error: Exception) -> GazeheadError | None:
    """The sentence that a worker had to say; runners wrap it in its traceback."""
    if isinstance(error, GazeheadError):
        return GazeheadError(str(error).split(" [while running")[0])
    text = str(error)
    found = re.search(r"GazeheadError: (.+?)(?: \[while running|\n|$)", text)
    if found:
        return GazeheadError(found[1])
    found = re.search(r"generated examples is 0 for split '?(\w+)'?", text)
    if found:
        return GazeheadError(
            f"gazehead_videos: no video of the split {found[1]} gave a motion that "
            "passes the checks, and a split cannot be empty; set its fraction to 0 or "
            "add people. `gazehead extract` on the folder tells the reasons."
        )
    return None


def _videos(folder) -> list:
    found = sorted(
        path
        for path in _walk(folder)
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    )
    require(
        bool(found),
        f"{folder}: a folder of videos has files in it that end in "
        f"{', '.join(sorted(SUFFIXES))}; got none.",
    )
    return found


def _walk(folder):
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _walk(path)
        else:
            yield path


def _key(folder, path) -> str:
    return path.relative_to(folder).as_posix()


def _person(folder, path) -> str:
    parts = path.relative_to(folder).parts
    return parts[0] if len(parts) > 1 else path.stem
