"""`gazehead doctor`: is this machine set up, and what is missing for what."""

import dataclasses
import importlib.metadata
import os
import platform
import shutil
import sys
from pathlib import Path

CORE = (
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "grain",
    "tensorflow-datasets",
    "numpy",
    "scipy",
)
EXTRAS = {
    "av": "video: rendering to .mp4, reading videos",
    "matplotlib": "plots: figures, labels in videos",
    "mediapipe": "extract: landmarks of faces in videos",
    "scenedetect": "extract: cuts in videos",
    "pebble": "extract: several processes",
    "flatbuffers": "export: StableHLO",
    "onnx": "export: ONNX",
    "onnxruntime": "export: running ONNX",
    "apache-beam": "beam: extraction on many machines, in an environment of its own",
}
# jaxlib 0.11.1 copies the stacked output of a scan at every step (jax issue 40101).
BAD_JAXLIB = {
    "0.11.1": "long rollouts take quadratic time with it; use another version"
}
HOST_DEVICES = "--xla_force_host_platform_device_count="
LOOP_IN_ONE_KERNEL = (
    "--xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold=1000000000"
)


@dataclasses.dataclass(frozen=True)
class Check:
    """One line: status is "ok", "missing" (optional) or "bad"."""

    status: str
    what: str
    detail: str


def checkup() -> list[Check]:
    """Looks at versions, devices, caches and optional packages; changes nothing."""
    checks = [_python()]
    checks += [_package(name) for name in CORE]
    checks += _devices()
    checks.append(_cache())
    checks += [_extra(name, purpose) for name, purpose in EXTRAS.items()]
    return checks


def _python() -> Check:
    version = platform.python_version()
    status = "ok" if sys.version_info >= (3, 11) else "bad"
    return Check(status, "python", f"{version} on {platform.platform(terse=True)}")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _package(name: str) -> Check:
    version = _version(name)
    if version is None:
        return Check("bad", name, f"not installed; pip install {name}")
    if name == "jaxlib" and version in BAD_JAXLIB:
        return Check("bad", name, f"{version}: {BAD_JAXLIB[version]}")
    return Check("ok", name, version)


def _devices() -> list[Check]:
    import jax

    try:
        devices = jax.devices()
    except RuntimeError as error:
        return [Check("bad", "devices", str(error).splitlines()[0])]
    kinds = ", ".join(sorted({f"{d.platform} ({d.device_kind})" for d in devices}))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else "?"
    return [Check("ok", "devices", f"{len(devices)} × {kinds}; {cores} CPU cores")]


def _cache() -> Check:
    folder = cache_dir()
    parent = next(p for p in (folder, *folder.parents) if p.exists())
    free = shutil.disk_usage(parent).free / 2**30
    if not os.access(parent, os.W_OK):
        return Check("bad", "compilation cache", f"{folder} cannot be written")
    return Check("ok", "compilation cache", f"{folder} ({free:.0f} GiB free)")


def _extra(name: str, purpose: str) -> Check:
    version = _version(name)
    if version is None:
        return Check("missing", name, f"for {purpose}; pip install {name}")
    return Check("ok", name, f"{version}, for {purpose}")


def cache_dir() -> Path:
    """Where compiled programs are kept between runs."""
    chosen = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    if chosen:
        return Path(chosen)
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "gazehead_jax" / "xla"


def enable_compilation_cache() -> None:
    """Keeps compiled programs, also those that compile in under a second.

    For programs of our own only: importing the package changes no setting of JAX.
    """
    import jax

    jax.config.update("jax_compilation_cache_dir", str(cache_dir()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def use_cores(rows: int) -> None:
    """Lets XLA use the cores as sampling so many rows at once does best.

    One loop keeps about one core busy. Several rows are therefore shared out among as
    many host devices as there are cores; a single row runs in a loop that is compiled
    as one kernel. To be called before JAX starts; what XLA_FLAGS already says stays.
    For programs of our own only, as above.
    """
    said = os.environ.get("XLA_FLAGS", "")
    wanted = HOST_DEVICES if rows > 1 else LOOP_IN_ONE_KERNEL
    if wanted.split("=")[0] in said:
        return
    if rows > 1:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
        wanted += str(min(rows, cores))
    os.environ["XLA_FLAGS"] = f"{said} {wanted}".strip()
