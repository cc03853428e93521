"""The files that participants hand in, read and held against the study's key."""

import csv
import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from gazehead_jax.errors import GazeheadError, require
from gazehead_jax.study.make import GRADES, KEY_FORMAT, VERSION

RESULT_FORMAT = "gazehead study result"
SUFFIXES = (".json", ".csv")


@dataclasses.dataclass(frozen=True)
class Key:
    """What `make_study` kept: see `make`.

    Attributes:
      study: the study's id.
      question, grades: what was asked and how many answers there were to choose from.
      conditions: their labels.
      pairs: numbers of the conditions compared.
      per_pair, checks: trials of each pair, attention checks.
      clips: name of a clip → (number of its condition, what it shows).
      broken: name of a broken clip → of the one it was made of.
    """

    study: str
    question: str
    grades: int
    conditions: tuple[str, ...]
    pairs: tuple[tuple[int, int], ...]
    per_pair: int
    checks: int
    clips: Mapping[str, tuple[int, str]]
    broken: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Participant:
    """One participant's answers.

    Attributes:
      name: the participant's id.
      ratings: `[pairs, per_pair]`: how much more natural the first condition of the pair
        was, in grades.
      a_chosen: whether A was chosen, for each answer that chose one.
      missed: attention checks answered wrongly.
      seconds: median time of an answer.
    """

    name: str
    ratings: Float[np.ndarray, "p k"]
    a_chosen: tuple[bool, ...]
    missed: int
    seconds: float


@dataclasses.dataclass(frozen=True)
class Results:
    """What was handed in.

    Attributes:
      kept: whose answers count.
      left_out: participant → why theirs do not.
      files: that were read.
    """

    kept: tuple[Participant, ...]
    left_out: Mapping[str, str]
    files: int


