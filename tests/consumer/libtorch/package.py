"""Scattering and a linear layer in one file, for programs without Python.

python package.py classifier.pt2
"""

import sys

import torch

from scatcuda import Scattering2D


def classifier() -> torch.nn.Module:
    """Stands for one that was trained."""
    torch.manual_seed(0)
    scattering = Scattering2D(J=2, shape=(32, 32), L=4)
    layers = scattering, torch.nn.Flatten(), torch.nn.Linear(25 * 8 * 8, 10)
    return torch.nn.Sequential(*layers).eval()


def package(model: torch.nn.Module, shape: tuple[int, ...], path: str) -> None:
    batch = ({0: torch.export.Dim("batch")},)  # any number of images
    with torch.no_grad():
        program = torch.export.export(model, (torch.rand(2, *shape),), dynamic_shapes=batch)
    torch._inductor.aoti_compile_and_package(program, package_path=path)


if __name__ == "__main__":
    package(classifier(), (32, 32), sys.argv[1])
