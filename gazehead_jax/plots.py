"""Figures for a human eye: trajectories, head share, estimates, training curves.

Angles are degrees here and nowhere else.
"""

import itertools
import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float

from gazehead_jax.bands import EDGES, Band
from gazehead_jax.coordination import head_share
from gazehead_jax.errors import GazeheadError, require
from gazehead_jax.figures import (
    PALETTE,
    legend_above,
    open_figure,
    save_figure,
    tidy,
)
from gazehead_jax.gaze_shifts import MIN_AMPLITUDE, Shifts
from gazehead_jax.motion import GAZE_CHANNELS, HEAD_CHANNELS, Array, Motion

_REAL, _GENERATED = PALETTE["black"], PALETTE["blue"]
_GAZE, _SPARE = PALETTE["vermilion"], PALETTE["green"]
# Fewer samples have no middle 90 % worth drawing.
MIN_BAND_SAMPLES = 10
# Through fewer gaze shifts a hinge goes anywhere.
MIN_LINE_SHIFTS = 20
_SIGN = {"pitch": "up", "yaw": "image left", "roll": "clockwise"}


def plot_trajectories(
    motion: Motion, samples: Float[Array, "s t d"], path: str | os.PathLike
) -> None:
    """Gaze, the real head and the generated heads over time, one panel an axis.

    From `MIN_BAND_SAMPLES` on samples show as the bands that hold the middle 50 % and 90 %
    of them, with the first three drawn singly; fewer are all drawn singly. Lines break at
    invalid frames.

    Args:
      motion: the real one; without a head only the samples are shown.
      samples: s generated heads for its gaze, radians, d = 2 or 3.
      path: where to write.

    Raises:
      GazeheadError: shapes do not fit, matplotlib is missing, or path is not a figure's.
    """
    samples = np.asarray(samples, np.float64)
    require(
        samples.shape[0] > 0
        and samples.shape[1] == len(motion)
        and samples.shape[2] in (2, 3),
        f"plot: samples must be [s, {len(motion)}, 2 or 3] for this motion, got "
        f"{samples.shape}.",
    )
    time = np.arange(len(motion)) / motion.fps
    axes = HEAD_CHANNELS[: samples.shape[-1]]
    figure = open_figure((9.0, 1.3 + 2.1 * len(axes)))
    panels = figure.subplots(len(axes), 1, sharex=True, squeeze=False)[:, 0]
    gaps = np.where(motion.valid, 0, np.nan)
    degrees = np.rad2deg(samples)
    n, banded = len(samples), len(samples) >= MIN_BAND_SAMPLES
    singly = "generated" if n == 1 else f"generated ({n} heads)"
    singly = f"generated (3 of {n} heads)" if banded else singly
    for i, (axis, panel) in enumerate(zip(axes, panels, strict=True)):
        if banded:
            for level, alpha in ((90, 0.18), (50, 0.35)):
                low, high = np.percentile(
                    degrees[..., i], [50 - level / 2, 50 + level / 2], axis=0
                )
                panel.fill_between(
                    time,
                    low,
                    high,
                    color=_GENERATED,
                    alpha=alpha,
                    linewidth=0,
                    label=f"generated, middle {level} %",
                )
        for j, sample in enumerate(degrees[: 3 if banded else n, :, i]):
            label = None if j else singly
            panel.plot(time, sample, color=_GENERATED, linewidth=0.9, label=label)
        if axis in GAZE_CHANNELS:
            gaze = np.rad2deg(motion.gaze[:, i]) + gaps
            panel.plot(time, gaze, color=_GAZE, linewidth=0.8, label="gaze (input)")
        if motion.head is not None:
            head = np.rad2deg(motion.head[:, i]) + gaps
            panel.plot(time, head, color=_REAL, linewidth=2, label="real head")
        panel.set_ylabel(f"{axis} (°)\n+ is {_SIGN[axis]}")
        tidy(panel)
    panels[-1].set_xlabel("time (s)")
    panels[-1].set_xlim(0, max(time[-1], 1 / motion.fps))
    legend_above(figure, panels[0])
    save_figure(figure, path)


