"""The frame of every figure: opened, tidied, given one legend, written whole or not at all.

matplotlib is imported when a figure is opened. The format follows the path's suffix
(.png, .pdf, .svg).
"""

import os
from pathlib import Path

from gazehead_jax.errors import GazeheadError, require
from gazehead_jax.files import atomic_path

# Okabe & Ito: told apart with any colour vision.
PALETTE = {
    "black": "#000000",
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "green": "#009E73",
    "vermilion": "#D55E00",
    "purple": "#CC79A7",
    "blue": "#0072B2",
}
_SUFFIXES = (".png", ".pdf", ".svg")


def open_figure(size: tuple[float, float]):
    """An empty `matplotlib.figure.Figure` of (width, height) inches at 150 pixels each.

    Raises:
      GazeheadError: matplotlib is missing.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise GazeheadError(
            "figures need matplotlib, which is not installed: pip install matplotlib."
        ) from error
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    # Not pyplot: no window, no global state.
    FigureCanvasAgg(figure)
    return figure


def tidy(panel) -> None:
    """Gives a panel (`matplotlib.axes.Axes`) a faint grid and takes its box away."""
    panel.grid(color="0.9", linewidth=0.6)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)


def legend_above(figure, *panels) -> None:
    """One legend of these panels' labels above all panels, where no data can be."""
    entries = {}
    for panel in panels:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    figure.legend(
        entries.values(),
        entries.keys(),
        loc="outside upper center",
        ncols=min(len(entries), 3),
        frameon=False,
    )


def check_figure(path: str | os.PathLike) -> None:
    """Raises GazeheadError if no figure can be drawn into `path`: what else would come out
    when all is computed."""
    _check_suffix(Path(path))
    open_figure((1.0, 1.0))


def _check_suffix(path: Path) -> None:
    require(
        path.suffix.lower() in _SUFFIXES,
        f"{path}: a figure's file must end in one of {', '.join(_SUFFIXES)}.",
    )


def save_figure(figure, path: str | os.PathLike) -> None:
    """Writes a figure, whole or not at all.

    Raises:
      GazeheadError: path is not a figure's, or cannot be written.
    """
    path = Path(path)
    _check_suffix(path)
    with atomic_path(path) as temporary:
        figure.savefig(temporary)
