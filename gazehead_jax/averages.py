"""What `metrics.sequence_metrics` found, meant over sequences and people, and how sure that
is."""

from collections.abc import Mapping, Sequence

import numpy as np

from gazehead_jax.errors import require
from gazehead_jax.motion import HEAD_CHANNELS

# An aggregated ratio is the ratio of the means: the mean of per-sequence ratios is
# ruled by the sequences in which the real head hardly moved.
_RATIOS = {"jerk_ratio": ("smoothness_deg", "smoothness_real_deg")} | {
    f"variance_ratio_{axis}": (f"variance_{axis}_deg2", f"variance_{axis}_real_deg2")
    for axis in HEAD_CHANNELS
}


def aggregate(sequences: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean over sequences of each metric, sequences where it is NaN left out.

    Ratios are ratios of means. `num_sequences` is added, and `num_frames` is summed.

    Raises:
      GazeheadError: there is no sequence, or their metrics differ.
    """
    keys, table = _table(sequences)
    out = with_ratios(dict(zip(keys, nanmean(table).tolist(), strict=True)))
    if "num_frames" in out:
        out["num_frames"] *= len(table)
    return out | {"num_sequences": float(len(table))}


def bootstrap(
    sequences: Sequence[Mapping[str, float]],
    groups: Sequence | np.ndarray | None = None,
    num_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """Percentile intervals of the means of `aggregate`, groups drawn with replacement.

    Args:
      sequences: what `sequence_metrics` gave, one for each sequence.
      groups: who each sequence is of. Sequences of one person are alike, so persons
        are drawn, not sequences; `None` draws sequences and makes intervals too narrow
        when persons recur.
      num_resamples: how often to draw.
      level: share of the draws inside the interval.
      seed: of the draws.

    Raises:
      GazeheadError: there is no sequence, their metrics differ, or groups do not match.
    """
    keys, table = _table(sequences)
    groups = np.arange(len(table)) if groups is None else np.asarray(groups)
    require(
        len(groups) == len(table),
        f"bootstrap: groups must name one group for each of {len(table)} sequences, "
        f"got {len(groups)}.",
    )
    _, index = np.unique(groups, return_inverse=True)
    num_groups = index.max() + 1
    known = np.isfinite(table)
    total = np.zeros((num_groups, len(keys)))
    count = np.zeros((num_groups, len(keys)))
    np.add.at(total, index, np.where(known, table, 0))
    np.add.at(count, index, known)
    draws = np.random.default_rng(seed).multinomial(
        num_groups, np.full(num_groups, 1 / num_groups), size=num_resamples
    )
    drawn = draws @ count
    means = np.where(drawn > 0, draws @ total, np.nan) / np.maximum(drawn, 1)
    column = {key: means[:, i] for i, key in enumerate(keys)}
    for ratio, (above, below) in _RATIOS.items():
        if below in column:
            real = np.where(column[below] > 1e-12, column[below], np.nan)
            column[ratio] = column[above] / real
    tail = (1 - level) / 2
    out = {}
    for key, values in column.items():
        values = values[np.isfinite(values)]
        bounds = np.quantile(values, [tail, 1 - tail]) if len(values) else [np.nan] * 2
        out[key] = (float(bounds[0]), float(bounds[1]))
    return out


def _table(sequences) -> tuple[list[str], np.ndarray]:
    require(len(sequences) > 0, "metrics: nothing to average, got no sequence.")
    keys = list(sequences[0])
    for i, sequence in enumerate(sequences):
        require(
            set(sequence) == set(keys),
            f"metrics: every sequence must have the same metrics, but sequence {i} "
            f"differs in {sorted(set(sequence) ^ set(keys))}.",
        )
    return keys, np.array([[sequence[k] for k in keys] for sequence in sequences])


def nanmean(values: np.ndarray) -> np.ndarray:
    """Mean over the first axis without NaNs; NaN (and no warning) if all are."""
    known = np.isfinite(values)
    count = known.sum(0)
    total = np.where(known, values, 0).sum(0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def with_ratios(metrics: dict[str, float]) -> dict[str, float]:
    """The same with `jerk_ratio` and the variances' ratios, where their parts are."""
    for ratio, (above, below) in _RATIOS.items():
        if below in metrics:
            real = metrics[below]
            metrics[ratio] = metrics[above] / real if real > 1e-12 else np.nan
    return metrics
