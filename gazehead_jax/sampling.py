"""Head motions for a gaze sequence at any rate, of any length."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from gazehead_jax.checkpoint import Checkpoint
from gazehead_jax.controls import AS_SAMPLED, Controls
from gazehead_jax.errors import require
from gazehead_jax.motion import Motion, resample, wrap
from gazehead_jax.rollout import (
    check_drawn,
    check_model,
    initial_state,
    rollout,
    sample_keys,
)


def sample(
    checkpoint: Checkpoint,
    motion: Motion,
    *,
    num_samples: int = 1,
    seed: int = 0,
    context: Motion | None = None,
    temperature: float = 1.0,
    style: Sequence[float] | Float[np.ndarray, " z"] | float | None = None,
    controls: Controls = AS_SAMPLED,
    best_of: int = 1,
    live: bool = False,
    chunk: int | None = None,
    kernel: bool = True,
) -> list[Motion]:
    """Head motions for a gaze sequence.

    Args:
      checkpoint: the model (`gazehead_jax.load`).
      motion: gaze at any rate; its own head is ignored.
      num_samples: different heads for the same gaze.
      seed: same seed, same heads.
      context: what has just happened, see `initial_state`.
      temperature: of the noise, 0 or more.
      style: of a model that has one, see `initial_state`.
      controls: amplitude, rest pose and limits.
      best_of: each motion is the most typical of so many, 3 or more: the one with the
        least mean distance (degrees) to the others.
      live, chunk, kernel: see `rollout`.

    Returns:
      `num_samples` motions with the input's gaze, rate and length. A head depends on
      gaze up to `model.lookahead` frames ahead, or, if live, up to its frame only;
      changing from and to another rate looks up to two frames of the model further.

    Raises:
      GazeheadError: fewer than two frames or no valid one, a count, chunk, seed or
        temperature below its least, `best_of` 2, or a context or style that does not
        fit the model.
    """
    check_model(checkpoint)
    require(
        len(motion) > 1,
        f"motion {motion.source!r} must have at least two frames to follow, got one.",
    )
    check_drawn(num_samples, seed, temperature)
    require(
        best_of >= 1 and best_of != 2,
        f"best_of must be 1, or 3 and more (neither of two is more typical), got "
        f"{best_of}.",
    )
    require(chunk is None or chunk >= 1, f"chunk must be ≥ 1, got {chunk}.")
    require(
        bool(motion.valid.any()),
        f"motion {motion.source!r} has zero valid gaze frames; there is nothing to "
        "follow.",
    )
    fps = checkpoint.config.data.fps
    driving = resample(_held(motion.replace(head=None), 1 / fps), fps)
    rows = num_samples * best_of
    state = initial_state(checkpoint, sample_keys(seed, rows), context, style)
    gaze = np.broadcast_to(driving.gaze, (rows, *driving.gaze.shape))
    valid = np.broadcast_to(driving.valid, gaze.shape[:2])
    chunks = rollout(
        checkpoint, state, gaze, valid, chunk, float(temperature), live, kernel
    )
    heads = _most_typical(np.concatenate(list(chunks), axis=1), best_of)
    made = {"model": checkpoint.name, "model_fps": fps, "seed": seed}
    # What is needed to make the head again, where it is not the default.
    if controls != AS_SAMPLED:
        heads = controls.apply(np.unwrap(heads, axis=1))
        made["controls"] = dataclasses.asdict(controls)
    if temperature != 1:
        made["temperature"] = float(temperature)
    if style is not None:
        made["style"] = [float(x) for x in np.atleast_1d(np.asarray(style))]
    if best_of > 1:
        made["best_of"] = best_of
    if live:
        made["live"] = True
    if context is not None:
        made["context"] = context.source or "given"
    return [
        _at_rate_of(
            motion, Motion(np.zeros_like(driving.gaze), head, fps), made | {"sample": i}
        )
        for i, head in enumerate(heads)
    ]


def _most_typical(heads: Float[np.ndarray, "s t 3"], best_of: int) -> np.ndarray:
    """Of each `best_of` rows the one that is nearest to the others."""
    if best_of == 1:
        return heads
    groups = heads.reshape(-1, best_of, *heads.shape[1:])
    chosen = []
    for group in groups:
        apart = [np.linalg.norm(wrap(group - one), axis=-1).mean() for one in group]
        chosen.append(group[int(np.argmin(apart))])
    return np.stack(chosen)


def _held(motion: Motion, seconds: float) -> Motion:
    """The motion with its last frame held on, so that resampling never falls short."""
    extra = int(np.ceil(seconds * motion.fps)) + 1
    return motion.replace(
        gaze=np.concatenate([motion.gaze, np.repeat(motion.gaze[-1:], extra, 0)]),
        valid=np.concatenate([motion.valid, np.repeat(motion.valid[-1:], extra)]),
    )


def _at_rate_of(motion: Motion, generated: Motion, facts: dict) -> Motion:
    generated = resample(generated, motion.fps, smooth=True)
    return motion.replace(
        head=generated.head[: len(motion)],
        source=f"{motion.source or 'gaze'} → {facts['model']}",
        meta={**motion.meta, "generated": facts},
    )
