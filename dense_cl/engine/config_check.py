"""Find mistakes in a config before anything is built."""

from mmengine.config import Config


def check_config(cfg: Config) -> None:
    """Check."""
