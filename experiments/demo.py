"""placeholder"""

from gazehead_jax.config import Config


def get_config() -> Config:
    return Config(name="demo")
