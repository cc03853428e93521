"""Does a model move heads as people do? A fixed list of goals, met or missed.

Each domain (dataset) is judged apart, on people that were not trained on, at the first
model's frame rate. Everyone counts alike: as many windows and as many seconds are taken
of each person, as far as there are so many.

  goal                      how                                           met if
  energy score              lead over the hardest rival, in windows       95 % interval > 0
  correlation               over that with another person's gaze          margin ≥ .25
  jerk, variance            ratio to real, in windows                     .8 … 1.25
  coverage                  real frames in the samples' 90 % interval     .85 … .95
  lag, head share,          curve over whole sequences within the band    all bins
    main sequence             of real people; see `bands`
  two-sample test           accuracy about 2 s windows of whole           ≤ .60
                              sequences; see `two_sample`

Correlation is that of angles, and of velocities, over the time of a window, averaged over
all samples and windows (not the best one); from it the same is taken off for heads made
from the same past for another person's gaze. Windows are 2.4 s after a true past; whole
sequences have a true past too, but then the model feeds on itself for as long as they
last.

Intervals are 95 %, over people drawn with replacement. With fewer than five people there
are none, and what needs one is left open; so are bands and the two-sample test.
"""

import dataclasses
import datetime
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import jax
import numpy as np

from gazehead_jax import averages, bands, goals, two_sample
from gazehead_jax.baselines import BASELINES, fit_baseline
from gazehead_jax.build import load_split
from gazehead_jax.checkpoint import Checkpoint, load
from gazehead_jax.config import Config
from gazehead_jax.coordination import COARSE_BELOW_FPS
from gazehead_jax.errors import require
from gazehead_jax.evaluation import (
    MIN_PEOPLE,
    WHOLE_SAMPLES,
    WINDOW_S,
    cut_windows,
    from_valid_context,
    other_windows,
    score_windows,
    write_json,
)
from gazehead_jax.motion import Motion, resample
from gazehead_jax.predictors import (
    Predictor,
    baseline_predictor,
    frames_before,
    model_predictor,
    predict_all,
)

WINDOWS_PER_PERSON = 25
SECONDS_PER_PERSON = 300.0
# What is left of a sequence that was cut to the seconds allowed.
_LEAST_S = 5.0


@dataclasses.dataclass(frozen=True, eq=False)
class Domain:
    """The card of one dataset.

    Attributes:
      about: dataset, split, counts.
      goals: method → its goals; real heads have none.
      rows: method → metric → value: those of `evaluation.score_windows`, the `margin_*`
        of the correlations, `inside_*` shares of bins, `accuracy`.
      bands: curve → the real people's band; empty if there is none.
      curves: method → curve → values.
    """

    about: Mapping
    goals: Mapping[str, Sequence[goals.Goal]]
    rows: Mapping[str, Mapping[str, float]]
    bands: Mapping[str, bands.Band]
    curves: Mapping[str, Mapping[str, np.ndarray]]


@dataclasses.dataclass(frozen=True, eq=False)
class Scorecard:
    """Domains by name, and the models that are judged (the first one above all)."""

    about: Mapping
    models: Sequence[str]
    domains: Mapping[str, Domain]

    def save(self, path: str | Path) -> Path:
        """Writes it as JSON; undefined numbers become null."""

        def plain(x):
            if isinstance(x, Mapping):
                return {k: plain(v) for k, v in x.items()}
            if isinstance(x, tuple | list):
                return [plain(v) for v in x]
            return x.tolist() if isinstance(x, np.ndarray) else x

        return write_json(plain(dataclasses.asdict(self)), path)


@dataclasses.dataclass(frozen=True, eq=False)
class Method:
    """Something that is judged: a model or a baseline.

    Attributes:
      predictor: makes its heads.
      channels: of the head that count, 2 or 3.
      deterministic: one sample tells all.
      model: the checkpoint, if it is one; two ways to use one are no rivals.
    """

    predictor: Predictor
    channels: int = 3
    deterministic: bool = False
    model: str = ""


