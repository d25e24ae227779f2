"""Images and signals to classify::

    load("mnist")        -> Dataset: training and test images, labels, names of the classes
    available(), verify("mnist")  what is on this machine, and whether it is sound
    subset(y, n, seed)   -> indices of n images, the same number of each class

A `Dataset` comes from a name or a path (`load`), or from the reader of a format::

    idx_dataset      train-images-idx3-ubyte …        MNIST, Fashion-MNIST, KMNIST; `.gz` too
                     qmnist-train-images-idx3-ubyte   QMNIST
                     emnist-letters-train-images-…    EMNIST, six sets, turned upright
    cifar_dataset    data_batch_1.bin, data_batch_1   CIFAR-10, binary and Python version
                     train.bin, train                 CIFAR-100
    svhn_dataset     train_32x32.mat                  SVHN, cropped digits; needs SciPy
    stl10_dataset    train_X.bin                      STL-10, binary version
    npz_dataset      x.npz                            x_train, y_train, train_images, images, …
    csv_dataset      mnist_train.csv, train.csv       rows of a label and grey pixels; `.gz` too
    parquet_dataset  train-00000-of-00001.parquet     as Hugging Face has them, lazy `Images`;
                                                      needs PyArrow, the extra parquet
    ucr_dataset      NAME_TRAIN.ts, .tsv, .txt        time series of the UCR and UEA archives
    beats_dataset    100.hea, 100.dat, 100.atr        heartbeats of PhysioNet's WFDB records, as
                                                      MIT-BIH; needs wfdb, the extra wfdb
    audio_dataset    train/class/*.wav, 7_x.wav       lazy `Recordings` from WAV, FLAC, OGG; needs
                                                      soundfile, the extra audio
    folder_dataset   train/class/*.jpg, x.tar, x.zip  lazy `Images`, in directories and archives;
                                                      needs Pillow
    npz_dataset and csv_dataset take signals, too
    digits_dataset, textures                          ship with scikit-learn and scikit-image

`read_field` reads one image, map or signal: `.npy`, images, recordings.

Data sets are found by name, `load("mnist")`, under the names that archives and torchvision give
them: `MNIST/raw`, `EMNIST/raw`, `cifar-10-batches-py`, `stl10_binary`, `SVHN`; `load` has the rule.

A data file is not trusted: whatever is wrong with it becomes a `DataError` of one sentence, and
nothing in it is run. What is no regular file is not opened, and what would take more memory than
`file_budget()`, 2 GiB unless `set_file_budget` or SCATCUDA_FILE_BUDGET says otherwise, is not read.
"""

from ..files.budget import file_budget, set_file_budget
from ..files.error import DataError
from .catalog import Available, available, list_text, load
from .checks import Check, verify, verify_text
from .dataset import Dataset, Pairs, Signals, subset
from .embedded import digits, digits_dataset, textures
from .field import read_field
from .folders.audio import Recordings, audio_dataset, blocks
from .folders.folder import folder_dataset
from .folders.images import Images, Source
from .formats.cifar import cifar_dataset
from .formats.idx import idx_dataset, read_idx
from .formats.npz import npz_dataset
from .formats.parquet import parquet_dataset
from .formats.stl10 import stl10_dataset
from .formats.svhn import svhn_dataset
from .formats.table import csv_dataset
from .formats.ucr import ucr_dataset
from .formats.wfdb import beats_dataset

__all__ = [
    "Available",
    "Check",
    "DataError",
    "Dataset",
    "Images",
    "Pairs",
    "Recordings",
    "Signals",
    "Source",
    "audio_dataset",
    "available",
    "beats_dataset",
    "blocks",
    "cifar_dataset",
    "csv_dataset",
    "digits",
    "digits_dataset",
    "file_budget",
    "folder_dataset",
    "idx_dataset",
    "list_text",
    "load",
    "npz_dataset",
    "parquet_dataset",
    "read_field",
    "read_idx",
    "set_file_budget",
    "stl10_dataset",
    "subset",
    "svhn_dataset",
    "textures",
    "ucr_dataset",
    "verify",
    "verify_text",
]
