"""What several commands share."""

from pathlib import Path


def add_weights_dir(parser) -> None:
    parser.add_argument("--weights", help="folder to look for weights in first")


def add_data_dir(parser) -> None:
    parser.add_argument("--data-dir", "--data_dir", help="where datasets are prepared")


def start() -> None:
    from gazehead_jax.doctor import enable_compilation_cache

    enable_compilation_cache()


def named(text: str) -> tuple[str, str]:
    """ "name=path" or "path" → (name or "", path)."""
    name, equals, path = text.partition("=")
    return (name, path) if equals and not Path(text).exists() else ("", text)
