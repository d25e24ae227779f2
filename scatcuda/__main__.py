"""``python -m scatcuda``: what was built and what this machine runs. With a problem, as in
``python -m scatcuda --J 3 --shape 224 224 --device H100``: how the CUDA engine would run it."""

import argparse

import torch

from .config import GPUS, cuda_launch, show_config


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m scatcuda", description=__doc__)
    parser.add_argument("--J", type=int, help="number of scales")
    parser.add_argument("--shape", type=int, nargs=2, metavar=("M", "N"), help="size of the images")
    parser.add_argument("--L", type=int, default=8, help="number of angles")
    parser.add_argument("--max-order", type=int, default=2)
    parser.add_argument("--batch", type=int, default=128, help="number of images")
    parser.add_argument("--double", action="store_true", help="float64")
    parser.add_argument("--tier", default="auto", help="auto, general or fused")
    parser.add_argument("--workspace", type=int, help="bytes")
    parser.add_argument("--device", default="cuda", help=f"cuda, cuda:1 … or {', '.join(GPUS)}")
    given = vars(parser.parse_args())
    if given["J"] is None and given["shape"] is None:
        show_config()
        return
    if given["J"] is None or given["shape"] is None:
        parser.error("a problem has --J and --shape")
    given["dtype"] = torch.float64 if given.pop("double") else torch.float32
    try:
        print(cuda_launch(**given))
    except (RuntimeError, TypeError, ValueError) as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
