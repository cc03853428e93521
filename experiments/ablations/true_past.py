"""The natural model trained on true heads, never on its own.

Claim: a model that is to feed on itself must be trained so.

gazehead train --config ablations/true_past --workdir runs/true_past
"""

from gazehead_jax.config import Config, load_experiment, override


def get_config() -> Config:
    changes = {"loss.self_feed": 0.0}
    return override(load_experiment("ablations/full"), {"name": "true_past", **changes})
