"""Writing files and folders whole or not at all."""

import contextlib
import errno
import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from gazehead_jax.errors import GazeheadError

# What NumPy raises for an .npz that is cut off, damaged or something else altogether.
UNREADABLE = (
    ValueError,
    TypeError,
    AttributeError,
    OSError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
)


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Yields a temporary path beside `path` that replaces it on success.

    On any error the temporary file is removed and `path` is left as it was.

    Raises:
      GazeheadError: the folder is missing or unwritable, or the disk is full.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix
        )
        os.close(handle)
    except OSError as error:
        raise unwritable(path, error) from error
    temporary = Path(name)
    try:
        yield temporary
        _publish(temporary, path, 0o666)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike) -> Iterator[Path]:
    """Yields a temporary folder beside `path` that becomes `path` on success.

    `path` must not be there yet, or be an empty folder. On any error the temporary
    folder is removed with all that is in it.

    Raises:
      GazeheadError: `path` holds something or is a file, its parent is unwritable, or
        the disk is full.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        yield temporary
        _publish(temporary, path, 0o777)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _publish(temporary: Path, path: Path, mode: int) -> None:
    # What tempfile makes only its owner may read.
    umask = os.umask(0)
    os.umask(umask)
    temporary.chmod(mode & ~umask)
    temporary.replace(path)


def unwritable(path: str | os.PathLike, error: OSError) -> GazeheadError:
    """The sentence for a file that could not be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return GazeheadError(
            f"{path} could not be written: the disk is full; nothing was left behind. "
            "Free some space or choose another place."
        )
    return GazeheadError(
        f"{path} could not be written: {error.strerror or error}. Choose a place that "
        "can be written."
    )
