"""Whatever makes heads, behind one call: models, baselines, the real heads.

A predictor is called with (context motion, motion to follow, samples, seed) and gives
heads `[s, t, d]`, radians.
"""

import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from gazehead_jax.baselines import Baseline
from gazehead_jax.checkpoint import Checkpoint
from gazehead_jax.motion import Motion
from gazehead_jax.rollout import initial_state, rollout, sample_keys
from gazehead_jax.sampling import sample

Predictor = Callable[[Motion, Motion, int, int], np.ndarray]

# Rows that one rollout carries: more gain no speed, and cost memory.
MAX_ROWS = 512


@dataclasses.dataclass(frozen=True, eq=False)
class ModelPredictor:
    """A checkpoint as a predictor, of one motion or of many in common rollouts; `live`
    hides the gaze to come from it."""

    checkpoint: Checkpoint
    live: bool = False

    def __call__(
        self, context: Motion, motion: Motion, num_samples: int, seed: int
    ) -> np.ndarray:
        return self.many([context], [motion], num_samples, [seed])[0]

    def many(
        self,
        contexts: Sequence[Motion],
        motions: Sequence[Motion],
        num_samples: int,
        seeds: Sequence[int],
    ) -> list[np.ndarray]:
        """The heads `[s, t, d]` of each motion: those that it gets alone.

        Motions of similar length share a rollout; the shorter wait for the longest.
        """
        out: list[np.ndarray] = [np.zeros(0)] * len(motions)
        together = max(1, min(len(motions), MAX_ROWS // num_samples))
        order = sorted(range(len(motions)), key=lambda i: len(motions[i]))
        for start in range(0, len(order), together):
            group = order[start : start + together]
            # The last group is filled up with copies: one shape compiles once.
            full = [group[i % len(group)] for i in range(together)]
            heads = self._together(
                [contexts[i] for i in full],
                [motions[i] for i in full],
                num_samples,
                [seeds[i] for i in full],
            )
            for i, some in zip(group, heads, strict=False):
                out[i] = some[:, : len(motions[i])]
        return out

    def _together(self, contexts, motions, num_samples, seeds) -> np.ndarray:
        states = [
            initial_state(self.checkpoint, sample_keys(seed, num_samples), context)
            for seed, context in zip(seeds, contexts, strict=True)
        ]
        # All rows are at their first frame; what has no axis (its number) is common.
        state = jax.tree.map(
            lambda *x: jnp.concatenate(x) if jnp.ndim(x[0]) else x[0], *states
        )
        length = max(len(m) for m in motions)
        gaze = np.zeros((len(motions), num_samples, length, 2), np.float32)
        valid = np.zeros(gaze.shape[:3], bool)
        for i, motion in enumerate(motions):
            gaze[i, :, : len(motion)] = motion.gaze
            valid[i, :, : len(motion)] = motion.valid
        rows = len(motions) * num_samples
        chunks = rollout(
            self.checkpoint,
            state,
            gaze.reshape(rows, length, 2),
            valid.reshape(rows, length),
            min(length, 64),
            live=self.live,
        )
        heads = np.concatenate(list(chunks), 1)
        heads = heads[..., : self.checkpoint.config.model.head_dim]
        return heads.reshape(len(motions), num_samples, *heads.shape[1:])


def model_predictor(
    checkpoint: Checkpoint, fps: float | None = None, *, live: bool = False
) -> ModelPredictor | Predictor:
    """The checkpoint as a predictor of motions at its own rate, or at another.

    At another rate its heads are brought to that of the motions as `sampling.sample`
    does, which lets a slower model look up to two of its frames ahead.
    """
    own = checkpoint.config.data.fps
    if fps is None or abs(fps - own) < 1e-3 * own:
        return ModelPredictor(checkpoint, live)

    def predict(context: Motion, motion: Motion, num_samples: int, seed: int):
        c = checkpoint.config.model
        past = None
        if c.context:
            # Its frames just before the motion, the nearest one a period away.
            back = np.round(np.arange(c.context, 0, -1) * fps / own).astype(int)
            frames = len(context) - back
            past = Motion(
                gaze=context.gaze[frames],
                head=context.require_head()[frames],
                fps=own,
                valid=context.valid[frames],
            )
        made = sample(
            checkpoint,
            motion,
            num_samples=num_samples,
            seed=seed,
            context=past,
            live=live,
            chunk=16,
        )
        return np.stack([m.require_head() for m in made])[..., : c.head_dim]

    return predict


def frames_before(checkpoint: Checkpoint, fps: float) -> int:
    """Frames at `fps` that a checkpoint needs to see before it begins."""
    c = checkpoint.config
    return round(c.model.context * fps / c.data.fps)


def predict_all(
    predictor: Predictor,
    contexts: Sequence[Motion],
    motions: Sequence[Motion],
    num_samples: int,
    seed: int,
) -> list[np.ndarray]:
    """Heads of each motion, motion i with seed + i; a model makes them together."""
    seeds = [seed + i for i in range(len(motions))]
    if isinstance(predictor, ModelPredictor):
        return predictor.many(contexts, motions, num_samples, seeds)
    return [
        predictor(context, motion, num_samples, s)
        for context, motion, s in zip(contexts, motions, seeds, strict=True)
    ]


def baseline_predictor(baseline: Baseline, d: int) -> Predictor:
    """A fitted baseline as a predictor of the first d channels."""

    def predict(context: Motion, motion: Motion, num_samples: int, seed: int):
        return baseline.sample(
            motion.gaze,
            motion.valid,
            motion.fps,
            context.require_head()[:, :d],
            num_samples,
            seed,
        )

    return predict


def real_predictor(d: int) -> Predictor:
    """The real heads, as their own prediction."""
    return lambda context, motion, num_samples, seed: motion.require_head()[None, :, :d]
