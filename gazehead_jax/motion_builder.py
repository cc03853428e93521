"""What every TFDS builder here shares: features, file format, Motion ↔ example.

TensorFlow is not needed: records are ArrayRecord and are read by `tfds.data_source`.
This module imports `tensorflow_datasets`, so only builders and `data.py` import it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from gazehead_jax.motion import CONVENTION, Motion


def motion_features(**extra) -> tfds.features.FeaturesDict:
    """The features of one sequence, plus `extra` ones of a builder's own.

    gaze `[time, 2]` and head `[time, 3]` are float32 radians in the camera frame,
    valid `[time]` bool; fps is a float64 scalar; subject, source and meta (JSON) are
    text.
    """
    # `bytes` reads 7 times faster than Sequence features and keeps empty clips typed.
    return tfds.features.FeaturesDict(
        {
            "gaze": tfds.features.Tensor(
                shape=(None, 2), dtype=np.float32, encoding="bytes"
            ),
            "head": tfds.features.Tensor(
                shape=(None, 3), dtype=np.float32, encoding="bytes"
            ),
            "valid": tfds.features.Tensor(
                shape=(None,), dtype=np.bool_, encoding="bytes"
            ),
            # Unless it is bytes, TFDS rounds a float64 to float32, and 29.97 comes back
            # as another rate than 29.97.
            "fps": tfds.features.Tensor(shape=(), dtype=np.float64, encoding="bytes"),
            "subject": tfds.features.Text(),
            "source": tfds.features.Text(),
            "meta": tfds.features.Text(),
            **extra,
        }
    )


def to_example(motion: Motion) -> dict:
    """The TFDS example of a motion.

    Raises:
      GazeheadError: the motion has no head.
    """
    return {
        "gaze": motion.gaze,
        "head": motion.require_head(),
        "valid": motion.valid,
        "fps": np.float64(motion.fps),
        "subject": motion.subject,
        "source": motion.source,
        "meta": json.dumps(dict(motion.meta)),
    }


def from_example(example: Mapping) -> Motion:
    """The motion of a TFDS example as `tfds.data_source` yields it."""
    return Motion(
        gaze=example["gaze"],
        head=example["head"],
        fps=float(example["fps"]),
        # Records are read-only memory; a motion's arrays are the caller's own.
        valid=np.array(example["valid"]),
        subject=_text(example["subject"]),
        source=_text(example["source"]),
        meta=json.loads(_text(example["meta"])),
    )


def _text(value) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _nothing() -> None:
    pass


class MotionBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Base of the builders: ArrayRecord by default, motion features, README texts.

    A builder is `class Builder(MotionBuilder)` in `<name>_dataset_builder.py`, beside
    its README.md, CITATIONS.bib and TAGS.txt. It has a `VERSION` and returns
    `{split: self._generate_examples(motions)}` from `_split_generators(dl_manager)`;
    splits must not share a subject. One that reads a user's own copy also has
    `MANUAL_DOWNLOAD_INSTRUCTIONS`, and may tell with `fingerprint` which copy it was.
    """

    def __init__(self, *, file_format: str = "array_record", **kwargs):
        super().__init__(file_format=file_format, **kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=motion_features(),
            supervised_keys=None,
            metadata=tfds.core.MetadataDict(
                {"units": "radians", "frame": "camera", "convention": CONVENTION}
            ),
        )

    def dataset_info_from_configs(self, **kwargs) -> tfds.core.DatasetInfo:
        info = super().dataset_info_from_configs(**kwargs)
        # TFDS would look into Google's bucket for what was never put there, and leave an
        # empty folder among the temporary ones for each builder that is made.
        info.initialize_from_bucket = _nothing
        return info

    def _generate_examples(
        self, motions: Iterable[tuple[str | int, Motion]]
    ) -> Iterator[tuple[str | int, dict]]:
        """Examples of (key, motion) pairs; keys are unique within a split."""
        for key, motion in motions:
            yield key, to_example(motion)

    def fingerprint(self, manual_dir: Path | None) -> str:
        """What the data are made from, if that can change; stored with them.

        Preparing again from other files is then an error and not silently skipped.
        """
        del manual_dir
        return ""
