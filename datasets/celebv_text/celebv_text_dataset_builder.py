"""CelebV-Text, from a user's own copy: clips, or motions already extracted from them."""

import collections
import dataclasses
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import tensorflow_datasets as tfds

from gazehead_jax.datasets.celebv_text import splits, user_copy
from gazehead_jax.errors import GazeheadError, require
from gazehead_jax.extraction import ExtractSettings, extract, manifest
from gazehead_jax.extraction.summary import Reporter, licences
from gazehead_jax.motion import Motion, resample
from gazehead_jax.motion_builder import MotionBuilder
from gazehead_jax.motion_io import load_motion

LICENCE = (
    "CelebV-Text: for non-commercial research only. Neither its clips nor anything "
    "derived from them, such as these motions, may be passed on or used commercially; "
    "copies may be made within one site of one organisation. Models trained on it "
    "inherit this. Terms: https://github.com/celebv-text/CelebV-Text#Agreement"
)
# Two tracks at the same time are two people; shorter ones are flickers.
TOGETHER_S = 0.5


@dataclasses.dataclass(eq=False)
class CelebVTextConfig(tfds.core.BuilderConfig):
    """What is kept of the clips.

    Attributes:
      gaze: the gaze estimator, see `ExtractSettings`.
      fps: frames per second of the sequences; 0 for each clip's own.
      faces: "reject" clips that show several people, or "split" them by person.
      shots: "reject" clips that have a cut, or "split" them there.
      min_seconds: sequences with fewer seconds of valid frames are left out; the
        paper's window is 2.4 s.
      validation_fraction, test_fraction: share of the videos where there are no lists.
      partial: take what is there, if extraction is not done or listed clips are missing.
    """

    gaze: str = "iris"
    fps: float = 0.0
    faces: str = "reject"
    shots: str = "reject"
    min_seconds: float = 2.4
    validation_fraction: float = 0.015
    test_fraction: float = 0.015
    partial: bool = False

    def __post_init__(self):
        self.settings  # noqa: B018 - checks them.
        require(
            self.fps >= 0,
            "celebv_text: fps must be positive, or 0 for each clip's own, got "
            f"{self.fps}.",
        )
        shares = (self.validation_fraction, self.test_fraction)
        require(
            all(x >= 0 for x in shares) and sum(shares) < 1,
            "celebv_text: validation_fraction and test_fraction must not be negative "
            f"and leave something to train on, got {shares}.",
        )

    @property
    def settings(self) -> ExtractSettings:
        """For clips. The rate is changed afterwards, so that no rate needs another run."""
        return ExtractSettings(gaze=self.gaze, faces=self.faces, shots=self.shots)