def plot_head_share(
    shifts: Mapping[str, Shifts],
    path: str | os.PathLike,
    *,
    settled_only: bool = True,
    max_points: int = 1500,
) -> None:
    """Δhead against Δgaze of each gaze shift, and the hinge fitted to them.

    There is no line through fewer than `MIN_LINE_SHIFTS` different gaze shifts: several
    heads for one gaze tell no more about where a hinge bends than one of them.

    Args:
      shifts: name (as "real", "generated") → its shifts; up to three, drawn in order.
      path: where to write.
      settled_only: see `coordination.head_share`.
      max_points: dots drawn for each, so that a crowd stays legible; the fit uses all.

    Raises:
      GazeheadError: none or more than three names, matplotlib is missing, or path is
        not a figure's.
    """
    colours = (_REAL, _GENERATED, _SPARE)
    require(
        1 <= len(shifts) <= len(colours),
        f"plot: head share takes one to {len(colours)} sets of shifts, got "
        f"{len(shifts)}.",
    )
    figure = open_figure((9.0, 4.7 + 0.2 * len(shifts)))
    panels = figure.subplots(1, 2)
    for axis, panel in zip(GAZE_CHANNELS, panels, strict=True):
        reach = 5.0
        panel.axline((0, 0), slope=1, color="0.6", linewidth=1, linestyle=":")
        for (name, found), colour in zip(shifts.items(), colours, strict=False):
            options = {"settled_only": settled_only, "max_points": max_points}
            far = _draw_share(panel, name, found, axis, colour, **options)
            reach = max(reach, far)
        panel.set_xlim(-1.05 * reach, 1.05 * reach)
        panel.set_ylim(-1.05 * reach, 1.05 * reach)
        panel.set_box_aspect(1)
        panel.set_anchor("N")  # what is left over goes to the legend below
        panel.set_title(axis)
        panel.set_xlabel(f"gaze shift (°), + is {_SIGN[axis]}")
        tidy(panel)
        panel.legend(
            loc="upper center",
            bbox_to_anchor=(0.5, -0.16),
            frameon=False,
            fontsize="small",
        )
    panels[0].set_ylabel("head movement with it (°)\n(dotted: head does it all)")
    save_figure(figure, path)


