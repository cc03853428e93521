"""Makes a study: a folder of static files to hand out, and the key to keep.

    OUT/site/   index.html and what it needs: put it on any web server, or open it as a file
    OUT/key.json   which clip is which: never hand it out; `gazehead study analyse` needs it

Names of clips tell nothing. Who sees what in which order follows from the study's seed and
the participant's id; see page/order.js.
"""

import dataclasses
import hashlib
import itertools
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from gazehead_jax.errors import require
from gazehead_jax.files import atomic_folder
from gazehead_jax.generators import Generator, make_generator
from gazehead_jax.study.clips import Clip, read_clips

PAGE = Path(__file__).parent / "page"
PAGE_FILES = ("index.html", "page.css", "order.js", "answers.js", "trial.js", "page.js")
KEY_FORMAT = "gazehead study key"
VERSION = 1
MAX_CONDITIONS = 8
SIZE = 384
TITLE = "Which head moves more naturally?"
QUESTION = "In which clip does the head move more naturally with the eyes?"
# Answers from A to B. Five, -2 … 2, are the paper's scale.
GRADES: Mapping[int, Mapping[int, str]] = {
    3: {-1: "A", 0: "No difference", 1: "B"},
    5: {
        -2: "A, clearly",
        -1: "A, slightly",
        0: "No difference",
        1: "B, slightly",
        2: "B, clearly",
    },
}
# What a pair takes beyond watching its clips once.
ANSWER_S = 6.0

CONSENT = (
    "In this study you watch short clips of computer-made heads, two at a time, and say in "
    "which of them the head moves more naturally. It takes about {minutes} minutes.",
    "Taking part is voluntary. You can stop at any time without giving a reason; if you "
    "leave before the end, your answers are deleted.",
    "Recorded are your answers, how long each took, how often you played each clip, when "
    "you began and ended, and a participant number. Your name, your address and what "
    "device you use are not recorded.",
    "This page sends nothing anywhere. Your answers stay on your device until you save "
    "them as a file at the end and hand that file in; before that you can look into it.",
    "In a few clips the head jumps abruptly. If flickering pictures make you unwell, "
    "please do not take part.",
)


@dataclasses.dataclass(frozen=True)
class Study:
    """What `make_study` made.

    Attributes:
      site: the folder to hand out.
      key: the file to keep.
      trials: pairs that a participant sees, attention checks among them.
      minutes: that this takes, about.
    """

    site: Path
    key: Path
    trials: int
    minutes: int


