"""Frames of a motion, drawn in batches of one size: constant memory, one compilation."""

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import Float

from gazehead_jax.generators.generator import Generator


def draw_in_batches(
    generator: Generator,
    gaze: Float[np.ndarray, "t 2"],
    head: Float[np.ndarray, "t 3"],
    shut: Float[np.ndarray, " t"],
) -> Iterator[np.ndarray]:
    """Yields uint8 RGB `[height, width, 3]`, one per frame; see `Generator.draw`."""
    size = generator.batch

    def batch(start: int) -> np.ndarray:
        parts = [a[start : start + size] for a in (gaze, head, shut)]
        count = len(parts[0])
        # The last batch is filled up, as another size would compile again.
        filled = [
            np.concatenate([p, np.repeat(p[-1:], size - count, 0)]) for p in parts
        ]
        return generator.draw(*filled)[:count]

    # One batch is drawn while the one before is encoded.
    with ThreadPoolExecutor(2) as pool:
        starts = iter(range(0, len(gaze), size))
        waiting = [pool.submit(batch, start) for start in itertools.islice(starts, 2)]
        while waiting:
            frames = waiting.pop(0).result()
            waiting += [pool.submit(batch, s) for s in itertools.islice(starts, 1)]
            yield from frames
