"""What a run holds and heeds: the lock of its workdir, and SIGTERM."""

import contextlib
import fcntl
import signal
from collections.abc import Iterator
from pathlib import Path

import jax

from gazehead_jax.errors import GazeheadError
from gazehead_jax.files import unwritable


@contextlib.contextmanager
def exclusive(workdir: Path) -> Iterator[None]:
    """Only one run writes to a workdir; the lock goes with the process that holds it.

    Raises:
      GazeheadError: another run holds it, or the place cannot be written.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        lock = (workdir / ".lock").open("w")
    except OSError as error:
        raise unwritable(workdir, error) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise GazeheadError(
                f"{workdir} is in use by another run; wait for it or choose another "
                "place."
            ) from error
        yield


class Stop:
    """Whether the run was asked to stop."""

    asked = False


@contextlib.contextmanager
def sigterm_as_request() -> Iterator[Stop]:
    """Turns SIGTERM into a request that the loop sees; only in the main thread.

    Several processes must stop after the same call; there JAX's own handler of SIGTERM
    stays, which tells them all (Orbax's `reached_preemption`).
    """
    stop = Stop()
    if jax.process_count() > 1:
        yield stop
        return

    def ask(*_):
        stop.asked = True

    try:
        before = signal.signal(signal.SIGTERM, ask)
    except ValueError:  # not the main thread: nothing to catch
        yield stop
        return
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, before)
