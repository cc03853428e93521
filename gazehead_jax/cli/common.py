"""What several commands share."""

from pathlib import Path


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
