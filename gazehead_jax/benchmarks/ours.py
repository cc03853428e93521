"""This package, through its public interface: noise is drawn and units are changed in
what is timed, while rivals are handed both."""

import numpy as np

from gazehead_jax.benchmarks.cases import Case, gaze_of


class Ours:
    """`rollout.rollout` of a whole case."""

    def __init__(self, case: Case):
        from gazehead_jax.doctor import use_cores

        use_cores(case.rows)
        from gazehead_jax import rollout
        from gazehead_jax.checkpoint import load

        self._rollout, self._d = rollout.rollout, case.model["head_dim"]
        self._checkpoint = load(case.folder / "model.npz")
        keys = rollout.sample_keys(0, case.rows)
        self._state = rollout.initial_state(self._checkpoint, keys)
        self._gaze = gaze_of(case.rows, case.frames)
        self._valid = np.ones((case.rows, case.frames), bool)

    def heads(self) -> np.ndarray:
        """`[t, b, d]` radians."""
        pieces = self._rollout(self._checkpoint, self._state, self._gaze, self._valid)
        heads = np.concatenate(list(pieces), axis=1)
        return np.swapaxes(heads, 0, 1)[..., : self._d]

    def settle(self) -> None:
        """There is nothing to choose."""
