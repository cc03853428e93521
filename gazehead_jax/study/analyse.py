"""What the answers of a study say."""

import csv
import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from gazehead_jax.errors import require
from gazehead_jax.evaluation import write_json
from gazehead_jax.files import atomic_path
from gazehead_jax.study import statistics
from gazehead_jax.study.results import Key, Results
from gazehead_jax.tables import markdown_table, number, show

LEVEL = 0.95


@dataclasses.dataclass(frozen=True)
class Pair:
    """One condition against another. Intervals are (low, high), 95 %.

    Attributes:
      over, under: the two conditions; what follows is about the first.
      wins, ties, losses: answers.
      share: wins among the answers that chose one.
      share_exact: its Clopper–Pearson interval, as if all answers were independent.
      share_clustered: its bootstrap interval over participants.
      people_for, people_against: participants who chose it more, and less, often than the
        other.
      people_exact: Clopper–Pearson interval of their share.
      rating: mean over participants of their mean grade.
      rating_interval: its bootstrap interval over participants.
      p: of the Wilcoxon signed-rank test of participants' mean grades, two-sided, exact.
      p_holm: adjusted for the number of pairs.
    """

    over: str
    under: str
    wins: int
    ties: int
    losses: int
    share: float
    share_exact: tuple[float, float]
    share_clustered: tuple[float, float]
    people_for: int
    people_against: int
    people_exact: tuple[float, float]
    rating: float
    rating_interval: tuple[float, float]
    p: float
    p_holm: float


