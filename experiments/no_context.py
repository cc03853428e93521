r"""Ablation: windows of 12 frames that know nothing of the heads before them.

gazehead train --config experiments/no_context.py --workdir runs/no_context
"""

import dataclasses

from gazehead_jax.config import Config, load_experiment


def get_config() -> Config:
    paper = load_experiment("paper")
    model = dataclasses.replace(paper.model, context=0)
    return dataclasses.replace(paper, name="no_context", model=model)
