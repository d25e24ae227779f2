"""Separation with depth: classes after each order of scattering and each layer of a CNN.

python -m benchmarks.learning.separation [--output DIR] [--data-dir DIR]
"""

from scatcuda.learn.analysis.separation import plot, separation, table

from .plotted import SETS, arguments, keep, some, trained

N, TESTED = 1000, 10_000


def main() -> None:
    args = arguments(__doc__ or "")
    texts, pictures = [], {}
    for name, title in SETS.items():
        x, y, test_x, test_y = some(name, args.data_dir, N, TESTED)
        rows = separation(x, y, test_x, test_y, trained(x, y), J=3 if name == "mnist" else 2)
        note = f"{title}, n = {N}, {TESTED} test images; a residual network trained on the same"
        picture = f"separation-{name}.png"
        plot(rows, args.output / picture, note)
        pictures[picture] = f"Accuracy and distances by depth, {title}"
        texts.append(f"{note}\n\n{table(rows)}")
    keep(args.output, "separation", "Separation with depth", "\n\n\n".join(texts), pictures)


if __name__ == "__main__":
    main()
