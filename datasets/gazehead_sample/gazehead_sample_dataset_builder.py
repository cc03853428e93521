"""Real gaze and head sequences that come with the package."""

from collections.abc import Iterator

import tensorflow_datasets as tfds

from gazehead_jax.datasets.gazehead_sample.clips import CLIPS, SPLITS
from gazehead_jax.motion import Motion
from gazehead_jax.motion_builder import MotionBuilder
from gazehead_jax.motion_io import load_motion


class Builder(MotionBuilder):
    """TFDS builder of `gazehead_sample`."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}

    def _split_generators(self, dl_manager):
        del dl_manager
        return {split: self._generate_examples(_motions(split)) for split in SPLITS}


def _motions(split: str) -> Iterator[tuple[str, Motion]]:
    for clip in CLIPS:
        if clip.split == split:
            yield clip.name, load_motion(clip.path)
