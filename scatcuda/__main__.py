"""``python -m scatcuda``: what was built and what this machine runs."""

from .config import show_config

if __name__ == "__main__":
    show_config()
