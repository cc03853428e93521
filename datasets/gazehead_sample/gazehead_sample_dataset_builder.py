"""Real gaze and head sequences that come with the package."""

from collections.abc import Iterator

import tensorflow_datasets as tfds

from gazehead_jax.datasets.gazehead_sample import eye_tracker
from gazehead_jax.datasets.gazehead_sample.clips import CLIPS
from gazehead_jax.motion import Motion
from gazehead_jax.motion_builder import MotionBuilder
from gazehead_jax.motion_io import load_motion


class Builder(MotionBuilder):
    """TFDS builder of `gazehead_sample`: configs `faces` (default), `eye_tracker`."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(
            name="faces", description="People in videos, by face landmarks."
        ),
        tfds.core.BuilderConfig(
            name="eye_tracker", description="People in VR, by an eye tracker."
        ),
    ]

    def _split_generators(self, dl_manager):
        del dl_manager
        motions = {"faces": _faces, "eye_tracker": eye_tracker.motions}
        return {
            split: self._generate_examples(
                (m.source, m) for m in motions[self.builder_config.name](split)
            )
            for split in eye_tracker.SPLITS
        }


def _faces(split: str) -> Iterator[Motion]:
    return (load_motion(clip.path) for clip in CLIPS if clip.split == split)
