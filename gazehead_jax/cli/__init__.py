"""The command line. Each command is one function, which imports what it needs."""

import argparse
import itertools
import os
import sys

from gazehead_jax.cli import (
    benchmark,
    datasets,
    export,
    extraction,
    judging,
    models,
    motions,
    study,
    system,
)
from gazehead_jax.cli.common import CommandParser
from gazehead_jax.errors import GazeheadError, require
from gazehead_jax.version import __version__

EPILOG = """\
from gaze to a head that follows, in order:

  gazehead doctor                                            what this machine has
  gazehead demo --out out/demo                               all of the below, small
  gazehead extract videos/ --out motions/                    face video → motions
  gazehead dataset build gazehead_sample                     real sequences → TFDS
  gazehead train --config paper --workdir runs/paper         dataset → checkpoint
  gazehead sample --gaze my.csv --num-samples 3 \\
                  --out heads.csv                            gaze → head motion
  gazehead evaluate --checkpoint runs/paper \\
                  --dataset gazehead_sample --split test     checkpoint → metric table
  gazehead render --motion heads_0.csv --out head.mp4        motion → video
"""


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns the exit code: 0, or 2 for bad input."""
    parser = build_parser()
    args, rest = parser.parse_known_args(argv)
    overrides = [a for a in rest if a.startswith("--config.")]
    unknown = [a for a in rest if a not in overrides]
    takes_overrides = args.command in ("train", "evaluate")
    try:
        if takes_overrides:
            _check_joined(rest)
        if unknown or (overrides and not takes_overrides):
            parser.error(f"unrecognised arguments: {' '.join(unknown or overrides)}")
        args.overrides = [a.removeprefix("--config.") for a in overrides]
        return args.run(args) or 0
    except GazeheadError as error:
        print(f"gazehead: error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader (head, less) has gone; nothing is left to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("gazehead: interrupted", file=sys.stderr)
        return 130


def _check_joined(rest: list[str]) -> None:
    """Raises GazeheadError for an override that is apart from its value."""
    for name, value in itertools.pairwise(rest):
        apart = name.startswith("--config.") and "=" not in name
        require(
            not apart or value.startswith("--"),
            f"an override and its value are joined by =, got a space: write "
            f"{name}={value}.",
        )


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gazehead",
        description="Natural head motion from gaze: datasets, training, sampling, "
        "evaluation and rendering in JAX.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(
        dest="command",
        required=True,
        metavar="COMMAND",
        title="commands",
        parser_class=CommandParser,
    )

    def add(name, run, text):
        command = commands.add_parser(
            name, help=text, description=f"{text[0].upper()}{text[1:]}."
        )
        command.set_defaults(run=run)
        return command

    for module in (
        system,
        extraction,
        datasets,
        models,
        export,
        judging,
        motions,
        study,
        benchmark,
    ):
        module.add_commands(add)
    return parser
