"""The natural model, trained on SGaze as well: people who sit and look about in VR.

Claim: more people help, also where the head is an integral of velocities without roll.

gazehead train --config ablations/with_sgaze --workdir runs/with_sgaze
"""

from gazehead_jax.config import Config, load_experiment, override


def get_config() -> Config:
    changes = {"data.also": ("eyehead_recordings/sgaze",)}
    return override(
        load_experiment("ablations/full"), {"name": "with_sgaze", **changes}
    )
