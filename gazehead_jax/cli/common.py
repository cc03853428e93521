"""What several commands share."""

import argparse
import os
from pathlib import Path

from gazehead_jax.errors import require

# What --checkpoint takes.
MODEL = "a model that comes with the package, a packed one, or a workdir"


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Tells a default only where it says something."""

    def _get_help_string(self, action):
        default = action.default
        # Not `in`: 0 equals False, and is worth telling.
        if action.required or default is None or default is False or default == []:
            return action.help
        if isinstance(default, list):
            text = " ".join(str(value) for value in default).replace("%", "%%")
            return f"{action.help} (default: {text})"
        return super()._get_help_string(action)


class CommandParser(argparse.ArgumentParser):
    """The parser of a command. The parsers of what is below it are of this class too, so
    that all have the same help."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options | {"formatter_class": HelpFormatter})


def add_weights_dir(parser) -> None:
    parser.add_argument("--weights", help="folder to look for weights in first")


def add_data_dir(parser) -> None:
    parser.add_argument("--data-dir", "--data_dir", help="where datasets are prepared")


def start(rows: int | None = None) -> None:
    """Sets JAX up; for a command that only samples, with the rows that it samples."""
    from gazehead_jax.doctor import enable_compilation_cache, use_cores

    if rows is not None:
        use_cores(rows)
    enable_compilation_cache()


def named(text: str) -> tuple[str, str]:
    """ "name=path" or "path" → (name or "", path)."""
    name, equals, path = text.partition("=")
    return (name, path) if equals and not Path(text).exists() else ("", text)


def check_kept(
    out: str | Path, source: str | Path, what: str, option: str = "--out"
) -> None:
    """Raises GazeheadError if writing `out` would replace `source`, by whatever name.

    Args:
      out: what is to be written.
      source: what it is made from; it need not be there.
      what: the source, in a word.
      option: what the user gave `out` with.
    """
    same = (
        os.path.exists(out) and os.path.exists(source) and os.path.samefile(out, source)
    )
    require(
        not same,
        f"{out}: {option} would replace the {what} it is made from; name another file.",
    )
