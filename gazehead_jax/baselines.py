"""Head motion from gaze without a network: what a model has to beat.

Every baseline is fitted on motions and then samples heads for a gaze sequence through
the same call as a model. All but `rule_based` are deterministic: their s samples are
identical copies, so an average equals a best, and diversity is zero. All are causal: the
head at a frame depends on gaze up to that frame only (ridge can be allowed a look ahead).

Radians, camera frame. At invalid frames gaze is taken to rest where it was last valid
(at the start, where it will first be), as a running system would do.
"""

import abc
from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Float, Int

from gazehead_jax import rule_based
from gazehead_jax.coordination import Hinge, fit_hinge
from gazehead_jax.errors import GazeheadError, require
from gazehead_jax.motion import Array, Motion


class Baseline(abc.ABC):
    """A way to get heads from gaze. `description` says how, in one line;
    `deterministic`, that every sample is the same."""

    description: str
    deterministic = True

    @classmethod
    @abc.abstractmethod
    def fit(cls, motions: Iterable[Motion]) -> "Baseline":
        """The baseline with its numbers learned from motions (read once).

        Raises:
          GazeheadError: there is no motion, one has no head, or no frame is valid.
        """

    @abc.abstractmethod
    def predict(
        self,
        gaze: Float[np.ndarray, "t 2"],
        fps: float,
        context_head: Float[np.ndarray, "c d"],
    ) -> Float[np.ndarray, "t 3"]:
        """The head (pitch, yaw, roll) for gaze that has no gaps."""

    def sample(
        self,
        gaze: Float[Array, "t 2"],
        valid: Bool[Array, " t"],
        fps: float,
        context_head: Float[Array, "c d"],
        num_samples: int,
        seed: int,
    ) -> Float[np.ndarray, "s t d"]:
        """Heads for a gaze sequence: identical copies if `deterministic`.

        Args:
          gaze: radians.
          valid: frames whose gaze counts.
          fps: frames per second.
          context_head: the real head just before the first frame, c frames (0 will do
            unless the baseline says otherwise); its d, 2 or 3, is that of the result.
          num_samples: s.
          seed: same seed, same heads; not used by a deterministic baseline.

        Raises:
          GazeheadError: no frame is valid, gaze there is not finite, or what the
            baseline itself demands is missing.
        """
        context_head = np.asarray(context_head, np.float64)
        d = context_head.shape[-1]
        require(
            d in (2, 3),
            "baseline: context_head must be [c, 2] (pitch, yaw) or [c, 3] (and roll), "
            f"got {context_head.shape}.",
        )
        require(
            num_samples >= 1,
            f"baseline: num_samples must be at least 1, got {num_samples}.",
        )
        gaze = held_gaze(gaze, valid)
        return self.draw(gaze, fps, context_head, num_samples, seed)[..., :d]

    def draw(
        self,
        gaze: Float[np.ndarray, "t 2"],
        fps: float,
        context_head: Float[np.ndarray, "c d"],
        num_samples: int,
        seed: int,
    ) -> Float[np.ndarray, "s t 3"]:
        """Several heads for gaze that has no gaps."""
        del seed
        return np.repeat(
            self.predict(gaze, fps, context_head)[None], num_samples, axis=0
        )


class ConstantHead(Baseline):
    """The mean head of the training set, whatever gaze does."""

    description = "mean head of the training set"

    def __init__(self, mean: Float[np.ndarray, "3"]):
        self.mean = mean

    @classmethod
    def fit(cls, motions):
        return cls(np.concatenate([h for _, h, _ in _frames(motions)]).mean(0))

    def predict(self, gaze, fps, context_head):
        return np.tile(self.mean, (len(gaze), 1))


class HoldLast(Baseline):
    """The last head of the context, kept still. Roll is 0 in a 2-d context."""

    description = "last head of the context, held"

    @classmethod
    def fit(cls, motions):
        return cls()

    def predict(self, gaze, fps, context_head):
        return np.tile(_last_head(context_head, "hold_last"), (len(gaze), 1))


class MirrorGaze(Baseline):
    """The head points where the gaze points (pitch and yaw), with roll 0."""

    description = "head = gaze, roll 0"

    @classmethod
    def fit(cls, motions):
        return cls()

    def predict(self, gaze, fps, context_head):
        return np.concatenate([gaze, np.zeros((len(gaze), 1))], axis=-1)


