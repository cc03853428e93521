"""The natural model, taught your own recordings: a minute or two of people like yours.

  gazehead train --config fine_tune --workdir runs/mine --config.data.dataset=DIR

DIR is a prepared dataset with train and validation people, see `gazehead build`.
"""

from gazehead_jax.config import Config, load_experiment, override


def get_config() -> Config:
    changes = {
        "name": "fine_tune",
        "data.dataset": "gazehead_sample/faces",
        "optimizer.learning_rate": 2e-4,
        "train.init": "natural",
        "train.steps": 500,
        "train.eval_every": 50,
        "train.checkpoint_every": 50,
        "train.log_every": 50,
    }
    return override(load_experiment("natural"), changes)
