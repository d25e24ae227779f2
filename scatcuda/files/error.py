"""What is raised for a data file that cannot be used."""


class DataError(Exception):
    """A data file that is missing or not what it should be: one sentence, with its path."""

    __module__ = "scatcuda.data"  # where users import it from
