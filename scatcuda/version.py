"""Which version is installed."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("scatcuda")
except PackageNotFoundError:  # built in place, not installed
    __version__ = "0+unknown"
