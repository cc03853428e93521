"""A study's page in a real browser: gate, answers, order, files, and what becomes of them."""

import contextlib
import csv
import itertools
import json
import shutil
import time
from collections import Counter

import pytest
from study_files import CONTACT, write_conditions

from gazehead_jax import cli
from gazehead_jax.generators import make_generator
from gazehead_jax.study.make import make_study
from gazehead_jax.study.results import load_key, load_results

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
    None,
)
DRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def make(folder, clips=2, **options):
    return make_study(
        write_conditions(folder, ("real", "model", "rule"), clips=clips, frames=12),
        folder / "out",
        contact=CONTACT,
        generator=make_generator(size=64, supersample=1),
        **options,
    )


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Two conditions against a third, one clip each, and a check: three pairs."""
    folder = tmp_path_factory.mktemp("page")
    return make(folder, clips=1, reference="real", checks=1)


@contextlib.contextmanager
def browse(folder):
    if not (BROWSER and DRIVER):
        pytest.skip("needs chromium and chromedriver (apt install chromium-driver)")
    webdriver = pytest.importorskip(
        "selenium.webdriver", reason="needs selenium (pip install selenium)"
    )
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in (*FLAGS, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    downloads = {"download.default_directory": str(folder)}
    options.add_experimental_option("prefs", downloads)
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        yield Page(driver)
        assert driver.get_log("browser") == []  # no error, and nothing asked of the net
    finally:
        driver.quit()


class Page:
    """What a participant can do, and see."""

    def __init__(self, driver):
        self.driver = driver
        self.js = driver.execute_script

    def open(self, study, query=""):
        self.driver.get(f"{(study.site / 'index.html').as_uri()}{query}")

    def all(self, css):
        return self.driver.find_elements("css selector", css)

    def one(self, css):
        (found,) = self.all(css)
        return found

    def text(self, css="main"):
        return self.one(css).text

    def wait(self, until, seconds=15.0):
        """`until()`, once it is true."""
        end = time.monotonic() + seconds
        while not (found := until()):
            assert time.monotonic() < end, f"still waiting on: {self.text()}"
            time.sleep(0.02)
        return found

    def press(self, *keys):
        from selenium.webdriver import ActionChains

        for key in keys:
            ActionChains(self.driver).send_keys(key).perform()

    def agree(self):
        self.one("#agree").click()
        self.one("button.primary").click()
        self.one("#begin").click()

    def marks(self):
        return [mark.text for mark in self.all(".watched")]

    def watch(self):
        """Both clips, one after the other, to their ends."""
        for i, name in enumerate("AB"):
            self.all(".play")[i].click()
            self.wait(lambda i=i: self.marks()[i] == "✓ watched")
            assert self.all(".play")[i].text == f"▶ Play {name} again"

    def shown(self):
        """Names of the clips on the screen."""
        sources = [v.get_attribute("src") for v in self.all("video")]
        return [source.rsplit("/", 1)[1].removesuffix(".mp4") for source in sources]

    def may_answer(self):
        return self.all(".grades input:enabled") == self.all(".grades input")


def test_a_whole_study(study, tmp_path, capsys):
    """Consent, three pairs (a tie among them, one by keyboard alone), files, analysis."""
    key = load_key(study.key)
    with browse(tmp_path) as page:
        page.open(study, "?participant=ann-1")
        # Texts are texts: a contact with markup shows it.
        assert CONTACT in page.text()
        page.one("button.primary").click()
        assert page.all("#agree")  # not without consent
        page.agree()

        given, mine = [], iter((0, 1))
        for number in (1, 2, 3):
            assert f"Pair {number} of 3" in page.text()
            assert not page.may_answer()
            pair = page.shown()
            broken = [name in key.broken for name in pair]
            if number == 2:
                page.press("a")
                page.wait(lambda: page.marks()[0] == "✓ watched")
                page.press("1")  # too early: B was not watched
                page.press("b")
                page.wait(page.may_answer)
                assert not page.all("input:checked")
            else:
                page.watch()
            rating = (2 if broken[0] else -2) if any(broken) else next(mine)
            button = page.one("form button")
            assert not button.is_enabled()
            if number == 2:
                from selenium.webdriver.common.keys import Keys

                page.press(str(rating + 3))
                page.wait(button.is_enabled)
                page.press(Keys.ENTER)
            else:
                page.one(f".grades input[value='{rating}']").click()
                button.click()
            given.append((*pair, rating))
        assert "That was all" in page.text()
        assert "ann-1" in page.text()

        for kind in ("json", "csv"):
            page.one(f"#{kind}").click()
        name = f"answers-{key.study}-ann-1"
        files = [tmp_path / f"{name}.{kind}" for kind in ("json", "csv")]
        page.wait(lambda: all(f.is_file() and f.stat().st_size for f in files))
        page.driver.refresh()
        assert "That was all" in page.text()

    values = json.loads(files[0].read_text())
    assert values["study"] == key.study
    assert values["participant"] == "ann-1"
    assert values["started"] < values["finished"]
    found = [(a["a"], a["b"], a["rating"]) for a in values["answers"]]
    assert found == given
    for answer in values["answers"]:
        assert answer["seconds"] > 0.9  # two clips of .48 s
        assert answer["plays_a"] == answer["plays_b"] == 1
    with files[1].open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row, answer in zip(rows, values["answers"], strict=True):
        assert row["participant"] == "ann-1"
        assert {k: row[k] for k in answer} == {k: str(v) for k, v in answer.items()}

    (one,) = load_results(files, key).kept
    assert one.missed == 0
    arguments = [*files, "--key", study.key, "--resamples", 10]
    assert cli.main(["study", "analyse", *map(str, arguments)]) == 0
    assert "1 participant(s), 2 answers" in capsys.readouterr().out


def test_no_answer_before_both_clips_were_watched_whole(study, tmp_path):
    with browse(tmp_path) as page:
        page.open(study)
        page.agree()
        ends = "document.querySelector('video').addEventListener('ended', () => window.n++)"
        page.js(f"window.n = 0; {ends}")
        # Skipped to the end: played out, but not watched.
        page.one("[data-clip=a] .play").click()
        page.js("const v = document.querySelector('video'); v.currentTime = v.duration")
        page.wait(lambda: page.js("return window.n") == 1)
        assert page.marks() == ["not watched yet"] * 2
        # Hidden while it plays: it starts over.
        page.one("[data-clip=a] .play").click()
        page.js("Object.defineProperty(document, 'hidden', {value: true})")
        page.js("document.dispatchEvent(new Event('visibilitychange'))")
        page.wait(lambda: page.text("[data-clip=a] .play") == "▶ Play A again")
        assert page.js("return document.querySelector('video').paused")
        # Speed is put back, and starting B starts A over.
        page.js("document.querySelector('video').playbackRate = 4")
        page.wait(
            lambda: page.js("return document.querySelector('video').playbackRate") == 1
        )
        page.one("[data-clip=a] .play").click()
        page.one("[data-clip=b] .play").click()
        page.wait(lambda: page.marks()[1] == "✓ watched")
        assert page.marks()[0] == "not watched yet"
        assert "Please watch A to the end" in page.text("#hint")
        assert not page.may_answer()
        page.one("[data-clip=a] .play").click()
        page.wait(page.may_answer)
        # A submission that goes round the button is none.
        page.js("document.querySelector('form').dispatchEvent(new Event('submit'))")
        assert "Pair 1 of" in page.text()


def test_a_clip_that_cannot_be_loaded_is_told(study, tmp_path):
    site = shutil.copytree(study.site, tmp_path / "site")
    with browse(tmp_path) as page:
        page.driver.get((site / "index.html").as_uri())
        for clip in site.glob("clips/*"):
            clip.rename(clip.with_suffix(".away"))
        page.agree()
        page.wait(lambda: "could not be loaded" in page.text("#hint"))
        assert not page.may_answer()
        for clip in site.glob("clips/*"):
            clip.rename(clip.with_suffix(".mp4"))
        page.watch()
        assert page.may_answer()
        page.driver.get_log("browser")  # the missing files are told of there


def test_answers_are_kept_until_one_leaves(study, tmp_path):
    with browse(tmp_path) as page:
        page.open(study)
        page.agree()
        drawn = page.js("return participantId(STUDY)")
        page.watch()
        page.press("3")
        page.one("form button").click()
        second = page.shown()
        page.open(study)
        assert page.text("#begin") == "Go on with pair 2 of 3"
        page.one("#begin").click()
        assert page.shown() == second
        assert page.js("return participantId(STUDY)") == drawn
        # Someone else's answers are another matter.
        page.open(study, "?PROLIFIC_PID=bob")
        assert page.all("#agree")
        page.open(study)
        page.one("#begin").click()
        page.one("#leave").click()
        page.driver.switch_to.alert.accept()
        assert "No answers of yours are kept" in page.text()
        assert not page.js("return Object.keys(localStorage)")
        page.open(study)
        assert page.all("#agree")
        assert page.js("return participantId(STUDY)") != drawn


def test_an_id_that_would_break_a_table_is_refused(study, tmp_path):
    with browse(tmp_path) as page:
        for query in ("participant=", "participant=a%2Cb", "PROLIFIC_PID=%3Cb%3E"):
            page.open(study, f"?{query}")
            assert "This page cannot start" in page.text()
            assert f"Please ask {CONTACT}" in page.text()


def test_order_sides_and_checks_follow_from_the_participant(tmp_path):
    """Many participants' trials, without playing them."""
    study = make(tmp_path, clips=4, per_pair=2, checks=2)
    key = load_key(study.key)
    trials = "return arguments[0].map((who) => makeTrials(STUDY, who))"
    people = [f"p{n}" for n in range(300)]
    with browse(tmp_path) as page:
        page.open(study)
        found = page.js(trials, people)
        page.open(study)
        assert page.js(trials, people) == found
    assert len({json.dumps(one) for one in found}) > 290
    clips, first, places = Counter(), Counter(), Counter()
    for one in found:
        checks = [n for n, pair in enumerate(one) if {*pair} & {*key.broken}]
        assert len(checks) == 2
        assert checks[0] >= 1
        places.update(checks)
        pairs = [
            [key.clips[name] for name in pair]
            for n, pair in enumerate(one)
            if n not in checks
        ]
        assert len(pairs) == 6
        sides = Counter()
        for (a, shown), (b, same) in pairs:
            assert shown == same
            sides[a, b] += 1
            clips[shown] += 1
        # Each two conditions twice, once on either side.
        assert sides == dict.fromkeys(itertools.permutations(range(3), 2), 1)
        # They take turns.
        for turn in (pairs[:3], pairs[3:]):
            assert len({frozenset((a, b)) for (a, _), (b, _) in turn}) == 3
        first[pairs[0][0][0], pairs[0][1][0]] += 1
        seen = [frozenset((a, b, shown)) for (a, shown), (b, _) in pairs]
        assert len({*seen}) == 6
    # Nothing is favoured: counts of 300 people within four standard deviations.
    assert all(abs(n - 450) < 75 for n in clips.values())
    assert len(first) == 6
    assert all(abs(n - 50) < 27 for n in first.values())
    assert len(places) >= 6
