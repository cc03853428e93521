"""Commands about user studies."""

import sys
from pathlib import Path

from gazehead_jax.cli.common import add_weights_dir, named, start
from gazehead_jax.errors import GazeheadError, require


def add_commands(add) -> None:
    p = add(
        "study", _which, "ask people: make a study, analyse its answers, plan its size"
    )
    actions = p.add_subparsers(dest="action", metavar="make|analyse|size|paper")
    make = actions.add_parser(
        "make",
        help="build a page of pairs of clips to compare; needs no server",
    )
    make.set_defaults(run=_make)
    _make_arguments(make)

    analyse = actions.add_parser(
        "analyse", aliases=["analyze"], help="what the answers say"
    )
    analyse.set_defaults(run=_analyse)
    analyse.add_argument("results", nargs="+", help="answers, or folders of them")
    analyse.add_argument("--key", required=True, help="the study's key.json")
    analyse.add_argument(
        "--allowed-misses",
        type=int,
        default=0,
        help="attention checks that one may answer wrongly",
    )
    analyse.add_argument(
        "--resamples", type=int, default=2000, help="of participants, for intervals"
    )
    analyse.add_argument("--seed", type=int, default=0, help="of the resampling")
    analyse.add_argument("--out", help=".json; tables go beside it as .md and .csv")
    analyse.add_argument("--figure", help=".png, .pdf or .svg")

    size = actions.add_parser("size", help="how many participants a study needs")
    size.set_defaults(run=_size)
    size.add_argument(
        "--share",
        type=float,
        default=0.65,
        help="of answers for the better condition, ties aside, that is to be found",
    )
    for name, default, text in (
        ("ties", 0.2, "share of answers “no difference”"),
        ("alike", 0.1, "correlation of one participant's answers about a pair"),
        ("excluded", 0.1, "share of participants that will be left out"),
        ("power", 0.8, "chance to find it"),
        ("alpha", 0.05, "error rate of all comparisons together"),
    ):
        size.add_argument(f"--{name}", type=float, default=default, help=text)
    size.add_argument(
        "--answers-per-pair",
        type=int,
        default=6,
        help="of a participant about each two conditions",
    )
    size.add_argument(
        "--comparisons", type=int, default=1, help="pairs of conditions compared"
    )

    paper = actions.add_parser(
        "paper", help="the paper's own study (Table 2) held against the same tests"
    )
    paper.set_defaults(run=_paper)


def _make_arguments(p) -> None:
    p.add_argument(
        "conditions",
        nargs="+",
        metavar="LABEL=PATH",
        help="motion files of the same gaze, or videos: a folder, a file or a quoted "
        "pattern; the first is also what attention checks show beside a broken clip",
    )
    p.add_argument("--out", required=True, help="folder to make")
    p.add_argument(
        "--contact",
        required=True,
        help="whom to ask and where to send answers, as participants will read it",
    )
    p.add_argument(
        "--reference", metavar="LABEL", help="compare all with this one only"
    )
    p.add_argument("--question", help="asked about each pair, instead of the usual one")
    p.add_argument("--title", help="of the page, instead of the usual one")
    p.add_argument(
        "--consent", metavar="FILE", help="text to agree to, instead of the usual one"
    )
    p.add_argument(
        "--grades",
        type=int,
        choices=(3, 5),
        default=5,
        help="answers to choose from; the middle one is “no difference”",
    )
    p.add_argument(
        "--per-pair",
        type=int,
        help="clips that a participant sees of each two conditions; all if left out",
    )
    p.add_argument("--checks", type=int, default=3, help="attention checks for each")
    p.add_argument(
        "--seconds", type=float, help="cut motions to excerpts of this length"
    )
    p.add_argument("--excerpts", type=int, default=1, help="to cut of each motion")
    p.add_argument(
        "--generator",
        choices=("head3d", "tha3", "liveportrait", "sted"),
        default="head3d",
        help="what draws the face, as in `gazehead render`",
    )
    p.add_argument("--portrait", help="the picture whose face moves; not for head3d")
    add_weights_dir(p)
    p.add_argument(
        "--size", type=int, help="edge of a clip of head3d in pixels (default 384)"
    )
    p.add_argument("--seed", type=int, default=0, help="of all draws")


def _which(args) -> None:
    raise GazeheadError("study needs one of make, analyse, size and paper; see --help.")


def _make(args) -> None:
    start()
    from gazehead_jax.generators import DEFAULT, make_generator
    from gazehead_jax.study.make import QUESTION, SIZE, TITLE, make_study

    conditions: dict[str, str] = {}
    for text in args.conditions:
        label, path = named(text)
        require(bool(label), f"a condition is given as LABEL=PATH, got {text!r}.")
        require(label not in conditions, f"two conditions are labelled {label!r}.")
        conditions[label] = path
    consent = None
    if args.consent:
        try:
            consent = Path(args.consent).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise GazeheadError(
                f"{args.consent}: the consent text could not be read ({error})."
            ) from error
    size = SIZE if args.size is None and args.generator == DEFAULT else args.size
    face = make_generator(
        args.generator, portrait=args.portrait, folder=args.weights, size=size
    )
    made = make_study(
        conditions,
        args.out,
        contact=args.contact,
        reference=args.reference,
        question=QUESTION if args.question is None else args.question,
        title=TITLE if args.title is None else args.title,
        consent=consent,
        grades=args.grades,
        per_pair=args.per_pair,
        checks=args.checks,
        seconds=args.seconds,
        excerpts=args.excerpts,
        generator=face,
        seed=args.seed,
        progress=lambda text: print(text, file=sys.stderr),
    )
    print(f"{made.site}: hand this folder out, or open its index.html")
    print(f"{made.key}: keep this; `gazehead study analyse --key` needs it")
    print(f"{made.trials} pairs for each participant, about {made.minutes} min")


def _analyse(args) -> None:
    from gazehead_jax.study.analyse import analyse
    from gazehead_jax.study.results import load_key, load_results

    key = load_key(args.key)
    results = load_results(args.results, key, args.allowed_misses)
    found = analyse(key, results, num_resamples=args.resamples, seed=args.seed)
    found.show()
    if args.out:
        print(found.save(args.out))
    if args.figure:
        from gazehead_jax.study.figure import plot_study

        plot_study(found, args.figure)
        print(args.figure)


def _size(args) -> None:
    from gazehead_jax.study.sample_size import sample_size

    found = sample_size(
        args.share,
        ties=args.ties,
        answers_per_pair=args.answers_per_pair,
        alike=args.alike,
        comparisons=args.comparisons,
        excluded=args.excluded,
        power=args.power,
        alpha=args.alpha,
    )
    print(f"{found.participants} participants")
    print(
        f"{found.decided} independent answers that choose one, for each pair, give a "
        f"power of {found.power:.3f} at α = {found.alpha:.4g}; answers of one person are "
        f"alike, so {found.design_effect:.2f} times as many; a signed-rank test needs at "
        f"least {found.least} participants"
    )


def _paper(args) -> None:
    from gazehead_jax.study.published import table_2
    from gazehead_jax.tables import show

    show(
        "Mean ratings (-2 to 2) of the paper's model over others, eight paired units. "
        "Whole ratings that have the printed mean and, by the exact Wilcoxon test, the "
        "printed p-value:",
        [table_2()],
    )
