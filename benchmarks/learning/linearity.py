"""Linearity: how much of a layer's change is linear in that of the image, scattering beside a CNN.

python -m benchmarks.learning.linearity [--output DIR] [--data-dir DIR]
"""

from scatcuda.learn.analysis.linearity import linearity, plot, table

from .plotted import SETS, arguments, keep, some, trained

N, TESTED = 1000, 100


def main() -> None:
    args = arguments(__doc__ or "")
    texts, pictures = [], {}
    for name, title in SETS.items():
        x, y, test_x, _ = some(name, args.data_dir, N, TESTED)
        rows = linearity(test_x, trained(x, y), J=3)
        note = f"{title}, {TESTED} test images; a residual network trained on {N} others"
        picture = f"linearity-{name}.png"
        plot(rows, args.output / picture, note)
        pictures[picture] = f"Linear share of changes, {title}"
        texts.append(f"{note}\n\n{table(rows)}")
    keep(args.output, "linearity", "Linearity", "\n\n\n".join(texts), pictures)


if __name__ == "__main__":
    main()
