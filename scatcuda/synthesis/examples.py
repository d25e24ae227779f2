"""Images that come with scikit-learn and scikit-image, to be reconstructed."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def examples(side: int = 64) -> list[tuple[str, Tensor]]:
    """A digit, a face, a texture and a photograph, ``[side, side]`` from 0 to 1.

    Raises: ImportError: scikit-image is not installed.
    Example:
        >>> [name for name, x in examples()], examples()[0][1].shape
        (['digit', 'face', 'texture', 'photograph'], torch.Size([64, 64]))
    """
    try:
        from skimage import data
        from skimage.color import rgb2gray
        from skimage.transform import resize
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError("the examples need scikit-image: pip install scikit-image") from error
    digit = load_digits().images[3] / 16
    face = rgb2gray(data.astronaut())[10:210, 130:330]
    texture, camera = data.brick()[:128, :128] / 255, data.camera() / 255
    named = {"digit": digit, "face": face, "texture": texture, "photograph": camera}
    return [
        (name, torch.from_numpy(resize(np.asarray(x), (side, side), anti_aliasing=True)).float())
        for name, x in named.items()
    ]