@dataclasses.dataclass(frozen=True)
class Analysis:
    """What a study found.

    Attributes:
      about: id and question of the study, participants kept, left out and why, and what
        tells of their care.
      pairs: each two conditions compared.
      strengths: condition → its Bradley–Terry strength (log π, mean zero; see
        `statistics.davidson`) and the bootstrap interval over participants.
    """

    about: Mapping
    pairs: tuple[Pair, ...]
    strengths: Mapping[str, tuple[float, float, float]]

    def caption(self) -> str:
        a = self.about
        gone = "; ".join(f"{name} {why}" for name, why in a["left_out"].items())
        share, low, high = a["a_share"]
        return (
            f"Study {a['study']}: “{a['question']}” {a['participants']} participant(s), "
            f"{a['answers']} answers; left out: {len(a['left_out'])}"
            f"{f' ({gone})' if gone else ''}. Clip A was chosen in {number(share, 2)} "
            f"[{number(low, 2)}, {number(high, 2)}] of the answers that chose one; an "
            f"answer took {number(a['seconds'], 0)} s in the median. Intervals are 95 %: "
            "exact (Clopper–Pearson; of answers, as if they were independent) or clustered "
            "(bootstrap over participants)."
        )

    def tables(self) -> list[tuple[str, list[str], list[list[str]]]]:
        """(title, headings, rows) of both tables, as text."""
        head = [
            "first over second",
            "answers for / tie / against",
            "share of answers, exact",
            "the same, clustered",
            "participants for / against",
            "share of participants, exact",
            "mean rating, clustered",
            "Wilcoxon p",
            "Holm p",
        ]
        rows = []
        for pair in self.pairs:
            people = pair.people_for + pair.people_against
            share = pair.people_for / people if people else None
            rows.append(
                [
                    f"{pair.over} over {pair.under}",
                    f"{pair.wins} / {pair.ties} / {pair.losses}",
                    _with_interval(pair.share, pair.share_exact),
                    _interval(pair.share_clustered),
                    f"{pair.people_for} / {pair.people_against}",
                    _with_interval(share, pair.people_exact),
                    _with_interval(pair.rating, pair.rating_interval),
                    p_text(pair.p),
                    p_text(pair.p_holm),
                ]
            )
        strengths = [
            [name, _with_interval(value, (low, high))]
            for name, (value, low, high) in self.strengths.items()
        ]
        return [
            ("Pairs", head, rows),
            (
                "Bradley–Terry strengths, ties after Davidson",
                ["condition", "log strength, clustered"],
                strengths,
            ),
        ]

    def show(self) -> None:
        """Prints the tables to the terminal."""
        show(self.caption(), self.tables())

    def to_markdown(self) -> str:
        tables = [markdown_table(*table) for table in self.tables()]
        return "\n\n".join([self.caption(), *tables]) + "\n"

    def values(self) -> dict:
        return {
            "about": self.about,
            "pairs": [dataclasses.asdict(pair) for pair in self.pairs],
            "strengths": self.strengths,
        }

    def save(self, path: str | Path) -> Path:
        """Writes it as JSON to `path`, as Markdown and the pairs as CSV beside.

        Raises:
          GazeheadError: the path does not end in .json, or cannot be written.
        """
        path = Path(path)
        require(path.suffix == ".json", f"{path}: must end in .json.")
        write_json(self.values(), path)
        with atomic_path(path.with_suffix(".md")) as temporary:
            temporary.write_text(self.to_markdown(), encoding="utf-8")
        with (
            atomic_path(path.with_suffix(".csv")) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            rows = [_flat(pair) for pair in self.pairs]
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return path


def analyse(
    key: Key, results: Results, *, num_resamples: int = 2000, seed: int = 0
) -> Analysis:
    """Counts, tests and strengths of what was handed in.

    Args:
      key: of the study.
      results: of its participants.
      num_resamples: bootstrap resamples of participants.
      seed: of the resampling.

    Raises:
      GazeheadError: no participant is left, or the pairs do not connect all conditions.
    """
    people = results.kept
    require(
        len(people) > 0,
        f"no participant is left: {len(results.left_out)} handed in and all were left "
        f"out ({'; '.join(f'{n} {w}' for n, w in results.left_out.items())}).",
    )
    require(num_resamples > 0, f"resamples must be positive, got {num_resamples}.")
    ratings = np.stack([one.ratings for one in people])  # [people, pairs, per pair]
    # Answers of each participant for the first, for neither, for the second.
    counts = np.stack([(np.sign(ratings) == s).sum(-1) for s in (1, 0, -1)], -1)
    draws = statistics.resample(len(people), num_resamples, seed)
    drawn = np.einsum("bn,npo->bpo", draws, counts.astype(float))
    pairs = _pairs(key, ratings, counts, draws, drawn, len(people) > 1)
    size = len(key.conditions)
    strengths, _ = statistics.davidson(counts.sum(0).astype(float), key.pairs, size)
    low, high = np.full((2, size), np.nan)
    if len(people) > 1:
        low, high = statistics.percentile_interval(
            statistics.davidson(drawn, key.pairs, size)[0], LEVEL
        )
    sides = [side for one in people for side in one.a_chosen]
    about = {
        "study": key.study,
        "question": key.question,
        "grades": key.grades,
        "participants": len(people),
        "left_out": dict(results.left_out),
        "answers": int(counts.sum()),
        "a_share": statistics.exact_interval(sum(sides), len(sides), LEVEL),
        "seconds": float(np.median([one.seconds for one in people])),
        "num_resamples": num_resamples,
        "seed": seed,
    }
    found = zip(key.conditions, strengths, low, high, strict=True)
    return Analysis(about, pairs, {n: tuple(map(float, v)) for n, *v in found})


def _pairs(key: Key, ratings, counts, draws, drawn, enough: bool) -> tuple[Pair, ...]:
    means = ratings.mean(-1)  # [people, pairs]
    with np.errstate(invalid="ignore"):
        shares = drawn[..., 0] / (drawn[..., 0] + drawn[..., 2])
    undefined = (np.nan, np.nan)
    out = []
    for i, (one, other) in enumerate(key.pairs):
        wins, ties, losses = (int(x) for x in counts[:, i].sum(0))
        lean = np.sign(counts[:, i, 0] - counts[:, i, 2])
        for_it, against = int((lean > 0).sum()), int((lean < 0).sum())
        share, *exact = statistics.exact_interval(wins, wins + losses, LEVEL)
        _, *people = statistics.exact_interval(for_it, for_it + against, LEVEL)
        out.append(
            Pair(
                over=key.conditions[one],
                under=key.conditions[other],
                wins=wins,
                ties=ties,
                losses=losses,
                share=share,
                share_exact=tuple(exact),
                share_clustered=_bounds(shares[:, i]) if enough else undefined,
                people_for=for_it,
                people_against=against,
                people_exact=tuple(people),
                rating=float(means[:, i].mean()),
                rating_interval=_bounds(draws @ means[:, i] / len(means))
                if enough
                else undefined,
                p=statistics.signed_rank(means[:, i]).p,
                p_holm=np.nan,
            )
        )
    adjusted = statistics.holm([pair.p for pair in out])
    return tuple(
        dataclasses.replace(pair, p_holm=p)
        for pair, p in zip(out, adjusted, strict=True)
    )


def p_text(p: float) -> str:
    """A p-value to read."""
    return number(p, 3) if p >= 0.001 else "< 0.001"


def _bounds(draws: np.ndarray) -> tuple[float, float]:
    if not np.isfinite(draws).any():
        return (np.nan, np.nan)
    low, high = statistics.percentile_interval(draws, LEVEL)
    return float(low), float(high)


def _interval(bounds: tuple[float, float]) -> str:
    low, high = (number(x, 2) for x in bounds)
    return f"[{low}, {high}]"


def _with_interval(value: float | None, bounds: tuple[float, float]) -> str:
    return f"{number(value, 2)} {_interval(bounds)}"


def _flat(pair: Pair) -> dict:
    row = {}
    for name, value in dataclasses.asdict(pair).items():
        if isinstance(value, tuple):
            row |= {f"{name}_low": value[0], f"{name}_high": value[1]}
        else:
            row[name] = value
    return row
