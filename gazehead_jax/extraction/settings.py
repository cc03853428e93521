"""What a user chooses about extraction."""

import dataclasses
import hashlib
import json

import numpy as np

from gazehead_jax.errors import require

# Bumped when the same settings give other numbers: what is done is then done again.
VERSION = 1


@dataclasses.dataclass(frozen=True)
class ExtractSettings:
    """How videos become motions; part of every file's metadata.

    Attributes:
      gaze: the gaze estimator, see `gazehead_jax.gaze.ESTIMATORS`.
      compare: further estimators to run beside it, for comparisons; they change no file.
      faces: "reject" clips that show several people, or "split" them by person.
      shots: "split" clips at cuts, or "reject" clips that have one.
      min_seconds: shorter tracks are left out.
      min_valid: so is a track with a smaller share of valid frames.
      max_turn_deg: frames with a head turned farther from the camera are invalid.
      fov_deg: field of view across the longer side of the full frame; guessed when
        None, see `face_geometry.likely_camera`.
      fps: rate of the motions; the video's own when None.
      one_euro: None, or (cutoff in Hz, beta) of a causal One-Euro filter.
      weights: a folder with weights, looked through before the usual places.

    Raises:
      GazeheadError: a value that cannot be.
    """

    gaze: str = "iris"
    compare: tuple[str, ...] = ()
    faces: str = "reject"
    shots: str = "split"
    min_seconds: float = 1.0
    min_valid: float = 0.5
    max_turn_deg: float = 60.0
    fov_deg: float | None = None
    fps: float | None = None
    one_euro: tuple[float, float] | None = None
    weights: str | None = None

    def __post_init__(self):
        from gazehead_jax.gaze import ESTIMATORS

        for name in (self.gaze, *self.compare):
            require(
                name in ESTIMATORS,
                f"gaze must be one of {', '.join(ESTIMATORS)}; got {name!r}.",
            )
        for name, choices in (
            ("faces", ("reject", "split")),
            ("shots", ("split", "reject")),
        ):
            require(
                getattr(self, name) in choices,
                f"{name} must be {' or '.join(choices)}, got {getattr(self, name)!r}.",
            )
        require(
            _positive(self.min_seconds),
            f"min_seconds must be positive, got {self.min_seconds}.",
        )
        require(
            0 <= self.min_valid <= 1,
            f"min_valid is a share, 0 to 1; got {self.min_valid}.",
        )
        require(
            0 < self.max_turn_deg <= 90,
            f"max_turn_deg must be above 0 and at most 90, got {self.max_turn_deg}.",
        )
        require(
            self.fov_deg is None or 0 < self.fov_deg < 180,
            f"fov_deg must be between 0 and 180, got {self.fov_deg}.",
        )
        require(
            self.fps is None or _positive(self.fps),
            f"fps must be positive, got {self.fps}.",
        )
        require(
            self.one_euro is None
            or (len(self.one_euro) == 2 and _positive(self.one_euro[0]))
            and self.one_euro[1] >= 0,
            "one_euro is a cutoff in Hz above 0 and a beta of at least 0, got "
            f"{self.one_euro}.",
        )

    def fingerprint(self) -> str:
        """Changes with whatever changes a file: a run goes on only where it fits."""
        values = dataclasses.asdict(self)
        del values["compare"], values["weights"]
        text = json.dumps(values | {"version": VERSION}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _positive(x: float) -> bool:
    return bool(np.isfinite(x)) and x > 0