def make_study(
    conditions: Mapping[str, str | Path],
    out: str | Path,
    *,
    contact: str,
    reference: str | None = None,
    question: str = QUESTION,
    title: str = TITLE,
    consent: str | None = None,
    grades: int = 5,
    per_pair: int | None = None,
    checks: int = 3,
    seconds: float | int | None = None,
    excerpts: int = 1,
    generator: Generator | None = None,
    seed: int = 0,
    progress: Callable[[str], None] = lambda text: None,
) -> Study:
    """Makes a study that compares conditions in pairs of clips of the same gaze.

    Args:
      conditions: label → motion files or videos, see `clips.read_clips`. Labels are never
        shown. Attention checks show a clip of the first beside a broken one.
      out: a folder that is not there yet, or empty.
      contact: whom to ask, and where answers are to be sent.
      reference: compare each other condition with this one only; else each with each.
      question: asked about each pair.
      title: of the page.
      consent: paragraphs to agree to, parted by blank lines, instead of `CONSENT`.
      grades: answers to choose from: 5 (-2 … 2, as in the paper) or 3. The middle one is
        "no difference".
      per_pair: clips that a participant sees of each two conditions, drawn by lot; all if
        left out.
      checks: attention checks for each participant.
      seconds, excerpts: see `clips.read_clips`.
      generator: what draws motions; head3d at 384 pixels if left out.
      seed: of all draws.
      progress: told what is being done.

    Raises:
      GazeheadError: an argument or a clip is not as it should be, or `out` cannot be
        written. Nothing is left behind then.
    """
    out = Path(out)
    _check(conditions, contact, question, title, reference, grades, checks)
    require(
        not out.exists() or (out.is_dir() and not any(out.iterdir())),
        f"{out} is there already, and answers may have been given to what it holds; "
        "choose another --out.",
    )
    face = generator or make_generator(size=SIZE)
    clips = read_clips(conditions, seconds, excerpts)
    count = len(next(iter(clips.values())))
    per_pair = count if per_pair is None else per_pair
    require(
        1 <= per_pair <= count,
        f"--per-pair must be 1 to {count}, the clips there are, got {per_pair}.",
    )
    pairs = [
        pair
        for pair in itertools.combinations(clips, 2)
        if reference is None or reference in pair
    ]
    trials = len(pairs) * per_pair + checks
    longest = max(clip.duration_s for clip in next(iter(clips.values())))
    minutes = max(1, round(trials * (2 * longest + ANSWER_S) / 60))
    paragraphs = [text.format(minutes=minutes) for text in CONSENT]
    if consent is not None:
        paragraphs = [text for part in consent.split("\n\n") if (text := part.strip())]
        require(bool(paragraphs), "the consent text must not be empty.")

    name = lambda clip, broken=False: _name(seed, clip, broken)
    first = next(iter(clips.values()))
    checked = [first[i % count] for i in range(checks)]
    public = {
        "seed": seed,
        "title": title,
        "question": question,
        "contact": contact,
        "consent": paragraphs,
        "grades": [{"value": v, "label": t} for v, t in GRADES[grades].items()],
        "perGroup": per_pair,
        "groups": [
            [[name(a), name(b)] for a, b in zip(clips[one], clips[other], strict=True)]
            for one, other in pairs
        ],
        # In the order of their names, which are drawn: the page cannot tell which is broken.
        "checks": [sorted([name(clip), name(clip, True)]) for clip in checked],
    }
    public["id"] = _digest(json.dumps(public, sort_keys=True))
    key = {
        "format": KEY_FORMAT,
        "version": VERSION,
        "study": public["id"],
        "seed": seed,
        "question": question,
        "grades": grades,
        "conditions": list(clips),
        "pairs": pairs,
        "per_pair": per_pair,
        "checks": checks,
        "clips": {
            name(clip): {"condition": clip.condition, "clip": clip.name}
            for group in clips.values()
            for clip in group
        },
        "broken": {name(clip, True): name(clip) for clip in checked},
    }
    drawn = {name(clip): (clip, False) for group in clips.values() for clip in group}
    drawn |= {name(clip, True): (clip, True) for clip in checked}
    with atomic_folder(out) as folder:
        _write_page(folder / "site", public)
        (folder / "key.json").write_text(json.dumps(key, indent=1), encoding="utf-8")
        # In the order of their names, so that the times of the files tell nothing either.
        for i, (token, (clip, broken)) in enumerate(sorted(drawn.items()), 1):
            progress(f"clip {i} of {len(drawn)}")
            path = folder / "site" / "clips" / f"{token}.mp4"
            if broken:
                clip.write_broken(path, face)
            else:
                clip.write(path, face, progress)
    return Study(out / "site", out / "key.json", trials, minutes)


def _check(conditions, contact, question, title, reference, grades, checks) -> None:
    require(
        2 <= len(conditions) <= MAX_CONDITIONS,
        f"a study compares 2 to {MAX_CONDITIONS} conditions, got {len(conditions)}; give "
        "each as LABEL=PATH.",
    )
    for what, text in (("contact", contact), ("question", question), ("title", title)):
        require(
            bool(text.strip()), f"--{what} must not be empty: participants read it."
        )
    require(
        reference is None or reference in conditions,
        f"--reference must be one of the conditions {', '.join(conditions)}, got "
        f"{reference!r}.",
    )
    require(grades in GRADES, f"--grades must be 3 or 5, got {grades}.")
    require(1 <= checks <= 20, f"--checks must be 1 to 20, got {checks}.")


def _digest(text: str, length: int = 10) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def _name(seed: int, clip: Clip, broken: bool) -> str:
    what = f"{seed}/{clip.condition}/{clip.name}/{clip.digest}"
    return _digest(f"{what}/broken" if broken else what, 12)


def _write_page(site: Path, public: Mapping) -> None:
    (site / "clips").mkdir(parents=True)
    for file in PAGE_FILES:
        shutil.copyfile(PAGE / file, site / file)
    # A script, as pages opened as files may not read JSON.
    text = f"const STUDY = {json.dumps(public, indent=1)};\n"
    (site / "study.js").write_text(text, encoding="utf-8")
