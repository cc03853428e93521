"""Figures of what time and bad gaze do to a model."""

import os
from collections.abc import Mapping

import numpy as np

from gazehead_jax.drift import GROUPS, Drift
from gazehead_jax.drift_record import TOLERANCE, Curve
from gazehead_jax.figures import (
    PALETTE,
    legend_above,
    open_figure,
    save_figure,
    tidy,
)
from gazehead_jax.robustness import LEVELS, Robustness

# What `drift.GROUPS` are called above a panel, in its order.
_TITLES = (
    "mean pose (% of a standard deviation)",
    "variance (%)",
    "jerk (%)",
    "gaze–head correlation (× 100)",
    "Fréchet distance, √ per feature (%)",
)

# More points than this along a panel are a smear; so many minutes are then meant.
POINTS = 120

# Title of a panel → what it draws, and where it would be at best.
_ROBUSTNESS: Mapping[str, tuple[tuple[str, ...], float | None]] = {
    "energy score (°)": (("energy_score_deg",), None),
    "correlation, yaw": (("correlation_yaw",), None),
    "jerk / real": (("jerk_ratio",), 1),
    "variance / real": (("variance_ratio_pitch", "variance_ratio_yaw"), 1),
    "in 90 % band": (("coverage90_pitch", "coverage90_yaw"), 0.9),
}


def plot_drift(drift: Drift, path: str | os.PathLike) -> None:
    """Change against minute 1 over time, one panel a quantity, one line a gaze.

    Where a quantity has axes, the line is of the axis that changes most. The band is the
    tenth within which a model holds. Of a long test a point is the mean of some minutes.

    Raises:
      GazeheadError: matplotlib is missing, or path is not a figure's.
    """
    figure = open_figure((9.6, 5.6))
    panels = figure.subplots(2, 3, sharex=True)
    together = -(-max(len(c.minutes) for c in drift.curves.values()) // POINTS)
    for panel, title, quantities in zip(
        panels.flat, _TITLES, GROUPS.values(), strict=False
    ):
        reach = 1.6 * TOLERANCE
        panel.axhspan(-100 * TOLERANCE, 100 * TOLERANCE, color="0.93", linewidth=0)
        for (name, curve), colour in zip(
            drift.curves.items(), PALETTE.values(), strict=False
        ):
            change = _most_changed(curve, quantities)
            if change is None:
                continue
            change = _means(change, together)
            reach = max(reach, 1.1 * np.nanmax(np.abs(change)))
            panel.plot(
                _means(np.array(curve.minutes), together),
                100 * change,
                color=colour,
                linewidth=1.3,
                label=name.replace("_", " "),
            )
        low = 0 if quantities == ("frechet",) else -reach
        # A model that runs off must not make the others a flat line.
        panel.set_ylim(100 * max(low, -2), 100 * min(reach, 2))
        panel.set_title(title, fontsize="medium")
        tidy(panel)
    panels[0, 2].tick_params(labelbottom=True)
    panels.flat[-1].set_visible(False)
    for panel in (panels[1, 0], panels[1, 1], panels[0, 2]):
        panel.set_xlabel("minute" + (f" (means of {together})" if together > 1 else ""))
    for panel in panels[:, 0]:
        panel.set_ylabel("change against minute 1")
    legend_above(figure, panels[0, 0])
    save_figure(figure, path)


def _means(values: np.ndarray, together: int) -> np.ndarray:
    """Means of so many neighbours; the last of fewer."""
    starts = np.arange(0, len(values), together)
    counts = np.diff(np.append(starts, len(values)))
    return np.add.reduceat(values.astype(float), starts) / counts


def _most_changed(curve: Curve, quantities: tuple[str, ...]) -> np.ndarray | None:
    """Change of the quantity whose worst block is the worst; None if all undefined."""
    known = [q for q in quantities if curve.verdict(q) != "–"]
    if not known:
        return None
    return np.array(curve.change[max(known, key=lambda q: abs(curve.worst(q)))])


def plot_robustness(found: Robustness, path: str | os.PathLike) -> None:
    """Metrics over the level of each degradation: a row a metric, a column a kind.

    The dashed line is clean gaze, the dotted one what a perfect model has.

    Raises:
      GazeheadError: matplotlib is missing, or path is not a figure's.
    """
    figure = open_figure((11.0, 8.6))
    grid = figure.subplots(
        len(_ROBUSTNESS), len(LEVELS), sharex="col", sharey="row", squeeze=False
    )
    for row, (title, (keys, ideal)) in zip(grid, _ROBUSTNESS.items(), strict=True):
        for panel, levels in zip(row, found.rows.values(), strict=True):
            at = np.arange(len(levels))
            if ideal is not None:
                panel.axhline(ideal, color="0.3", linewidth=1, linestyle=":")
            for i, key in enumerate(keys):
                colour = PALETTE[("blue", "vermilion")[i] if len(keys) > 1 else "black"]
                clean = found.clean[key]
                panel.axhline(clean, color=colour, linewidth=0.8, linestyle="--")
                values = [levels[level][key] for level in levels]
                axis = key.rsplit("_", 1)[-1] if len(keys) > 1 else None
                panel.plot(at, values, "o-", color=colour, ms=3.5, lw=1.4, label=axis)
            panel.set_xticks(at, [f"{level:g}" for level in levels])
            panel.set_xlim(-0.4, len(levels) - 0.6)
            tidy(panel)
        row[0].set_ylabel(title)
    for panel, name in zip(grid[-1], found.rows, strict=True):
        unit = LEVELS[name][0].strip()
        panel.set_xlabel(name if name == unit else f"{name} ({unit})")
    legend_above(figure, grid[3, 0])
    save_figure(figure, path)
