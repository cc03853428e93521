"""The natural model trained on clean gaze.

Claim: noise in training buys robustness to estimators at little cost.

gazehead train --config ablations/clean_gaze --workdir runs/clean_gaze
"""

from gazehead_jax.config import Config, load_experiment, override


def get_config() -> Config:
    changes = {"loss.gaze_noise_deg": 0.0}
    return override(
        load_experiment("ablations/full"), {"name": "clean_gaze", **changes}
    )
