"""How much arithmetic a function asks for."""

from collections.abc import Callable

import numpy as np


def matrix_operations(function: Callable, *arguments) -> float:
    """Floating-point operations of the matrix products and convolutions of a function,
    two for each multiply-add; what else it does costs little beside them.

    Args:
      function: traceable by JAX.
      *arguments: arrays, or their shapes as `jax.ShapeDtypeStruct`.
    """
    import jax

    return _count(jax.make_jaxpr(function)(*arguments).jaxpr)


def _count(jaxpr) -> float:
    total = 0.0
    for equation in jaxpr.eqns:
        name, given = equation.primitive.name, equation.params
        size = np.prod(equation.outvars[0].aval.shape, dtype=float)
        if name == "dot_general":
            ((contracted, _), _) = given["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            total += 2 * size * np.prod([shape[i] for i in contracted])
        elif name == "conv_general_dilated":
            shape = equation.invars[1].aval.shape
            outputs = shape[given["dimension_numbers"].rhs_spec[0]]
            total += 2 * size * np.prod(shape, dtype=float) / outputs
        repeats = given.get("length", 1) if name == "scan" else 1
        for value in given.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                total += repeats * _count(inner)
    return total