def _draw_share(
    panel, name, found: Shifts, axis, colour, *, settled_only, max_points
) -> float:
    """Dots, and a line if they bear one; returns the largest angle drawn, in degrees."""
    i = GAZE_CHANNELS.index(axis)
    keep = found.settled if settled_only else slice(None)
    gaze, head = np.rad2deg(found.gaze[keep, i]), np.rad2deg(found.head[keep, i])
    step = max(1, -(-len(gaze) // max_points))
    look = {"color": colour, "alpha": 0.4, "linewidth": 0}
    look["s"] = 10 if len(gaze) > 200 else 24
    dots = panel.scatter(gaze[::step], head[::step], **look)
    drawn = [0.0, *np.abs(gaze), *np.abs(head)]
    # What the fit rests on. Heads for one gaze have its shifts in common.
    fitted = np.abs(gaze) >= np.rad2deg(MIN_AMPLITUDE)
    which = np.column_stack([found.onset, found.gaze.round(4)])[keep][fitted]
    different = len(np.unique(which, axis=0))
    label = f"{name} (n = {len(which)}"
    if different < len(which):
        label += f" at {different} gaze shifts"
    hinge = head_share(found, axis, settled_only=settled_only).hinge
    if different < MIN_LINE_SHIFTS or not np.isfinite(hinge.slope):
        dots.set_label(f"{label}): too few for a line")
        return max(drawn)
    theta0 = np.rad2deg(hinge.theta0)
    label += f"): slope {hinge.slope:.2f} beyond {theta0:.1f}°"
    far = np.abs(gaze).max()
    x = np.linspace(-far, far, 400)
    line = np.rad2deg(hinge(np.deg2rad(x)))
    panel.plot(x, line, color=colour, linewidth=2.2, label=label)
    return max([*drawn, *np.abs(line)])


def plot_bands(
    domains: Mapping[
        str, tuple[Mapping[str, Band], Mapping[str, Mapping[str, np.ndarray]]]
    ],
    path: str | os.PathLike,
) -> None:
    """Lag, head share and main sequence of methods in the real people's bands.

    A row of panels for each domain and axis. Dots are in the bins that are judged.

    Args:
      domains: title → (bands, method → curve → values); the method "real" is drawn as
        such. See `bands`.
      path: where to write.

    Raises:
      GazeheadError: no domains, matplotlib is missing, or path is not a figure's.
    """
    require(len(domains) > 0, "plot: there is nothing to draw, got no domains.")
    labels = {
        "lag": ("head behind gaze (ms)", "share of 10 s pieces", 1e3),
        "head_share": ("gaze shift (°)", "Δhead / Δgaze", 1.0),
        "main_sequence": ("head movement (°)", "peak speed (°/s)", 1.0),
    }
    kinds = list(EDGES)
    figure = open_figure((11.0, 2.5 * 2 * len(domains) + 0.5))
    grid = figure.subplots(2 * len(domains), len(kinds), squeeze=False)
    for i, (title, (bounds, methods)) in enumerate(domains.items()):
        for j, axis in enumerate(GAZE_CHANNELS):
            for kind, panel in zip(kinds, grid[2 * i + j], strict=True):
                across, up, scale = labels[kind]
                name = f"{kind}_{axis}"
                _band_panel(panel, name, bounds.get(name), methods, scale)
                panel.set_xlabel(across)
                panel.set_ylabel(f"{axis}: {up}")
            grid[2 * i, 0].set_title(title, loc="left")
    legend_above(figure, *grid.flat)
    save_figure(figure, path)


def _band_panel(panel, name: str, band: Band | None, methods, scale: float) -> None:
    edges = np.array(EDGES[name.rpartition("_")[0]]) * scale
    # Bins are of unequal width: they stand side by side, with their edges for ticks.
    place = np.arange(len(edges) - 1) + 0.5
    judged = band.judged if band else np.ones(len(place), bool)
    if band:
        panel.fill_between(
            place,
            band.low,
            band.high,
            color=_REAL,
            alpha=0.15,
            linewidth=0,
            label="90 % band of real people",
        )
    others = [PALETTE[name] for name in ("purple", "sky", "orange")]
    others += ["#7F7F7F", "#882255", "#117733"]
    colours = itertools.cycle((_GENERATED, _GAZE, _SPARE, *others))
    for method, curves in methods.items():
        real = method == "real"
        panel.plot(
            place,
            curves[name],
            color=_REAL if real else next(colours),
            linewidth=2 if real else 1.2,
            marker="o",
            markevery=np.flatnonzero(judged).tolist(),
            markersize=4,
            label=method.replace("_", " "),
        )
    panel.set_xticks(np.arange(len(edges)), [f"{e:g}" for e in edges], fontsize=7)
    tidy(panel)


def plot_training(log_path: str | os.PathLike, path: str | os.PathLike) -> None:
    """Training curves of a JSON-lines log, one panel a series.

    A line is an object with an integer "step", a "split" ("train" when left out) and
    numbers; each other key is a series. A last line cut short by a crash is ignored.

    Raises:
      GazeheadError: the log cannot be read or holds no series, matplotlib is missing,
        or path is not a figure's.
    """
    series = _read_log(Path(log_path))
    names = list(series)
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure = open_figure((3.6 * columns + 0.4, 2.5 * rows + 0.6))
    panels = figure.subplots(rows, columns, squeeze=False)
    splits = dict.fromkeys(split for name in names for split in series[name])
    colours = dict(zip(splits, (_GENERATED, _GAZE, _SPARE, _REAL, "0.5"), strict=False))
    for panel, name in zip(panels.flat, names, strict=False):
        values = []
        for split, points in series[name].items():
            step, value = np.array(points, np.float64).T
            # Rare points get markers: a line through three of them says too much.
            marker = "o" if len(step) <= 30 else None
            panel.plot(
                step,
                value,
                color=colours.get(split, "0.5"),
                linewidth=1.5,
                marker=marker,
                markersize=3.5,
                label=split,
            )
            values.append(value[np.isfinite(value)])
        values = np.concatenate(values)
        if len(values) and values.min() > 0 and values.max() > 50 * values.min():
            panel.set_yscale("log")
        panel.set_title(name)
        panel.set_xlabel("step")
        tidy(panel)
    for panel in panels.flat[len(names) :]:
        panel.set_visible(False)
    legend_above(figure, *panels.flat[: len(names)])
    save_figure(figure, path)


def _read_log(path: Path) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """Series → split → (step, value) points."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise GazeheadError(
            f"{path}: the training log could not be read ({error})."
        ) from error
    series: dict = {}
    for i, line in enumerate(lines):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            if i == len(lines) - 1:
                break
            raise GazeheadError(
                f"{path}: line {i + 1} must be a JSON object, got {line[:40]!r}."
            ) from error
        require(
            isinstance(record, dict) and isinstance(record.get("step"), int),
            f'{path}: line {i + 1} must be an object with an integer "step", got '
            f"{line[:40]!r}.",
        )
        for key, value in record.items():
            if key not in ("step", "split") and isinstance(value, int | float):
                points = series.setdefault(key, {})
                points.setdefault(str(record.get("split", "train")), []).append(
                    (float(record["step"]), float(value))
                )
    require(bool(series), f"{path}: the log holds no numbers to draw.")
    return series


def plot_against_truth(
    panels: Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray]]],
    path: str | os.PathLike,
) -> None:
    """Estimated over true angles, one panel each, with the line where they are equal.

    Args:
      panels: title → series → (true, estimated), degrees `[t]`.
      path: where to write.

    Raises:
      GazeheadError: no panels, matplotlib is missing, or path is not a figure's.
    """
    require(len(panels) > 0, "plot: there is nothing to draw, got no panels.")
    lines = -(-len(panels) // 5)
    columns = -(-len(panels) // lines)
    figure = open_figure((2.3 * columns + 0.4, 2.5 * lines + 0.5))
    grid = figure.subplots(lines, columns, squeeze=False)
    for panel, (title, series) in zip(grid.flat, panels.items(), strict=False):
        reach = max(
            [1.0, *(float(np.abs(true).max(initial=0)) for true, _ in series.values())]
        )
        panel.plot([-reach, reach], [-reach, reach], color="0.4", linewidth=0.8)
        for (name, (true, estimated)), colour in zip(
            series.items(), itertools.cycle(PALETTE.values()), strict=False
        ):
            panel.plot(true, estimated, ".", ms=2, color=colour, label=name)
        panel.set_title(title, fontsize="medium")
        panel.set_xlim(-1.1 * reach, 1.1 * reach)
        panel.set_ylim(-1.6 * reach, 1.6 * reach)
        tidy(panel)
    for panel in list(grid.flat)[len(panels) :]:
        panel.set_visible(False)
    for row in grid:
        row[0].set_ylabel("estimated °")
    for panel in grid[-1]:
        panel.set_xlabel("true °")
    legend_above(figure, grid[0, 0])
    save_figure(figure, path)
