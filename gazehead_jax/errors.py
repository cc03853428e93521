"""The one exception that a user is meant to read."""


class GazeheadError(ValueError):
    """Bad input, told in one sentence: the rule, what was got and what to do.

    The command line prints it without a traceback and exits with code 2.
    """


def require(condition: bool, message: str) -> None:
    """Raises `GazeheadError(message)` unless `condition` holds."""
    if not condition:
        raise GazeheadError(message)
