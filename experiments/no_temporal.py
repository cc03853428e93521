r"""Ablation, the paper's "w/o temporal": every frame on its own, no GRU state, no context.

gazehead train --config experiments/no_temporal.py --workdir runs/no_temporal \
    --config.data.dataset=gazehead_sample/eye_tracker --config.train.steps=20000

10 to 20 min on two cores that also did other work (2026-11-22). Expect, on the test split,
a validation loss of 4.7, an angular error of 6.7° on average and 6.1° for the best
of 30, and a jerk three times the real one.
"""

import dataclasses

from gazehead_jax.config import Config, load_experiment


def get_config() -> Config:
    paper = load_experiment("paper")
    model = dataclasses.replace(paper.model, period=1, context=0)
    return dataclasses.replace(paper, name="no_temporal", model=model)
