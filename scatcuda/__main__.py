"""``python -m scatcuda`` is the command ``scatcuda``."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
