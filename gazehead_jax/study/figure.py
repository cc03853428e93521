"""A study's answers in one figure."""

import os

import numpy as np

from gazehead_jax.figures import PALETTE, open_figure, save_figure, tidy
from gazehead_jax.study.analyse import Analysis, p_text

_FOR, _TIE, _AGAINST = PALETTE["blue"], "#D9D9D9", PALETTE["orange"]


def plot_study(found: Analysis, path: str | os.PathLike) -> None:
    """Answers for each pair as shares of all, and Bradley–Terry strengths.

    The black lines are 95 % bootstrap intervals over participants.

    Raises:
      GazeheadError: matplotlib is missing, or path is not a figure's.
    """
    rows = max(len(found.pairs), len(found.strengths))
    figure = open_figure((10.0, 1.7 + 0.62 * rows))
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    place = np.arange(len(found.pairs))[::-1]
    for y, pair in zip(place, found.pairs, strict=True):
        counts = np.array([pair.wins, pair.ties, pair.losses])
        start = 0.0
        for count, colour in zip(counts, (_FOR, _TIE, _AGAINST), strict=True):
            share = count / counts.sum()
            left.barh(y, share, left=start, color=colour, height=0.5)
            if share > 0.06:
                ink = "white" if colour == _FOR else "black"
                middle = start + share / 2
                left.text(middle, y, f"{count}", ha="center", va="center", color=ink)
            start += share
        left.text(0, y + 0.29, pair.over, ha="left", va="bottom", fontsize="small")
        left.text(1, y + 0.29, pair.under, ha="right", va="bottom", fontsize="small")
        p = f"p {p_text(pair.p_holm)}"
        left.text(1.02, y, p, va="center", fontsize="small")
    left.axvline(0.5, color="0.3", linewidth=0.8, linestyle=":")
    left.set_yticks([])
    left.set_ylim(-0.5, len(found.pairs) - 0.2)
    left.set_xlim(0, 1)
    left.set_xlabel("share of answers for the one, for neither, for the other")
    left.set_title("answers (p: Wilcoxon over participants, Holm)", fontsize="medium")
    left.spines[["top", "right", "left"]].set_visible(False)

    ranked = sorted(found.strengths.items(), key=lambda item: item[1][0])
    for y, (_, (value, low, high)) in enumerate(ranked):
        right.plot([low, high], [y, y], color="black", linewidth=1.5)
        right.plot(value, y, "o", color=_FOR, markersize=7)
    right.axvline(0, color="0.3", linewidth=0.8, linestyle=":")
    right.set_yticks(range(len(ranked)), [name for name, _ in ranked])
    right.set_ylim(-0.6, len(ranked) - 0.4)
    right.set_xlabel("log strength (mean of all: 0)")
    right.set_title("Bradley–Terry, 95 % over participants", fontsize="medium")
    tidy(right)
    save_figure(figure, path)
