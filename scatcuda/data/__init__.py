"""Images to classify.

    load("mnist")        -> Dataset: training and test images, labels, names of the classes
    available(), verify("mnist")  what is on this machine, and whether it is sound
    subset(y, n, seed)   -> indices of n images, the same number of each class

A `Dataset` comes from a name or a path (`load`), or from the reader of a format: `idx_dataset`
(MNIST's files), `cifar_dataset`, `npz_dataset`, `folder_dataset` (lazy `Images`, in directories and
archives), `digits_dataset` and `textures` (these ship with libraries).

A data file is not trusted: whatever is wrong with it becomes a `DataError` of one sentence, and
nothing in it is run. What is no regular file is not opened, and what would take more memory than
`file_budget()`, 2 GiB unless `set_file_budget` or SCATCUDA_FILE_BUDGET says otherwise, is not read.
"""

from .budget import file_budget, set_file_budget
from .catalog import Available, available, list_text, load
from .checks import Check, verify, verify_text
from .cifar import cifar_dataset
from .dataset import Dataset, Pairs, subset
from .embedded import digits, digits_dataset, textures
from .error import DataError
from .folder import folder_dataset
from .idx import idx_dataset, read_idx
from .images import Images, Source
from .npz import npz_dataset

__all__ = [
    "Available",
    "Check",
    "DataError",
    "Dataset",
    "Images",
    "Pairs",
    "Source",
    "available",
    "cifar_dataset",
    "digits",
    "digits_dataset",
    "file_budget",
    "folder_dataset",
    "idx_dataset",
    "list_text",
    "load",
    "npz_dataset",
    "read_idx",
    "set_file_budget",
    "subset",
    "textures",
    "verify",
    "verify_text",
]
