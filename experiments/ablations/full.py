"""The natural model, trained for less long: what the other ablations are held against.

gazehead train --config ablations/full --workdir runs/full
"""

from gazehead_jax.config import Config, load_experiment, override


def get_config() -> Config:
    shorter = {"name": "full", "train.steps": 2000}
    return override(load_experiment("natural"), shorter)
