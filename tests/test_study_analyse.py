"""What is made of the files that participants hand in."""

import csv
import json

import numpy as np
import pytest
from study_files import a_key, answers_of, write_result

from gazehead_jax import cli
from gazehead_jax.errors import GazeheadError
from gazehead_jax.study import make
from gazehead_jax.study.analyse import analyse
from gazehead_jax.study.figure import plot_study
from gazehead_jax.study.results import load_results

# Of real, model and rule: how good each is, in grades.
GOOD = (1.0, 0.6, -0.4)


def rater(seed: int, noise: float = 0.8):
    rng = np.random.default_rng(seed)
    return lambda pair, n: int(
        np.clip(np.rint(GOOD[pair[0]] - GOOD[pair[1]] + rng.normal(0, noise)), -2, 2)
    )


def raw_key(key) -> dict:
    """As `make_study` writes it."""
    label = key.conditions
    return {
        "format": make.KEY_FORMAT,
        "version": make.VERSION,
        "study": key.study,
        "question": key.question,
        "grades": key.grades,
        "conditions": label,
        "pairs": [[label[i], label[j]] for i, j in key.pairs],
        "per_pair": key.per_pair,
        "checks": key.checks,
        "clips": {
            name: {"condition": label[i], "clip": clip}
            for name, (i, clip) in key.clips.items()
        },
        "broken": key.broken,
    }


@pytest.fixture
def handed_in(tmp_path):
    key = a_key()
    for n in range(12):
        answers = answers_of(key, rater(n), seed=n)
        write_result(tmp_path / "in" / f"{n}.json", key, f"person{n:02}", answers)
    (tmp_path / "key.json").write_text(json.dumps(raw_key(key)))
    return key, tmp_path / "in"


def test_counts_are_those_of_the_answers(handed_in):
    """Against a loop over what was answered."""
    key, folder = handed_in
    found = analyse(key, load_results([folder], key), num_resamples=50)
    want = {pair: [0, 0, 0] for pair in key.pairs}
    for n in range(12):
        rate = rater(n)
        for pair in key.pairs:
            for k in range(key.per_pair):
                want[pair][1 - int(np.sign(rate(pair, k)))] += 1
    for pair, (i, j) in zip(found.pairs, key.pairs, strict=True):
        assert (pair.over, pair.under) == (key.conditions[i], key.conditions[j])
        assert [pair.wins, pair.ties, pair.losses] == want[i, j]
    assert found.about["participants"] == 12
    assert found.about["answers"] == 12 * 3 * 4
    assert found.about["left_out"] == {}


def test_the_better_is_found_and_chance_is_not(handed_in):
    key, folder = handed_in
    found = analyse(key, load_results([folder], key))
    by_name = {(p.over, p.under): p for p in found.pairs}
    clear = by_name["real", "rule"]
    assert clear.p_holm < 0.01
    assert clear.people_exact[0] > 0.5
    assert clear.share_clustered[0] > 0.5
    assert clear.rating_interval[0] > 0.5
    assert clear.p_holm >= clear.p
    order = sorted(found.strengths, key=lambda name: -found.strengths[name][0])
    assert order == list(key.conditions)
    value, low, high = found.strengths["real"]
    assert low < value < high
    low, high = found.about["a_share"][1:]
    assert low < 0.5 < high


def test_people_are_resampled_not_answers(tmp_path):
    """One half always choose the first, one half the second: ten answers of each person
    are worth one."""
    key = a_key(("x", "y"), per_pair=10, checks=1)
    for n in range(10):
        rate = lambda pair, k, n=n: 2 if n % 2 else -2
        answers = answers_of(key, rate, seed=n)
        write_result(tmp_path / f"{n}.json", key, f"p{n}", answers)
    (pair,) = analyse(key, load_results([tmp_path], key)).pairs
    width = lambda bounds: bounds[1] - bounds[0]
    # Of 100 answers and of 10 people: √10 times as wide.
    ratio = width(pair.share_clustered) / width(pair.share_exact)
    assert ratio == pytest.approx(np.sqrt(10), rel=0.2)
    assert pair.p == pytest.approx(1.0)
    assert (pair.people_for, pair.people_against) == (5, 5)


def test_who_is_left_out_and_why(handed_in):
    key, folder = handed_in
    careless = answers_of(key, rater(50), missed=1)
    write_result(folder / "careless.json", key, "careless", careless)
    write_result(folder / "gone.json", key, "gone", answers_of(key, rater(1))[:5])
    for n in range(2):
        answers = answers_of(key, rater(60 + n))
        write_result(folder / f"twice{n}.json", key, "twice", answers)
    results = load_results([folder], key)
    assert results.left_out == {
        "careless": "missed 1 of 2 attention checks",
        "gone": "gave 5 answers only",
        "twice": "handed in different results",
    }
    assert len(results.kept) == 12
    found = analyse(key, results, num_resamples=10)
    assert "careless missed 1 of 2 attention checks" in found.caption()
    lenient = load_results([folder], key, allowed_misses=1)
    assert len(lenient.kept) == 13
    assert "careless" not in lenient.left_out