class RidgeFIR(Baseline):
    """Each head axis as a linear filter of the gaze before (ridge regression).

    head(t) = offset + Σ_k W_k · gaze(t - k), for both axes of gaze. The penalty of each
    head axis is the one with the least error when each of up to five groups of training
    persons (motions, if persons are not named) is left out in turn.

    It belongs to the frame rate that it was fitted at.
    """

    description = "linear filter of past gaze, ridge regression"
    # Relative to the mean variance of the features.
    PENALTIES = tuple(10.0 ** np.arange(-5, 2.5, 0.5))
    FOLDS = 5

    def __init__(
        self,
        weights: Float[np.ndarray, "k 3"],
        offset: Float[np.ndarray, "3"],
        delays: Int[np.ndarray, " lags"],
        fps: float,
        penalties: Float[np.ndarray, "3"],
    ):
        self.weights, self.offset, self.delays = weights, offset, delays
        self.fps, self.penalties = fps, penalties

    @classmethod
    def fit(cls, motions, past_s: float = 0.8, future_s: float = 0.0):
        """The filter over gaze from `past_s` before to `future_s` after each frame.

        A `future_s` above 0 looks ahead, which a streaming model cannot do.

        Raises:
          GazeheadError: as `Baseline.fit`, or motions differ in fps.
        """
        fps, delays, sums = None, None, {}
        for i, motion in enumerate(motions):
            if fps is None:
                fps = motion.fps
                delays = np.arange(-round(future_s * fps), round(past_s * fps) + 1)
            require(
                motion.fps == fps,
                f"ridge_fir: all motions must have one fps, got {fps} and "
                f"{motion.fps}; resample them first.",
            )
            group = motion.subject or f"motion {i}"
            for gaze, head, valid in _frames([motion], only_valid=False):
                x = np.concatenate(
                    [_delayed(gaze, delays), np.ones((len(gaze), 1))], axis=-1
                )[valid]
                xx, xy, yy = sums.get(group, (0, 0, 0))
                y = head[valid]
                sums[group] = xx + x.T @ x, xy + x.T @ y, yy + (y**2).sum(0)
        require(bool(sums), "ridge_fir: no valid frame to fit.")
        groups = list(sums.values())
        total = [sum(part) for part in zip(*groups, strict=True)]
        chosen = np.full(3, cls.PENALTIES[0])
        if len(groups) > 1:
            folds = [groups[i :: cls.FOLDS] for i in range(min(cls.FOLDS, len(groups)))]
            error = np.zeros((len(cls.PENALTIES), 3))
            for fold in folds:
                xx, xy, yy = (sum(part) for part in zip(*fold, strict=True))
                for j, penalty in enumerate(cls.PENALTIES):
                    w = _ridge(total[0] - xx, total[1] - xy, np.full(3, penalty))
                    # ‖y - Xw‖² of the fold that was left out, from its sums alone.
                    error[j] += yy - 2 * (w * xy).sum(0) + (w * (xx @ w)).sum(0)
            chosen = np.array(cls.PENALTIES)[error.argmin(0)]
        weights = _ridge(total[0], total[1], chosen)
        return cls(weights[:-1], weights[-1], delays, fps, chosen)

    def predict(self, gaze, fps, context_head):
        require(
            abs(fps - self.fps) < 1e-3 * self.fps,
            f"ridge_fir was fitted at {self.fps} fps, got gaze at {fps} fps; resample "
            "the gaze or fit it at that rate.",
        )
        return _delayed(gaze, self.delays) @ self.weights + self.offset


class RidgeFromLast(RidgeFIR):
    """`RidgeFIR`'s movement, begun at the last real head: what a filter can do for
    someone who also knows the pose just before."""

    description = "linear filter of past gaze, from the last context head on"

    def predict(self, gaze, fps, context_head):
        last = _last_head(context_head, "ridge_from_last")
        head = super().predict(gaze, fps, context_head)
        d = context_head.shape[-1]
        head[:, :d] += last[:d] - head[0, :d]
        return head


class HingeHead(Baseline):
    """head = slope · max(0, |gaze - middle| - θ0) · sign(gaze - middle) + rest.

    Fitted for pitch and yaw each, by least squares; the middle is the mean gaze of the
    training set. Small eccentricities are left to the eye. Roll is its mean.
    """

    description = "dead zone, then proportional to gaze"

    def __init__(
        self,
        middle: Float[np.ndarray, "2"],
        hinges: tuple[Hinge, Hinge],
        roll: float,
    ):
        self.middle, self.hinges, self.roll = middle, hinges, roll

    @classmethod
    def fit(cls, motions):
        frames = _frames(motions)
        gaze = np.concatenate([g for g, _, _ in frames])
        head = np.concatenate([h for _, h, _ in frames])
        middle = gaze.mean(0)
        hinges = tuple(
            fit_hinge(gaze[:, i] - middle[i], head[:, i], offset=True) for i in (0, 1)
        )
        require(
            bool(np.isfinite(hinges).all()),
            "hinge: gaze must move in pitch and yaw for a fit, and it does not.",
        )
        return cls(middle, hinges, float(head[:, 2].mean()))

    def predict(self, gaze, fps, context_head):
        head = np.full((len(gaze), 3), self.roll)
        for i, hinge in enumerate(self.hinges):
            head[:, i] = hinge(gaze[:, i] - self.middle[i])
        return head


