r"""The natural model that begins with one trained on simulated people.

Claim: what a simulator knows of coordination is a better start than chance.

gazehead train --config ablations/full --workdir runs/simulated \
    --config.name=simulated --config.data.dataset=gazehead_synthetic
gazehead train --config ablations/simulated_first --workdir runs/simulated_first \
    --config.train.init=runs/simulated
"""

from gazehead_jax.config import Config, load_experiment, override


def get_config() -> Config:
    changes = {"name": "simulated_first", "train.init": "runs/simulated"}
    return override(load_experiment("ablations/full"), changes)
