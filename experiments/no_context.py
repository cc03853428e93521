r"""Ablation: windows of 12 frames that know nothing of the heads before them.

gazehead train --config experiments/no_context.py --workdir runs/no_context \
    --config.data.dataset=gazehead_sample/eye_tracker --config.train.steps=20000

10 to 20 min on two cores that also did other work (2026-11-22). Expect, on the test split,
a validation loss of 3.7, and an angular error of 8.4° on average and 3.8° for the
best of 30.
"""

import dataclasses

from gazehead_jax.config import Config, load_experiment


def get_config() -> Config:
    paper = load_experiment("paper")
    model = dataclasses.replace(paper.model, context=0)
    return dataclasses.replace(paper, name="no_context", model=model)
