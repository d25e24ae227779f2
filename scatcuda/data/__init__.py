"""Images to classify.

    digits()      -> x [1797, 32, 32] float32 in [0, 1], y [1797] int64
    idx_dataset() -> training and test images [n, M, N] uint8 with labels [n] int64

A data file is not trusted: whatever is wrong with it becomes a `DataError` of one sentence, and
memory is never allocated from what its header says.
"""

from .embedded import digits
from .error import DataError
from .idx import idx_dataset, read_idx

__all__ = ["DataError", "digits", "idx_dataset", "read_idx"]
