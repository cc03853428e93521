"""What a benchmark found: Markdown and JSON, with the machine and the versions."""

import dataclasses
import datetime
import importlib.metadata
import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path

from gazehead_jax.files import atomic_path
from gazehead_jax.version import __version__

PACKAGES = (
    "jax",
    "jaxlib",
    "flax",
    "numpy",
    "torch",
    "onnxruntime",
    "openvino",
    "mediapipe",
    "av",
)


@dataclasses.dataclass(frozen=True)
class Key:
    """A row of the table of the most important numbers.

    Attributes:
      what: was measured.
      ours: the number, with its unit.
      rivals: how many times faster we are than each.
      limit: what share of which limit we reach; "" if that is not known.
    """

    what: str
    ours: str
    rivals: str = ""
    limit: str = ""


@dataclasses.dataclass(frozen=True)
class Report:
    """One run of one benchmark.

    Attributes:
      title: of it.
      about: what was timed, in a sentence or two.
      tables: Markdown.
      numbers: the same for programs.
      failures: what fell under its floor.
      notes: what a reader must know.
      keys: its most important numbers.
    """

    title: str
    about: str
    tables: Sequence[str]
    numbers: dict
    failures: Sequence[str] = ()
    notes: Sequence[str] = ()
    keys: Sequence[Key] = ()

    def markdown(self, machine: dict) -> str:
        """The whole report."""
        where = told(machine)
        parts = [f"# {self.title}", self.about, *self.tables, *self.notes]
        if self.failures:
            parts.append("Under the floor: " + "; ".join(self.failures) + ".")
        return "\n\n".join([*parts, where]) + "\n"

    def write(self, folder: str | Path) -> Path:
        """Writes `<title>.md` and `.json` into a folder.

        Returns:
          The Markdown's path.

        Raises:
          GazeheadError: it cannot be written.
        """
        machine, name = machine_facts(), self.title.lower().replace(" ", "_")
        facts = {
            "title": self.title,
            "machine": machine,
            "failures": list(self.failures),
            "notes": list(self.notes),
            "keys": [dataclasses.asdict(key) for key in self.keys],
            **self.numbers,
        }
        path = Path(folder) / f"{name}.md"
        with (
            atomic_path(path) as text,
            atomic_path(path.with_suffix(".json")) as data,
        ):
            text.write_text(self.markdown(machine), encoding="utf-8")
            data.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        return path


def told(machine: dict) -> str:
    """What `machine_facts` found, in a line."""
    versions = ", ".join(f"{k} {v}" for k, v in machine["versions"].items())
    return (
        f"{machine['date']}, {machine['processor']}, {machine['cores']} cores, "
        f"{machine['system']}; {versions}."
    )


def machine_facts() -> dict:
    """Date, processor, cores, system and versions."""
    versions = {"gazehead_jax": __version__, "Python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "date": datetime.date.today().isoformat(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "versions": versions,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":")[1].strip() for line in lines if "model name" in line]
    return names[0] if names else platform.machine()
