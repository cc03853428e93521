"""The type checks of the suite are switched on, or this fails."""

import jaxtyping
import numpy as np
import pytest

from gazehead_jax import motion


def test_shape_annotations_are_enforced():
    with pytest.raises(jaxtyping.TypeCheckError):
        motion.angles_to_vector(np.zeros((4, 3)))