class RuleBased(Baseline):
    """The eye-head controller of `rule_based`, from the last head of the context on.

    How far a head follows is a parameter of the character in these controllers, left to
    the animator, so a sample moves as one of the training people does: without that
    spread the energy score would punish it for a choice that is not part of the rules.
    """

    description = "eye-head controller: threshold, latency, alignment, speed law"
    deterministic = False

    def __init__(self, settings: rule_based.Settings):
        self.settings = settings

    @classmethod
    def fit(cls, motions):
        pieces = []
        for i, motion in enumerate(motions):
            for gaze, head, valid in _frames([motion], only_valid=False):
                name = motion.subject or f"motion {i}"
                pieces.append((name, gaze, head, valid, motion.fps))
        require(bool(pieces), "rule_based: no valid frame to fit.")
        return cls(rule_based.fit(pieces))

    def predict(self, gaze, fps, context_head):
        align = np.median(self.settings.align, axis=0, keepdims=True)
        return self._follow(gaze, fps, context_head, align)[0]

    def draw(self, gaze, fps, context_head, num_samples, seed):
        people = np.random.default_rng(seed).integers(
            len(self.settings.align), size=num_samples
        )
        return self._follow(gaze, fps, context_head, self.settings.align[people])

    def _follow(self, gaze, fps, context_head, align):
        head = _last_head(context_head, "rule_based")
        s = self.settings
        return rule_based.follow(gaze, fps, head, align, s.latency_s, s.threshold)


BASELINES: dict[str, type[Baseline]] = {
    "constant_head": ConstantHead,
    "hold_last": HoldLast,
    "mirror_gaze": MirrorGaze,
    "hinge": HingeHead,
    "ridge_fir": RidgeFIR,
    "ridge_from_last": RidgeFromLast,
    "rule_based": RuleBased,
}


def fit_baseline(name: str, motions: Iterable[Motion]) -> Baseline:
    """The named baseline of `BASELINES`, fitted.

    Raises:
      GazeheadError: there is none of that name, or as `Baseline.fit`.
    """
    if name not in BASELINES:
        raise GazeheadError(
            f"baseline must be one of {', '.join(BASELINES)}, got {name!r}."
        )
    return BASELINES[name].fit(motions)


def held_gaze(
    gaze: Float[Array, "t 2"], valid: Bool[Array, " t"]
) -> Float[np.ndarray, "t 2"]:
    """Gaze whose invalid frames repeat the last valid one (at the start, the first)."""
    gaze, valid = np.asarray(gaze, np.float64), np.asarray(valid, bool)
    require(
        bool(valid.any()),
        f"baseline: gaze must have a valid frame, got none of {len(valid)}.",
    )
    latest = np.maximum.accumulate(np.where(valid, np.arange(len(valid)), -1))
    held = gaze[np.where(latest < 0, np.argmax(valid), latest)]
    require(
        bool(np.isfinite(held).all()),
        "baseline: gaze must be finite at valid frames, got NaN or infinity.",
    )
    return held


def _last_head(context_head: np.ndarray, name: str) -> np.ndarray:
    """`[3]` the last head of the context, with roll 0 if it has none."""
    require(
        len(context_head) >= 1,
        f"{name} needs at least one frame of context_head, got none; give the head "
        "before the first frame or use constant_head.",
    )
    head = np.zeros(3)
    head[: context_head.shape[-1]] = context_head[-1]
    return head


def _frames(motions: Iterable[Motion], *, only_valid: bool = True):
    """(gaze, head, valid) in float64 of each motion that has a valid frame."""
    out = []
    for motion in motions:
        head = motion.require_head().astype(np.float64)
        if not motion.valid.any():
            continue
        gaze = held_gaze(motion.gaze, motion.valid)
        keep = motion.valid if only_valid else slice(None)
        out.append((gaze[keep], head[keep], motion.valid[keep]))
    require(
        bool(out) or not only_valid,
        "baseline: fitting needs at least one motion with a valid frame, got none.",
    )
    return out


def _delayed(gaze: np.ndarray, delays: np.ndarray) -> np.ndarray:
    """`[t, 2 · lags]` gaze(t - delay) for each delay; the ends repeat."""
    index = np.arange(len(gaze))[:, None] - delays
    return gaze[np.clip(index, 0, len(gaze) - 1)].reshape(len(gaze), -1)


def _ridge(xx: np.ndarray, xy: np.ndarray, penalties: np.ndarray) -> np.ndarray:
    """Weights of each output; the last feature is the constant, and goes free."""
    n = xx[-1, -1]
    mean_x, mean_y = xx[:-1, -1] / n, xy[-1] / n
    cov = xx[:-1, :-1] / n - np.outer(mean_x, mean_x)
    values, vectors = np.linalg.eigh(cov)
    values = np.maximum(values, 0)
    # The floor is for gaze that never moves: its weights are then zero.
    least = np.maximum(penalties * values.mean(), 1e-12)
    projected = vectors.T @ (xy[:-1] / n - np.outer(mean_x, mean_y))
    weights = vectors @ (projected / (values[:, None] + least))
    return np.concatenate([weights, (mean_y - mean_x @ weights)[None]])