def load_key(path: str | Path) -> Key:
    """Reads a study's key.

    Raises:
      GazeheadError: there is no such file, or it is no key of this version.
    """
    path = Path(path)
    raw = _json(path)
    require(
        isinstance(raw, dict)
        and raw.get("format") == KEY_FORMAT
        and raw.get("version") == VERSION,
        f"{path}: this is not the key.json (version {VERSION}) that `gazehead study make` "
        "wrote beside the site.",
    )
    try:
        conditions = tuple(raw["conditions"])
        number = conditions.index
        return Key(
            study=str(raw["study"]),
            question=str(raw["question"]),
            grades=int(raw["grades"]),
            conditions=conditions,
            pairs=tuple((number(a), number(b)) for a, b in raw["pairs"]),
            per_pair=int(raw["per_pair"]),
            checks=int(raw["checks"]),
            clips={
                name: (number(clip["condition"]), str(clip["clip"]))
                for name, clip in raw["clips"].items()
            },
            broken=dict(raw["broken"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise GazeheadError(
            f"{path}: the key is damaged ({error!r}); take it from a copy."
        ) from error


def load_results(
    paths: Iterable[str | Path], key: Key, allowed_misses: int = 0
) -> Results:
    """Reads what participants handed in.

    The .json and .csv of one participant say the same and count once. Left out, and told,
    is who answered more than `allowed_misses` attention checks wrongly ("no difference" is
    wrong too), did not finish, or handed in two different results.

    Args:
      paths: files, or folders of them.
      key: of the study.
      allowed_misses: attention checks that one may answer wrongly.

    Raises:
      GazeheadError: there is no file, or one is no result, damaged or of another study.
    """
    require(
        allowed_misses >= 0,
        f"--allowed-misses must be 0 or more, got {allowed_misses}.",
    )
    files = [file for path in paths for file in _files(Path(path))]
    handed_in: dict[str, list[tuple]] = {}
    for file in files:
        name, answers = _read(file, key)
        handed_in.setdefault(name, []).append((file, answers))
    kept, left_out = [], {}
    for name, results in sorted(handed_in.items()):
        (file, answers), *others = results
        if any(other != answers for _, other in others):
            left_out[name] = "handed in different results"
        elif len(answers) < len(key.pairs) * key.per_pair + key.checks:
            left_out[name] = f"gave {len(answers)} answers only"
        else:
            one = _participant(file, name, answers, key)
            if one.missed <= allowed_misses:
                kept.append(one)
            else:
                left_out[name] = f"missed {one.missed} of {key.checks} attention checks"
    return Results(tuple(kept), left_out, len(files))


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        require(path.is_file(), f"{path}: there is no such file or folder.")
        require(
            path.suffix in SUFFIXES,
            f"{path}: results end in {' or '.join(SUFFIXES)}, got {path.suffix!r}.",
        )
        return [path]
    found = sorted(p for p in path.iterdir() if p.suffix in SUFFIXES)
    require(
        bool(found),
        f"{path}: there is no result ({' or '.join(SUFFIXES)}) in this folder.",
    )
    return found


def _json(path: Path):
    require(path.is_file(), f"{path}: there is no such file.")
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise GazeheadError(f"{path}: not a readable .json ({error}).") from error


def _read(path: Path, key: Key) -> tuple[str, list[tuple]]:
    """Participant, and (clip A, clip B, rating, seconds) of each answer in order."""
    rows = _rows_of_json(path) if path.suffix == ".json" else _rows_of_csv(path)
    study, name = str(rows[0]["study"]), str(rows[0]["participant"])
    require(
        study == key.study,
        f"{path}: these answers are of study {study}, the key of {key.study}; give the "
        "key.json made with that study.",
    )
    answers = []
    scale = GRADES[key.grades]
    for row in rows:
        try:
            answer = (row["a"], row["b"], int(row["rating"]), float(row["seconds"]))
        except (KeyError, TypeError, ValueError) as error:
            raise GazeheadError(
                f"{path}: answer {len(answers) + 1} is damaged ({error!r}); ask for the "
                "file again."
            ) from error
        require(
            answer[2] in scale,
            f"{path}: a rating must be {min(scale)} to {max(scale)}, got {answer[2]}.",
        )
        answers.append(answer)
    return name, answers


def _rows_of_json(path: Path) -> list[Mapping]:
    raw = _json(path)
    try:
        good = raw["format"] == RESULT_FORMAT and raw["version"] == VERSION
        about = {name: raw[name] for name in ("study", "participant")}
        rows = [about | answer for answer in raw["answers"]]
    except (KeyError, TypeError):
        good, rows = False, []
    require(
        good and bool(rows),
        f"{path}: these are not answers (version {VERSION}) saved by a study's page; move "
        "other files elsewhere.",
    )
    return rows


def _rows_of_csv(path: Path) -> list[Mapping]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise GazeheadError(f"{path}: not a readable .csv ({error}).") from error
    require(
        bool(rows) and {"study", "participant", "a", "b", "rating"} <= set(rows[0]),
        f"{path}: these are not answers saved by a study's page; move other files "
        "elsewhere.",
    )
    return rows


def _participant(
    path: Path, name: str, answers: Sequence[tuple], key: Key
) -> Participant:
    ratings: dict[tuple[int, int], dict[str, int]] = {pair: {} for pair in key.pairs}
    a_chosen, missed, checks = [], 0, 0
    for a, b, rating, _ in answers:
        if key.broken.get(a) == b or key.broken.get(b) == a:
            checks += 1
            missed += not (rating > 0 if a in key.broken else rating < 0)
            continue
        require(
            a in key.clips and b in key.clips,
            f"{path}: there is an answer about clips that the key does not know; ask for "
            "the file again.",
        )
        (one, shown), (other, same) = key.clips[a], key.clips[b]
        found = (one, other) if (one, other) in ratings else (other, one)
        require(
            shown == same and found in ratings,
            f"{path}: there is an answer about two clips that are no pair of this study; "
            "ask for the file again.",
        )
        require(
            shown not in ratings[found],
            f"{path}: two clips were answered twice; ask for the file again.",
        )
        # On the page, + is for B.
        ratings[found][shown] = -rating if found == (one, other) else rating
        if rating:
            a_chosen.append(rating < 0)
    require(
        checks == key.checks
        and all(len(given) == key.per_pair for given in ratings.values()),
        f"{path}: each two conditions must be answered {key.per_pair} times and "
        f"{key.checks} checks made, but some are there too often; ask for the file again.",
    )
    return Participant(
        name,
        np.array([[*ratings[pair].values()] for pair in key.pairs], float),
        tuple(a_chosen),
        missed,
        float(np.median([seconds for *_, seconds in answers])),
    )
