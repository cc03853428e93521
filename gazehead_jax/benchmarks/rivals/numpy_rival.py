"""NumPy: the step that live use and the NumPy export take, in a Python loop."""

import types

import numpy as np

from gazehead_jax.benchmarks.cases import Case
from gazehead_jax.numpy_step import NumpyStep


class NumpyRival:
    """A whole rollout in NumPy."""

    def __init__(self, case: Case):
        self._case = case
        params: dict = {}
        for name, x in case.params.items():
            *sections, last = name.split("/")
            place = params
            for section in sections:
                place = place.setdefault(section, {})
            place[last] = x
        model = types.SimpleNamespace(**case.model)
        config = types.SimpleNamespace(model=model)
        given = types.SimpleNamespace(config=config, params=params)
        self._stepper = NumpyStep(given, case.rows)
        self._valid = np.ones(case.rows, bool)

    def heads(self) -> np.ndarray:
        """`[t, b, d]` radians."""
        case, natural = self._case, self._case.model["kind"] == "natural"
        state = self._stepper.start(case.style) if natural else self._stepper.start()
        out = []
        for gaze, noise in zip(case.gaze, case.noise, strict=True):
            state, head = self._stepper.step(state, gaze, self._valid, noise)
            out.append(head)
        return case.radians(np.stack(out))

    def settle(self) -> None:
        """There is nothing to choose."""
