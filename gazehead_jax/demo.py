"""`gazehead demo`: the whole pipeline, small, on the sequences that are shipped."""

import itertools
import time
from pathlib import Path

import numpy as np

from gazehead_jax import plots
from gazehead_jax.baselines import MirrorGaze
from gazehead_jax.build import load_split, summary
from gazehead_jax.checkpoint import load
from gazehead_jax.config import load_experiment
from gazehead_jax.errors import require
from gazehead_jax.evaluation import evaluate
from gazehead_jax.gaze_shifts import shifts_of
from gazehead_jax.motion import (
    Motion,
    angles_to_vector,
    as_seen_from,
    resample,
    vector_to_angles,
)
from gazehead_jax.motion_io import save_motion
from gazehead_jax.rendering import render_side_by_side
from gazehead_jax.sampling import sample
from gazehead_jax.tables import print_tables, save_tables
from gazehead_jax.training import train
from gazehead_jax.video import read_video, write_gif

SHIPPED = "natural"
CLIP_S = 12.0
SAMPLES = 30


def demo(out: str | Path = "out/demo", *, experiment: str = "demo") -> Path:
    """Trains a small model, samples from it and from the one that comes with the package,
    judges, plots and renders; a few minutes on two cores.

    Args:
      out: folder for everything that is made.
      experiment: name or file of the experiment to train.

    Returns:
      The folder.

    Raises:
      GazeheadError: the folder cannot be written or holds something else.
    """
    out = Path(out)
    require(
        not out.exists() or out.is_dir(),
        f"{out}: the demo needs a folder, and this is a file.",
    )
    say = _Steps(6)
    config = load_experiment(experiment)
    dataset, data_dir = config.data.dataset, out / "data"

    say("real sequences → TFDS dataset (ArrayRecord)")
    load_split(dataset, "train", data_dir)
    print(summary(dataset, data_dir))

    say(f"training experiments/{config.name}.py, {config.train.steps} steps")
    train(config, out / "model", data_dir=data_dir)
    models = {config.name: load(out / "model"), SHIPPED: load(SHIPPED)}

    say("gaze of a person never seen in training → head motion")
    context, clip = demo_clip(load_split(dataset, "test", data_dir))
    generated = {}
    for name, model in models.items():
        past = resample(context, model.config.data.fps)
        generated[name] = sample(model, clip, num_samples=SAMPLES, seed=0, context=past)
    mirrored = MirrorGaze().sample(
        clip.gaze, clip.valid, clip.fps, np.zeros((0, 3)), 1, 0
    )[0]
    motions = {"real": clip, "mirror_gaze": clip.replace(head=mirrored)}
    for name, made in generated.items():
        motions |= {f"{name}_{i}": motion for i, motion in enumerate(made[:3])}
    for name, motion in motions.items():
        for suffix in (".npz", ".csv"):
            print(save_motion(out / "motion" / f"{name}{suffix}", motion))

    say("judging on the test split, beside baselines and real heads")
    found = evaluate(models, dataset, "test", data_dir=data_dir, num_samples=SAMPLES)
    print_tables(found)
    save_tables(found, out / "metrics.json")

    say("plots")
    heads = np.stack([m.require_head() for m in generated[SHIPPED]])
    plots.plot_trajectories(clip, heads, out / "trajectories.png")
    tests = load_split(dataset, "test", data_dir)
    real = [tests[i] for i in range(len(tests))]
    shifts = {"real": shifts_of(real)}
    for name, model in models.items():
        shifts[name] = shifts_of([sample(model, m, seed=1)[0] for m in real])
    plots.plot_head_share(shifts, out / "head_share.png", settled_only=False)
    plots.plot_training(out / "model" / "log.jsonl", out / "training.png")
    for name in ("trajectories", "head_share", "training"):
        print(out / f"{name}.png")

    say("video: the same gaze with the real, two generated and a mirrored head")
    towards = middle(clip)
    panels = {
        "recorded head": clip,
        "model natural": generated[SHIPPED][0],
        "trained just now": generated[config.name][0],
        "head = gaze": motions["mirror_gaze"],
    }
    panels = {label: as_seen_from(m, towards) for label, m in panels.items()}
    print(render_side_by_side(panels, out / "demo.mp4"))
    # The second half at a fifth of the rate: under 3 MB, for web pages.
    frames = (frame for _, frame in read_video(out / "demo.mp4"))
    few = itertools.islice(frames, int(6 * clip.fps), None, 5)
    print(write_gif(out / "demo.gif", few, fps=clip.fps / 5))

    say.done()
    print(
        f"""
{out}/
  demo.mp4, .gif     watch this first: eyes lead, head follows
  metrics.json, .md  the tables above
  trajectories.png   {SAMPLES} heads of natural for one gaze, as a band
  head_share.png     how much of a gaze shift the head takes
  training.png       loss curves
  motion/            real, generated and mirrored heads, .npz (radians) and .csv (degrees)
  model/             the checkpoint of the small model

next:
  gazehead sample --gaze YOUR_GAZE.csv --num-samples 3 --out head.csv
  gazehead render --motion head_0.csv --out head.mp4
  gazehead train --config paper --workdir runs/paper"""
    )
    return out


def demo_clip(motions) -> tuple[Motion, Motion]:
    """The 12 s of a split in which the head turns most, after 1 s of context.

    Returns:
      The context and the clip.
    """
    best, most = None, -1.0
    for i in range(len(motions)):
        motion = motions[i]
        lead, length = round(motion.fps), round(CLIP_S * motion.fps)
        for start in range(lead, max(lead + 1, len(motion) - length + 1), lead):
            clip = motion[start : start + length]
            steps = np.abs(np.diff(clip.require_head()[:, 1]))
            turned = float(steps[clip.valid[1:] & clip.valid[:-1]].sum())
            known = motion.valid[start - lead : start].all()
            if known and clip.valid.mean() > 0.9 and turned > most:
                best, most = (motion[start - lead : start], clip), turned
    require(best is not None, "the split has no stretch that is valid enough to show.")
    return best


def middle(motion: Motion) -> np.ndarray:
    """The mean direction `[2]` of a motion's gaze: where to put a camera."""
    return vector_to_angles(angles_to_vector(motion.gaze[motion.valid]).mean(0))


class _Steps:
    """Numbered headings with the time that each step took."""

    def __init__(self, total: int):
        self._total, self._number = total, 0
        self._start = self._last = time.perf_counter()

    def __call__(self, what: str) -> None:
        self._finish()
        self._number += 1
        print(f"\n[{self._number}/{self._total}] {what}", flush=True)

    def _finish(self) -> None:
        now = time.perf_counter()
        if self._number:
            print(f"      … {now - self._last:.0f} s", flush=True)
        self._last = now

    def done(self) -> None:
        self._finish()
        print(f"\ndone in {time.perf_counter() - self._start:.0f} s.", flush=True)