def scorecard(
    checkpoints: Checkpoint | Mapping[str, Checkpoint],
    datasets: str | Sequence[str],
    split: str = "test",
    *,
    data_dir: str | Path | None = None,
    num_samples: int = 30,
    seed: int = 0,
    windows_per_person: int = WINDOWS_PER_PERSON,
    seconds_per_person: float = SECONDS_PER_PERSON,
    device: str | None = None,
    progress: Callable[[str], None] = lambda what: None,
) -> Scorecard:
    """Judges checkpoints and every baseline on each dataset.

    Args:
      checkpoints: the model, or several by name: the first sets the frame rate, others
        (a replica, ablations) may have another and are rivals to it.
      datasets: name or prepared directory, one a domain. Baselines are fitted to its
        train split.
      split: what to judge on.
      data_dir: where datasets are prepared.
      num_samples: K.
      seed: of samples, shuffling and the two-sample test.
      windows_per_person, seconds_per_person: at most so many of everyone.
      device: judge only people whose names begin so ("vr_objects:"), and fit the
        baselines without such people.
      progress: told what is about to be done.

    Raises:
      GazeheadError: too few windows, or unusable data.
    """
    if isinstance(checkpoints, Checkpoint):
        checkpoints = {checkpoints.name: checkpoints}
    datasets = [datasets] if isinstance(datasets, str | Path) else list(datasets)
    require(bool(checkpoints), "a scorecard needs at least one checkpoint, got none.")
    require(bool(datasets), "a scorecard needs at least one dataset, got none.")
    first = next(iter(checkpoints.values()))
    fps, d = first.config.data.fps, first.config.model.head_dim
    past = max(1, *(frames_before(c, fps) for c in checkpoints.values()))
    domains = {}
    for dataset in datasets:
        train, motions = (
            [resample(m, fps) for m in load_split(dataset, part, data_dir)]
            for part in ("train", split)
        )
        if device:
            train = [m for m in train if not m.subject.startswith(device)]
            motions = [m for m in motions if m.subject.startswith(device)]
            require(
                bool(motions),
                f"{dataset} {split}: nobody's name begins with {device!r}.",
            )
        methods = {}
        for name in BASELINES:
            progress(f"{dataset}: fitting {name}")
            baseline = fit_baseline(name, train)
            methods[name] = Method(
                baseline_predictor(baseline, d), d, baseline.deterministic
            )
        for name, c in checkpoints.items():
            channels = min(d, c.config.model.head_dim)
            methods[name] = Method(model_predictor(c, fps), channels, model=name)
            if c.config.model.lookahead:
                blind = model_predictor(c, fps, live=True)
                methods[f"{name} live"] = Method(blind, channels, model=name)
        domains[str(dataset)] = judge(
            methods,
            motions,
            past,
            num_samples=num_samples,
            seed=seed,
            windows_per_person=windows_per_person,
            seconds_per_person=seconds_per_person,
            progress=lambda what, dataset=dataset: progress(f"{dataset}: {what}"),
        )
    about = {
        "split": split,
        "device": device or "",
        "fps": fps,
        "num_samples": num_samples,
        "seed": seed,
        "head_dim": d,
        "trained_on": {n: c.config.data.dataset for n, c in checkpoints.items()},
        "date": datetime.date.today().isoformat(),
        "hardware": f"{jax.device_count()} × {jax.devices()[0].device_kind}",
    }
    return Scorecard(about, list(checkpoints), domains)


def leave_device_out(
    config: Config,
    device: str,
    workdir: str | Path,
    datasets: str | Sequence[str],
    split: str = "test",
    *,
    data_dir: str | Path | None = None,
    **options,
) -> Scorecard:
    """Trains an experiment without one device and judges it on that device's people.

    Args:
      config: the experiment. What it already leaves out stays out.
      device: how the names of its people begin ("vr_objects:").
      workdir: for the training, which goes on where it was broken off.
      datasets, split, data_dir: as in `scorecard`.
      **options: others of `scorecard`.

    Raises:
      GazeheadError: as training and `scorecard` do.
    """
    from gazehead_jax.training import train

    out = tuple(dict.fromkeys((*config.data.exclude, device)))
    config = dataclasses.replace(
        config, data=dataclasses.replace(config.data, exclude=out)
    )
    train(config, workdir, data_dir=data_dir)
    name = f"{config.name} without {device.rstrip(':')}"
    return scorecard(
        {name: load(workdir)},
        datasets,
        split,
        data_dir=data_dir,
        device=device,
        **options,
    )


def judge(
    methods: Mapping[str, Method],
    motions: Sequence[Motion],
    past: int,
    *,
    num_samples: int = 30,
    seed: int = 0,
    windows_per_person: int = WINDOWS_PER_PERSON,
    seconds_per_person: float = SECONDS_PER_PERSON,
    progress: Callable[[str], None] = lambda what: None,
) -> Domain:
    """The card of methods on motions of one rate, of which `past` frames are given."""
    fps = motions[0].fps
    length = max(2, round(WINDOW_S * fps))
    windows = list(cut_windows(motions, past, length))
    windows = [
        windows[i]
        for i in two_sample.evenly([w.subject for w in windows], windows_per_person)
    ]
    require(
        len(windows) >= 2,
        f"a scorecard needs at least two valid windows of {past} + {length} frames at "
        f"{fps:g} fps, got {len(windows)}.",
    )
    whole = _whole(motions, past, length, seconds_per_person)
    people = [w.subject for w in windows]
    about = {
        "people": len(set(people)),
        "windows": len(windows),
        "window_s": length / fps,
        "past_s": past / fps,
        "sequences": len(whole),
        "minutes": sum(m.duration_s for m in whole) / 60,
        "coarse": fps < COARSE_BELOW_FPS,
    }

    others = other_windows(windows, seed)
    scores = {}
    for name, method in methods.items():
        progress(f"windows of {name}")
        equal, d = method.deterministic, method.channels
        scores[name] = goals.with_margins(
            score_windows(
                method.predictor,
                windows,
                others,
                past,
                1 if equal else num_samples,
                seed,
                d,
                equal=equal,
            ),
            d,
        )
    wholes, bounds, floor = _whole_sequences(methods, whole, past, seed, progress)
    progress("intervals")
    rows, card = {}, {}
    for name in methods:
        rows[name] = averages.aggregate(scores[name]) | wholes[name].row
        enough = len(set(people)) >= MIN_PEOPLE
        intervals = averages.bootstrap(scores[name], people) if enough else {}
        card[name] = [
            goals.energy(name, _with_rivals(name, methods, scores), people),
            *goals.windows(rows[name], intervals, methods[name].channels),
            *goals.within_bands(rows[name], bounds, about),
            goals.accuracy(wholes[name].found, floor, about),
        ]
    rows["real"] = {
        "accuracy": floor.accuracy if floor else np.nan,
        "energy_score_deg": 0.0,
    }
    shown = {name: w.curves for name, w in wholes.items()}
    return Domain(about, card, rows, bounds, shown)


