"""Images that ship with libraries: scikit-learn's digits.

digits() -> x [1797, 32, 32] float32 in [0, 1], y [1797] int64
"""

from __future__ import annotations

import torch
from torch import Tensor


def digits(size: int = 32) -> tuple[Tensor, Tensor]:
    """Return scikit-learn's 1797 handwritten digits, enlarged to `size` x `size` pixels.

    The 8 x 8 images with grey levels 0 to 16 are divided by 16 and enlarged bilinearly.

    Args:
        size: side of the images in pixels, at least 1.
    Returns: Images ``[1797, size, size]``, float32 in [0, 1], and labels ``[1797]``, int64 0 to 9.
    Raises:
        TypeError, ValueError: ``size`` is no integer, or less than 1.
        ImportError: scikit-learn is not installed.
    Source: E. Alpaydin and C. Kaynak, "Optical recognition of handwritten digits", UCI Machine
    Learning Repository, 1998 (its test set).
    Example:
        >>> x, y = digits()
        >>> x.shape, x.dtype, y.unique().tolist()
        (torch.Size([1797, 32, 32]), torch.float32, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    """
    if isinstance(size, bool) or not isinstance(size, int):
        raise TypeError(f"digits: size must be an int, got {type(size).__name__}")
    if size < 1:
        raise ValueError(f"digits: size must be at least 1, got {size}")
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            "the digits ship with scikit-learn, which is not installed: pip install scikit-learn"
        ) from error
    packed = load_digits()
    x = torch.from_numpy(packed.images).to(torch.float32).div_(16)
    y = torch.from_numpy(packed.target).to(torch.int64)
    x = torch.nn.functional.interpolate(x[:, None], (size, size), mode="bilinear")[:, 0]
    return x.contiguous(), y