class Builder(MotionBuilder):
    """TFDS builder of `celebv_text`.

    Raises:
      GazeheadError: while preparing, if the copy has neither clips nor motions, motions
        without manifest, clips but not what extraction needs, less than it should have
        (see `user_copy.read_extracted`), lists with unknown names, motions of another
        estimator or a lower rate, or nothing left in a split.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    BUILDER_CONFIGS = [
        CelebVTextConfig(name="default", description="The paper's filters.")
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Give as manual_dir the folder of your CelebV-Text clips (.mp4), or better "
        f"what `{user_copy.COMMAND}` made of them. train.txt and test.txt in it, a clip's "
        "name a line, say who is tested."
    )

    def _info(self):
        info = super()._info()
        info.metadata["licence"] = LICENCE
        return info

    def _split_generators(self, dl_manager):
        print(LICENCE, file=sys.stderr)
        config, folder = self.builder_config, Path(dl_manager.manual_dir)
        lists = splits.read_lists(folder)
        listed = [clip for names in lists.values() for clip in names]
        clips = user_copy.find_clips(folder)
        motions = folder
        if not user_copy.is_extracted(folder):
            if not config.partial:
                user_copy.check_listed(folder, clips, listed)
            motions = self._extract(folder, Path(dl_manager.download_dir))
        extracted = user_copy.read_extracted(motions, clips, listed, config.partial)
        self.info.metadata["extraction"] = manifest.summarise(extracted.rows.values())
        self._left_out = collections.Counter()
        wanted = splits.split_clips(
            sorted(extracted.rows),
            lists,
            config.validation_fraction,
            config.test_fraction,
        )
        self._left_out["in no list"] = len(extracted.rows) - sum(
            map(len, wanted.values())
        )
        return {
            split: self._generate_examples(self._motions(split, names, extracted))
            for split, names in wanted.items()
            if names or split in lists or not self._may_be_empty(split)
        }

    def _may_be_empty(self, split: str) -> bool:
        shares = {
            "validation": self.builder_config.validation_fraction,
            "test": self.builder_config.test_fraction,
        }
        return not shares.get(split, 1)

    def _motions(
        self, split: str, clips: list[str], extracted: user_copy.Extracted
    ) -> Iterator[tuple[str, Motion]]:
        kept = 0
        for clip in clips:
            motions = [load_motion(path) for path in extracted.files(clip)]
            reason = self._reason(motions, extracted.folder)
            if reason:
                self._left_out[reason] += 1
                continue
            for i, motion in enumerate(motions):
                if motion.valid.sum() / motion.fps < self.builder_config.min_seconds:
                    self._left_out["too short"] += 1
                    continue
                kept += 1
                yield f"{clip}/{i}", self._finished(motion, clip)
        require(
            kept > 0,
            f"celebv_text: nothing is left of the {len(clips)} clips for {split}, and a "
            "split cannot be empty; give more clips or lists of your own, loosen "
            "min_seconds, shots or faces, or set the split's fraction to 0.",
        )

    def _reason(self, motions: list[Motion], folder: Path) -> str | None:
        """Why a clip is left out as a whole."""
        config = self.builder_config
        if not motions:
            return "rejected in extraction"
        gaze = {motion.meta.get("gaze") for motion in motions}
        require(
            gaze == {config.gaze},
            f"{folder}: the motions' gaze is by {', '.join(map(str, gaze))}, expected "
            f"{config.gaze}; set gaze to theirs, or extract with --gaze {config.gaze}.",
        )
        if config.shots == "reject" and any(m.meta["shot"] > 0 for m in motions):
            return "cut"
        if config.faces == "reject" and _together(motions):
            return "several faces"
        return None

    def _finished(self, motion: Motion, clip: str) -> Motion:
        fps = self.builder_config.fps
        require(
            not fps or motion.fps > fps * 0.99,
            f"celebv_text: fps={fps:g} is more than the {motion.fps:g} of {clip}; "
            "extract at the clips' own rate, or build at a lower one.",
        )
        return resample(motion, fps or motion.fps).replace(
            subject=splits.video_id(clip),
            source=clip,
            meta={**motion.meta, "licence": "CelebV-Text, non-commercial research"},
        )

    def _extract(self, clips: Path, downloads: Path) -> Path:
        """Extracts clips to where a build that is stopped finds them again."""
        settings = self.builder_config.settings
        out = downloads / self.name / settings.fingerprint()
        for line in licences(settings):
            print(line, file=sys.stderr)
        try:
            with Reporter() as progress:
                workers = os.cpu_count() or 1
                extract(clips, out, settings, workers=workers, progress=progress)
        except GazeheadError as error:
            raise GazeheadError(
                f"{clips} has clips and no motions, and they could not be extracted: "
                f"{error}"
            ) from error
        return out

    def _download_and_prepare(self, dl_manager, download_config):
        super()._download_and_prepare(dl_manager, download_config)
        left_out = {k: n for k, n in self._left_out.most_common() if n}
        self.info.metadata["left_out"] = left_out
        counts = ", ".join(f"{n} {reason}" for reason, n in left_out.items())
        print(f"celebv_text: left out: {counts or 'nothing'}.", file=sys.stderr)

    def fingerprint(self, manual_dir) -> str:
        return user_copy.fingerprint(Path(manual_dir))


def _together(motions: list[Motion]) -> bool:
    """Whether two of them are of the same time."""
    spans = sorted(
        (m.meta["start_s"], m.meta["start_s"] + m.duration_s) for m in motions
    )
    return any(a[1] - b[0] > TOGETHER_S for a, b in zip(spans, spans[1:], strict=False))
