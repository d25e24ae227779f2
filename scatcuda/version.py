"""Which version is installed."""

import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

try:
    __version__ = version("scatcuda")
except PackageNotFoundError:  # built in place, not installed: what the package's header says
    _header = Path(__file__).with_name("include") / "scatcuda/scatcuda.h"
    _found = (
        re.search(r'SCATCUDA_VERSION "(.*)"', _header.read_text()) if _header.exists() else None
    )
    __version__ = _found[1] if _found else "0+unknown"
