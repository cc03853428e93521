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
        pytest.skip("needs the folder of real recordings and videos, which is absent")
    return SHARED


# Settings of one model: the paper's window, the next model's frames, no temporal.
MODELS = {
    "window": {"model.period": 4},
    "frame": {
        "model.period": 1,
        "model.carry_state": True,
        "model.prior": "learned",
        "model.increments": True,
        "model.head_dim": 3,
    },
    "no_temporal": {"model.period": 1, "model.context": 0},
}
# Another network: what samplers and training promise, they promise of it too.
NATURAL = {
    "model.kind": "natural",
    "data.horizon": 12,
    "model.period": 1,
    "model.context": 4,
    "model.head_dim": 3,
    "model.style": 2,
    "loss.self_feed": 1.0,
}
LOOKAHEAD = NATURAL | {"model.lookahead": 6}
# The ablation that sees gaze in the camera's frame, and knows no styles.
CAMERA_GAZE = NATURAL | {"model.sees": "gaze", "model.style": 0}


def tiny_config(kind: str, **changes):
    from gazehead_jax.config import Config, override

    small = {
        "name": f"tiny-{kind}",
        "data.horizon": 8,
        "model.hidden": 16,
        "model.latent": 4,
        "train.batch_size": 8,
        "train.steps": 20,
        "train.steps_per_call": 5,
        "train.log_every": 5,
        "train.eval_every": 10,
        "train.checkpoint_every": 10,
        "optimizer.learning_rate": 1e-3,
        "loss.beta_warmup_steps": 10,
    }
    models = {
        **MODELS,
        "natural": NATURAL,
        "lookahead": LOOKAHEAD,
        "camera_gaze": CAMERA_GAZE,
    }
    return override(Config(), small | models[kind] | changes)


@pytest.fixture(params=list(MODELS))
def kind(request) -> str:
    """Each of the model's settings in turn."""
    return request.param


@pytest.fixture
def tiny_checkpoint(kind):
    """A model with random parameters, large enough that its samples differ."""
    return random_checkpoint(kind)


def random_checkpoint(kind: str):
    import numpy as np

    from gazehead_jax import networks
    from gazehead_jax.checkpoint import Checkpoint
    from gazehead_jax.normaliser import Normaliser

    config = tiny_config(kind)
    params = networks.init_params(config.model, jax.random.key(3))
    params = jax.tree.map(np.asarray, params)
    normaliser = networks.own_units(config.model) or Normaliser(
        gaze_mean=np.array([0.02, 0.0]),
        gaze_std=np.array([0.1, 0.2]),
        head_mean=np.array([-0.05, 0.0, 0.0]),
        head_std=np.array([0.08, 0.15, 0.05]),
    )
    return Checkpoint(config, params, normaliser, {})


@pytest.fixture
def gaze_motion():
    """12 s of wandering gaze at 5 fps with a blink."""
    import numpy as np

    from gazehead_jax.motion import Motion

    rng = np.random.default_rng(1)
    gaze = np.cumsum(rng.normal(0, 0.05, (60, 2)), 0).clip(-0.6, 0.6)
    valid = np.ones(60, bool)
    valid[20:23] = False
    return Motion(gaze=gaze, head=None, fps=5, valid=valid, source="wander")


@pytest.fixture(scope="session")
def small_dataset(tmp_path_factory) -> str:
    """A prepared directory of simulated people: 8 sequences of 20 s to train on."""
    from gazehead_jax import build

    builder = build.prepare(
        "gazehead_synthetic",
        tmp_path_factory.mktemp("tfds"),
        train_people=4,
        validation_people=2,
        test_people=2,
        sequences=2,
        seconds=20.0,
    )
    return str(builder.data_dir)


@pytest.fixture(scope="session")
def trained(tmp_path_factory, small_dataset):
    """A workdir with a model trained for a few steps."""
    from gazehead_jax.training import train

    workdir = tmp_path_factory.mktemp("trained") / "run"
    config = tiny_config("window", **{"data.dataset": small_dataset})
    train(config, workdir, quiet=True)
    return workdir
