"""The natural model trained on the plain error of one rollout.

Claim: the energy score is what makes samples differ as much as real heads do.

gazehead train --config ablations/plain_error --workdir runs/plain_error
"""

from gazehead_jax.config import Config, load_experiment, override


def get_config() -> Config:
    changes = {"loss.samples": 1}
    return override(
        load_experiment("ablations/full"), {"name": "plain_error", **changes}
    )
