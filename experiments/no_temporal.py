r"""Ablation, the paper's "w/o temporal": every frame on its own, no GRU state, no context.

gazehead train --config experiments/no_temporal.py --workdir runs/no_temporal
"""

import dataclasses

from gazehead_jax.config import Config, load_experiment


def get_config() -> Config:
    paper = load_experiment("paper")
    model = dataclasses.replace(paper.model, period=1, context=0)
    return dataclasses.replace(paper, name="no_temporal", model=model)
