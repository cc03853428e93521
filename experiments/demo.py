"""What `gazehead demo` trains: a latent per frame at 30 fps, on real eye-tracker motion.

The settings of the next model, small: state carried without seams, a learned prior,
increments. 2,000 steps take well under two minutes on two cores.

  gazehead train --config experiments/demo.py --workdir runs/demo
"""

from gazehead_jax.config import (
    Config,
    DataConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    TrainConfig,
)


def get_config() -> Config:
    return Config(
        name="demo",
        data=DataConfig(
            dataset="gazehead_sample/eye_tracker", fps=30.0, horizon=30, stride=3
        ),
        model=ModelConfig(
            hidden=128,
            latent=16,
            head_dim=3,
            period=1,
            carry_state=True,
            prior="learned",
            increments=True,
        ),
        loss=LossConfig(beta_warmup_steps=500),
        optimizer=OptimizerConfig(learning_rate=2e-3, schedule="cosine"),
        train=TrainConfig(
            steps=2000, log_every=50, eval_every=250, checkpoint_every=250
        ),
    )
