"""Two forced CPU devices, so that sharding is real, and strict ranks."""

import os
from pathlib import Path

# Before jax starts: two devices on the CPU, and no accelerator by accident.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"
)

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of data that never goes into the repository."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared (real recordings and videos), which is absent")
    return SHARED
