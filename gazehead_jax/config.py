"""Experiment configs: frozen dataclasses, strict overrides, JSON there and back.

An experiment is a Python file with `get_config() -> Config`. Overrides on the command
line, `--config.optimizer.learning_rate=3e-4`, are checked against the fields' names and
types, so that a typo cannot silently train the wrong model.
"""

import ast
import dataclasses
import difflib
import importlib.util
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

from gazehead_jax.errors import GazeheadError, require

EXPERIMENTS = Path(__file__).parent / "experiments"


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """What is read and how it is cut into windows.

    Attributes:
      dataset: builder name ("gazehead_sample", "gazehead_synthetic/clean") or the
        directory of a prepared one.
      also: further ones that are trained on.
      fps: rate that every sequence is resampled to; the model's rate.
      horizon: frames a window predicts, after its context frames.
      stride: frames between the starts of neighbouring windows.
      min_valid: least share of valid frames in a window's horizon; its context frames
        must all be valid.
      exclude: people to leave out of training, by the beginning of their names, as in
        ("vr_objects:",): a whole device or source.
      mirror: also train on each window with left and right swapped.
      resident: keep the whole split on the device; "auto" does if it takes less than
        `resident_mb`.
      resident_mb: see `resident`.
      workers: processes that read windows when the split is not resident.
    """

    dataset: str = "gazehead_sample"
    also: tuple[str, ...] = ()
    fps: float = 5.0
    horizon: int = 12
    stride: int = 1
    min_valid: float = 0.8
    exclude: tuple[str, ...] = ()
    mirror: bool = True
    resident: Literal["auto", "always", "never"] = "auto"
    resident_mb: int = 2048
    workers: int = 0


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The network. The defaults are the paper's.

    Attributes:
      kind: "cvae", the conditional VAE of `model.py`, or "natural", see `natural.py`; of
        the latter `hidden`, `latent`, `context` (frames of the past that it is warmed up
        with), `style`, `lookahead` and `sees` count.
      hidden: width of the GRUs.
      latent: size of z.
      head_dim: 2 for (pitch, yaw), 3 with roll.
      context: past heads that condition the decoder.
      period: frames that share one z. The paper's window draws one z for 12 frames; 1
        draws a z for every frame.
      carry_state: keep the decoder's state from one period to the next instead of
        starting afresh.
      prior: "standard" for N(0, I); "learned" for p(z | past, gaze).
      increments: the decoder gives the change from the last context head instead of
        the head itself.
      remat: recompute activations in the backward pass: less memory, and faster on
        CPU for long horizons. A natural model always does.
      style: size of the code that tells people apart; 0 for none.
      sees: "eyes" for the gaze in the head that the model has made, "gaze" for the gaze in
        the camera frame.
      lookahead: frames of gaze to come that a natural model may see.
    """

    kind: Literal["cvae", "natural"] = "cvae"
    hidden: int = 256
    latent: int = 128
    head_dim: Literal[2, 3] = 2
    context: int = 2
    period: int = 12
    carry_state: bool = False
    prior: Literal["standard", "learned"] = "standard"
    increments: bool = False
    remat: bool = False
    style: int = 0
    sees: Literal["eyes", "gaze"] = "eyes"
    lookahead: int = 0


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """The evidence lower bound ("cvae") or the energy score of rollouts ("natural").

    Attributes:
      beta: weight of the KL term after annealing (the paper's λ).
      beta_warmup_steps: steps over which beta grows linearly from 0.
      velocity: weight of the squared error of the head's change from frame to frame;
        without it a self-fed model buys accuracy of pose with jerks.
      self_feed: probability that a frame's context takes the model's own head instead
        of the true one (scheduled sampling).
      context_noise: standard deviation of noise on the true context heads, in units of
        the head's own standard deviation.
      samples: rollouts of each window that the energy score compares; 1 leaves its plain
        error.
      smoothness: weight of the scores of acceleration and jerk.
      gaze_noise_deg: the gaze of every other window gets white noise of up to this
        standard deviation, as estimators do.
      live: share of windows in which the gaze to come is hidden, so that the model can
        also be used live.
    """

    beta: float = 1.0
    beta_warmup_steps: int = 10_000
    velocity: float = 0.0
    self_feed: float = 0.0
    context_noise: float = 0.0
    samples: int = 2
    smoothness: float = 1.0
    gaze_noise_deg: float = 0.0
    live: float = 0.5


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """Adam.

    Attributes:
      learning_rate: peak.
      schedule: "constant", or "cosine" down to 0 at the last step.
      warmup_steps: linear warm-up from 0.
      clip_norm: largest global gradient norm.
    """

    learning_rate: float = 5e-5
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_steps: int = 0
    clip_norm: float = 1.0


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """The loop.

    Attributes:
      steps: optimiser steps in all.
      batch_size: windows a step, over all devices and processes.
      seed: of the parameters, the order of the windows and the noise.
      init: begin with the parameters and units of this model (a name, file or workdir, as
        `checkpoint.load` takes them) instead of fresh ones.
      steps_per_call: steps that one dispatch runs on the device (`lax.scan`).
      log_every, eval_every, checkpoint_every: in steps, multiples of steps_per_call.
      parallel: "pmap" or "jit" (sharding): equal to numerical tolerance.
    """

    steps: int = 60_000
    batch_size: int = 64
    seed: int = 0
    init: str = ""
    steps_per_call: int = 50
    log_every: int = 200
    eval_every: int = 2000
    checkpoint_every: int = 2000
    parallel: Literal["pmap", "jit"] = "pmap"


@dataclasses.dataclass(frozen=True)
class Config:
    """One experiment."""

    name: str = "unnamed"
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    train: TrainConfig = TrainConfig()

    def __post_init__(self):
        at_least = {
            "data.horizon": 1,
            "data.stride": 1,
            "data.resident_mb": 0,
            "data.workers": 0,
            "model.hidden": 1,
            "model.latent": 1,
            "model.context": 0,
            "model.period": 1,
            "model.style": 0,
            "model.lookahead": 0,
            "loss.beta": 0,
            "loss.beta_warmup_steps": 0,
            "loss.velocity": 0,
            "loss.self_feed": 0,
            "loss.context_noise": 0,
            "loss.samples": 1,
            "loss.smoothness": 0,
            "loss.gaze_noise_deg": 0,
            "optimizer.warmup_steps": 0,
            "train.steps": 1,
            "train.batch_size": 1,
            "train.seed": 0,
            "train.steps_per_call": 1,
            "train.log_every": 1,
            "train.eval_every": 1,
            "train.checkpoint_every": 1,
        }
        for name, least in at_least.items():
            value = lookup(self, name)
            require(value >= least, f"config: {name} must be ≥ {least}, got {value}.")
        for name in ("data.fps", "optimizer.learning_rate", "optimizer.clip_norm"):
            value = lookup(self, name)
            require(
                0 < value < float("inf"), f"config: {name} must be > 0, got {value}."
            )
        for name in ("data.min_valid", "loss.self_feed", "loss.live"):
            value = lookup(self, name)
            require(0 <= value <= 1, f"config: {name} must be in [0, 1], got {value}.")
        require(
            self.data.horizon % self.model.period == 0,
            "config: data.horizon must be a multiple of model.period, got "
            f"{self.data.horizon} and {self.model.period}.",
        )
        if self.model.kind == "natural":
            require(
                self.model.head_dim == 3 and self.model.period == 1,
                "config: a natural model needs model.head_dim = 3 and model.period = 1, "
                f"got {self.model.head_dim} and {self.model.period}.",
            )
            require(
                self.data.horizon >= 10 and self.model.context >= 1,
                "config: a natural model is scored on movements of 10 frames after a "
                "past: data.horizon must be ≥ 10 and model.context ≥ 1, got "
                f"{self.data.horizon} and {self.model.context}.",
            )
            require(
                self.train.batch_size % 2 == 0,
                "config: a natural model's windows come in pairs of one person: "
                f"train.batch_size must be even, got {self.train.batch_size}.",
            )
        require(
            self.model.kind == "natural" or not self.model.style,
            "config: only a natural model has styles, but model.style is "
            f"{self.model.style}.",
        )
        require(
            self.model.kind == "natural" or not self.model.lookahead,
            "config: only a natural model looks ahead, but model.lookahead is "
            f"{self.model.lookahead}.",
        )
        require(
            not self.model.increments or self.model.context > 0,
            "config: model.increments needs model.context ≥ 1, got 0: there is no head "
            "to add the increment to.",
        )
        call = self.train.steps_per_call
        for name in ("steps", "log_every", "eval_every", "checkpoint_every"):
            value = getattr(self.train, name)
            require(
                value % call == 0,
                f"config: train.{name} must be a multiple of train.steps_per_call = "
                f"{call}, got {value}.",
            )

    def to_dict(self) -> dict:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping) -> "Config":
        """The config of nested plain values.

        Raises:
          GazeheadError: an unknown name or a value of the wrong type.
        """
        return override(cls(), _flatten(values))


def lookup(config, name: str):
    """The value of a dotted name."""
    for part in name.split("."):
        config = getattr(config, part)
    return config


def override(config: Config, changes: Mapping[str, object]) -> Config:
    """The config with dotted names changed, all at once.

    Args:
      config: where to start.
      changes: `{"optimizer.learning_rate": 3e-4}`; strings are read as the field's
        type ("3e-4", "true").

    Raises:
      GazeheadError: unknown name (the nearest valid one is named), wrong type, or a
        config that breaks a rule.
    """
    names = _names(config)
    tree: dict = {}
    for name, value in changes.items():
        if name not in names:
            near = difflib.get_close_matches(name, names, 1, cutoff=0) or sorted(names)
            raise GazeheadError(
                f"config: there is no field {name!r}; did you mean {near[0]!r}?"
            )
        section, _, field = name.rpartition(".")
        tree.setdefault(section, {})[field] = _convert(name, names[name], value)
    top = tree.pop("", {})
    for section, values in tree.items():
        top[section] = dataclasses.replace(getattr(config, section), **values)
    return dataclasses.replace(config, **top)


def load_experiment(name: str, overrides: Iterable[str] = ()) -> Config:
    """The config of an experiment file, or of a shipped experiment by name.

    Args:
      name: "experiments/paper.py" or "paper".
      overrides: strings "optimizer.learning_rate=3e-4".

    Raises:
      GazeheadError: no such experiment, no `get_config`, or a bad override.
    """
    path = Path(name)
    if not path.suffix:
        path = EXPERIMENTS / f"{name}.py"
    if not path.is_file():
        shipped = sorted(p.stem for p in EXPERIMENTS.glob("[!_]*.py"))
        near = difflib.get_close_matches(Path(name).stem, shipped, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise GazeheadError(
            f"there is no experiment {name!r}; {hint}Give the path of a config file, or "
            f"one of: {', '.join(shipped)}."
        )
    spec = importlib.util.spec_from_file_location("_gazehead_experiment", path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except GazeheadError:
        raise
    except Exception as error:
        raise GazeheadError(
            f"experiment {path} could not be run: {type(error).__name__}: {error}."
        ) from error
    require(
        hasattr(module, "get_config"),
        f"experiment {path} must define get_config() -> Config, and does not.",
    )
    config = module.get_config()
    require(
        isinstance(config, Config),
        f"experiment {path}: get_config() must return a gazehead_jax.config.Config, got "
        f"{type(config).__name__}.",
    )
    changes = {}
    for item in overrides:
        key, equals, value = item.partition("=")
        require(
            bool(equals),
            f"an override reads name=value, got {item!r}; for example "
            "--config.train.steps=1000.",
        )
        changes[key] = value
    return override(config, changes)


def _names(config) -> dict[str, object]:
    """Dotted leaf names of a config and their types."""
    hints = get_type_hints(type(config))
    names = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            inner = _names(value)
            names.update({f"{field.name}.{k}": kind for k, kind in inner.items()})
        else:
            names[field.name] = hints[field.name]
    return names


def _flatten(values: Mapping, prefix: str = "") -> dict:
    flat = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _convert(name: str, kind, value):
    """`value` as the field's type; a string is parsed."""
    choices = get_args(kind) if get_origin(kind) is Literal else None
    if get_origin(kind) is tuple:
        return _names_of(name, value)
    wanted = type(choices[0]) if choices else kind
    if isinstance(value, str) and wanted is not str:
        try:
            value = ast.literal_eval(value.capitalize() if wanted is bool else value)
        except (ValueError, SyntaxError):
            pass
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    # 1e4 is a natural way to write a count of steps.
    if wanted is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) is not wanted:
        raise GazeheadError(
            f"config: {name} must be of type {wanted.__name__}, got {value!r}."
        )
    if choices and value not in choices:
        raise GazeheadError(
            f"config: {name} must be one of {', '.join(map(str, choices))}, got {value!r}."
        )
    return value


def _names_of(name: str, value) -> tuple[str, ...]:
    """A tuple of texts; one text is parted at its commas."""
    if isinstance(value, str):
        value = [part for part in value.split(",") if part]
    if not isinstance(value, list | tuple) or not all(
        isinstance(x, str) for x in value
    ):
        raise GazeheadError(f"config: {name} must be names, as in a,b; got {value!r}.")
    return tuple(value)
