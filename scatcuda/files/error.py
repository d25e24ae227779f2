"""What is raised for a data file that cannot be used."""


class DataError(Exception):
    """A data file that is missing or not what it should be: one sentence, with its path.

    Example:
        >>> import scatcuda.data
        >>> try:
        ...     scatcuda.data.load("/no/such/folder")
        ... except DataError as error:
        ...     print(error)
        /no/such/folder: ...
    """

    __module__ = "scatcuda.data"  # where users import it from
