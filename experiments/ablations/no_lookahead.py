"""The natural model that never sees gaze to come.

Claim: people plan head and eyes together; a head that only reacts comes late.

gazehead train --config ablations/no_lookahead --workdir runs/no_lookahead
"""

from gazehead_jax.config import Config, load_experiment, override


def get_config() -> Config:
    changes = {"model.lookahead": 0}
    return override(
        load_experiment("ablations/full"), {"name": "no_lookahead", **changes}
    )
