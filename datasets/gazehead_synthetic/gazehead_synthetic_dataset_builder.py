"""Simulated people with known parameters."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds

from gazehead_jax.errors import require
from gazehead_jax.motion import Motion
from gazehead_jax.motion_builder import MotionBuilder
from gazehead_jax.simulator import sample_parameters, simulate


@dataclasses.dataclass(eq=False)
class SyntheticConfig(tfds.core.BuilderConfig):
    """How much is simulated, and how it is seen.

    Attributes:
      train_people, validation_people, test_people: how many people per split.
      sequences: sequences per person.
      seconds: length of a sequence.
      fps: frames per second.
      seed: other people and other movements.
      clean: no estimator noise, bias or blinks.
    """

    train_people: int = 64
    validation_people: int = 8
    test_people: int = 8
    sequences: int = 4
    seconds: float = 60.0
    fps: float = 25.0
    seed: int = 0
    clean: bool = False

    def __post_init__(self):
        for name in ("train_people", "validation_people", "test_people", "sequences"):
            require(
                getattr(self, name) >= 1,
                f"gazehead_synthetic: {name} must be at least 1, got "
                f"{getattr(self, name)}.",
            )


class Builder(MotionBuilder):
    """TFDS builder of `gazehead_synthetic`."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    BUILDER_CONFIGS = [
        SyntheticConfig(name="default", description="Seen by a noisy estimator."),
        SyntheticConfig(name="clean", description="Perfectly observed.", clean=True),
    ]

    def _split_generators(self, dl_manager):
        del dl_manager
        c = self.builder_config
        splits, first = {}, 0
        for split, count in (
            ("train", c.train_people),
            ("validation", c.validation_people),
            ("test", c.test_people),
        ):
            people = range(first, first + count)
            splits[split] = self._generate_examples(_motions(c, people))
            first += count
        return splits


def _motions(config: SyntheticConfig, people: range) -> Iterator[tuple[str, Motion]]:
    for i in people:
        parameters = sample_parameters(np.random.default_rng((config.seed, i)))
        if config.clean:
            parameters = parameters.clean()
        for j in range(config.sequences):
            # One integer, so that meta["seed"] makes the sequence again.
            seed = np.random.SeedSequence((config.seed, i, j)).generate_state(1)[0]
            motion = simulate(
                config.seconds,
                config.fps,
                seed=int(seed),
                parameters=parameters,
                subject=f"person_{i:04d}",
            )
            yield f"{i:04d}_{j:04d}", motion
