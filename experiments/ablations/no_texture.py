"""The natural model without the scores of acceleration and jerk.

Claim: pose, trajectory and velocity alone leave movement of the wrong texture.

gazehead train --config ablations/no_texture --workdir runs/no_texture
"""

from gazehead_jax.config import Config, load_experiment, override


def get_config() -> Config:
    changes = {"loss.smoothness": 0.0}
    return override(
        load_experiment("ablations/full"), {"name": "no_texture", **changes}
    )
