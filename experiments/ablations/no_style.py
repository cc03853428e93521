"""The natural model without a style for each person.

Claim: people share gaze between eyes and head differently, each in the same way.

gazehead train --config ablations/no_style --workdir runs/no_style
"""

from gazehead_jax.config import Config, load_experiment, override


def get_config() -> Config:
    changes = {"model.style": 0}
    return override(load_experiment("ablations/full"), {"name": "no_style", **changes})