def _with_rivals(name, methods, scores) -> dict:
    """The scores of a method and of those that it is to beat."""
    model = methods[name].model
    return {
        other: found
        for other, found in scores.items()
        if other == name or not model or methods[other].model != model
    }


def _whole(motions, past, length, seconds) -> list[Motion]:
    """Up to so many seconds of each person, from places where the past is valid."""
    left: dict[str, float] = {}
    out = []
    # Spread over a person's sequences, whatever their order means.
    for i in np.random.default_rng(0).permutation(len(motions)):
        motion = from_valid_context(motions[i], past)
        room = left.setdefault(motion.subject, seconds)
        motion = motion[: past + max(1, round(room * motion.fps))]
        if len(motion) > past + length and motion.valid[past:].any():
            seconds_used = (len(motion) - past) / motion.fps
            if seconds_used < min(room, _LEAST_S):
                continue
            left[motion.subject] = room - seconds_used
            out.append(motion)
    return out


# --- whole sequences ---------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class _Whole:
    """What whole sequences tell of one method."""

    row: dict[str, float]
    curves: dict[str, np.ndarray]
    found: two_sample.TwoSample | None


def _whole_sequences(methods, motions, past, seed, progress):
    """Results by method (real included), bands, and the two-sample test's floor."""
    fps = motions[0].fps if motions else 0.0
    fine = fps >= COARSE_BELOW_FPS
    pasts, ahead = [m[:past] for m in motions], [m[past:] for m in motions]
    who = [m.subject for m in motions]
    enough = fine and len(set(who)) >= MIN_PEOPLE
    bounds, curves, real = {}, {}, None
    out, floor = {}, None
    # Which of the windows are compared: the same for all.
    windows = {
        d: [
            two_sample.windows_of(m.gaze, [m.require_head()[:, :d]], m.valid, fps)[0]
            for m in ahead
        ]
        for d in {method.channels for method in methods.values()}
    }
    counts = [len(w) for w in next(iter(windows.values()))] if motions else []
    people = np.repeat(who, counts).tolist() if motions else []
    keep = two_sample.evenly(people)
    people = [people[i] for i in keep]
    # The floor compares halves of a person's windows.
    in_halves = [person for person in set(people) if people.count(person) > 1]
    testable = fine and len(in_halves) >= 2
    if fine:
        progress("bands of real heads")
        real_heads = [m.require_head()[None, :, :2] for m in ahead]
        real = _cases(ahead, real_heads)
        curves = bands.curves(real)
        if enough:
            bounds = bands.bands(real, who, seed=seed)
    if testable:
        progress("two-sample test of real heads")
        most = windows[max(windows)]
        floor = two_sample.floor_test(np.concatenate(most)[keep], people, seed)
    out["real"] = _Whole({}, curves, floor)
    for name, method in methods.items():
        progress(f"whole sequences of {name}")
        k = 1 if method.deterministic else WHOLE_SAMPLES
        made = predict_all(method.predictor, pasts, ahead, k, seed)
        made = [heads[..., : method.channels] for heads in made]
        row, curves, found = {}, {}, None
        if fine and motions:
            curves = bands.curves(_cases(ahead, made))
            row = {f"inside_{c}": b.inside(curves[c]) for c, b in bounds.items()}
        if testable:
            generated = [
                two_sample.windows_of(m.gaze, [heads[i % k]], m.valid, fps)[0]
                for i, (m, heads) in enumerate(zip(ahead, made, strict=True))
            ]
            found = two_sample.two_sample_test(
                np.concatenate(windows[method.channels])[keep],
                np.concatenate(generated)[keep],
                people,
                seed,
            )
            row["accuracy"] = found.accuracy
        out[name] = _Whole(row, curves, found)
    return out, bounds, floor


def _cases(motions, made) -> list[bands.Cases]:
    return [
        bands.measure(m.gaze, heads, m.valid, m.fps)
        for m, heads in zip(motions, made, strict=True)
    ]