def test_json_and_csv_of_one_person_count_once(handed_in):
    key, folder = handed_in
    values = json.loads((folder / "0.json").read_text())
    about = {k: values[k] for k in ("study", "participant", "started", "finished")}
    with (folder / "0.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [*about, *values["answers"][0]])
        writer.writeheader()
        writer.writerows(about | answer for answer in values["answers"])
    results = load_results([folder], key)
    assert (len(results.kept), results.files) == (12, 13)
    alone = load_results([folder / "0.csv"], key).kept[0]
    np.testing.assert_array_equal(alone.ratings, results.kept[0].ratings)


def test_one_participant_has_no_interval_over_participants(handed_in):
    key, folder = handed_in
    found = analyse(key, load_results([folder / "3.json"], key))
    assert np.isnan(found.pairs[0].share_clustered).all()
    assert np.isnan(found.strengths["real"][1])
    assert "[–, –]" in found.to_markdown()


def test_saved_and_drawn(handed_in, tmp_path, capsys):
    key, folder = handed_in
    out, figure = tmp_path / "out" / "study.json", tmp_path / "out" / "study.png"
    arguments = ["--key", tmp_path / "key.json", "--resamples", "100"]
    arguments += ["--out", out, "--figure", figure]
    assert cli.main(["study", "analyse", *map(str, [folder, *arguments])]) == 0
    printed = capsys.readouterr().out
    assert "12 participant(s), 144 answers" in printed
    assert "clustered" in printed  # headings are no markup
    values = json.loads(out.read_text())
    assert values["pairs"][1]["over"] == "real"
    text = out.with_suffix(".md").read_text()
    assert "| real over rule |" in text
    with out.with_suffix(".csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3
    assert float(rows[0]["p_holm"]) == pytest.approx(values["pairs"][0]["p_holm"])
    assert figure.stat().st_size > 10_000


def test_the_same_seed_gives_the_same_intervals(handed_in):
    key, folder = handed_in
    results = load_results([folder], key)
    one, same = (analyse(key, results, num_resamples=50, seed=3) for _ in range(2))
    assert one.values() == same.values()
    other = analyse(key, results, num_resamples=50, seed=4)
    assert other.strengths != one.strengths
    assert other.strengths["real"][0] == one.strengths["real"][0]


def test_figure_of_another_kind_of_file(handed_in, tmp_path):
    key, folder = handed_in
    found = analyse(key, load_results([folder], key), num_resamples=10)
    with pytest.raises(GazeheadError, match="must end in one of"):
        plot_study(found, tmp_path / "x.txt")


def change(path, **changes):
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | changes))


def change_answer(path, **changes):
    values = json.loads(path.read_text())
    values["answers"][0] |= changes
    path.write_text(json.dumps(values))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: p.write_text("{"), "not a readable .json"),
        (lambda p: change(p, format="x"), "not answers"),
        (lambda p: change(p, answers=[]), "not answers"),
        (lambda p: change(p, study="other"), "of study other"),
        (lambda p: change_answer(p, rating=3), "a rating must be -2 to 2, got 3"),
        (lambda p: change_answer(p, rating="x"), "answer 1 is damaged"),
        (lambda p: change_answer(p, a="nothing"), "key does not know"),
        (lambda p: change_answer(p, a="0-0", b="1-1"), "no pair of this study"),
        (lambda p: change_answer(p, a="0-0", b="1-0"), "answered twice"),
        (lambda p: change_answer(p, a="0-0", b="broken-0"), "too often"),
        (lambda p: p.rename(p.with_suffix(".txt")), "no result"),
        (lambda p: p.with_suffix(".csv").write_text("a,b\n1,2\n"), "not answers"),
    ],
)
def test_files_that_are_no_results(tmp_path, damage, message):
    key = a_key()
    answers = answers_of(key, rater(0))
    # The first answer is about none of the clips that the damage names, and no check.
    answers.sort(key=lambda a: a["a"][-2:] == "-0" or a["b"][-2:] == "-0")
    answers.sort(key=lambda a: "broken" in a["a"] + a["b"])
    damage(write_result(tmp_path / "p.json", key, "p", answers))
    with pytest.raises(GazeheadError, match=message):
        load_results([tmp_path], key)


def test_one_sentence_on_the_command_line(handed_in, tmp_path, capsys):
    key, folder = handed_in
    good = str(tmp_path / "key.json")
    (tmp_path / "bad.json").write_text('{"format": "x"}')
    damaged = raw_key(key) | {"pairs": [["real", "nobody"]]}
    (tmp_path / "damaged.json").write_text(json.dumps(damaged))
    careless = answers_of(key, rater(0), missed=2)
    write_result(tmp_path / "only" / "c.json", key, "c", careless)
    for arguments, message in (
        ([folder, "--key", tmp_path / "no.json"], "there is no such file"),
        ([folder, "--key", tmp_path / "bad.json"], "this is not the key.json"),
        ([folder, "--key", tmp_path / "damaged.json"], "the key is damaged"),
        ([tmp_path / "nowhere", "--key", good], "no such file or folder"),
        ([tmp_path / "only", "--key", good], "no participant is left"),
        ([folder, "--key", good, "--resamples", "0"], "must be positive"),
        ([folder, "--key", good, "--allowed-misses", "-1"], "must be 0 or more"),
        ([folder, "--key", good, "--out", tmp_path / "x.txt"], "must end in .json"),
    ):
        assert cli.main(["study", "analyse", *map(str, arguments)]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


def test_size_and_paper_print(capsys):
    assert cli.main(["study", "size", "--share", "0.7", "--comparisons", "3"]) == 0
    assert "participants" in capsys.readouterr().out
    assert cli.main(["study", "paper"]) == 0
    assert "0 1 1 2 2 2 2 2" in capsys.readouterr().out
