"""The paper's user study (Liu, Wen & Sugano, Table 2) held against the same tests.

It gives, for eight paired units, the mean of ratings from -2 to 2 and the p-value of a
Wilcoxon test. A mean alone leaves the p-value open; but few sets of eight whole ratings
have both, and their exact p-values are those published. What the ratings were of (eight
raters or eight clips), and of which unit each was, the numbers do not tell.
"""

import itertools
from collections.abc import Iterator, Mapping

import numpy as np

from gazehead_jax.study.statistics import holm, signed_rank
from gazehead_jax.tables import number

UNITS = 8
GRADES = (-2, -1, 0, 1, 2)
# The paper's model over …: (mean rating, p), as printed.
TABLE_2: Mapping[str, tuple[float, float]] = {
    "constant head": (0.250, 0.688),
    "mirror gaze": (1.500, 0.016),
    "without temporal context": (1.625, 0.008),
    "driven by real motion": (1.000, 0.031),
}


def rating_sets(mean: float, units: int = UNITS) -> Iterator[tuple[int, ...]]:
    """Every set of whole ratings with a mean that is printed with three digits."""
    for ratings in itertools.combinations_with_replacement(GRADES, units):
        if abs(np.mean(ratings) - mean) <= 5e-4 + 1e-9:
            yield ratings


def exact_p(ratings: tuple[int, ...]) -> float:
    return signed_rank(np.array(ratings, float)).p


def table_2() -> tuple[str, list[str], list[list[str]]]:
    """The published numbers, what they determine, and p-values after Holm's correction,
    which the paper does not make; as text."""
    rows, found = [], []
    for mean, p in TABLE_2.values():
        sets = {ratings: exact_p(ratings) for ratings in rating_sets(mean)}
        fitting = {r: q for r, q in sets.items() if round(q, 3) == p}
        found.append(next(iter(fitting.values())))
        rows.append(
            [
                number(mean, 3),
                number(p, 3),
                f"{len(sets)}, p {number(min(sets.values()), 3)} … "
                f"{number(max(sets.values()), 3)}",
                "; or ".join(" ".join(map(str, ratings)) for ratings in fitting),
                f"{found[-1]:.5f}".rstrip("0"),
            ]
        )
    rows = [
        [name, *row, number(p, 3)]
        for name, row, p in zip(TABLE_2, rows, holm(found), strict=True)
    ]
    head = ["over", "mean", "printed p", "sets with the mean", "with the p too"]
    return "Table 2 of the paper", [*head, "exact p", "Holm p"], rows
