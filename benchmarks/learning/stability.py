"""Stability: how far pixels, Fourier modulus, scattering and a CNN move with the image.

python -m benchmarks.learning.stability [--output DIR] [--data-dir DIR]
"""

from scatcuda.learn.analysis.stability import plot, stability, table

from .plotted import SETS, arguments, keep, some, trained

N, TESTED = 1000, 200


def main() -> None:
    args = arguments(__doc__ or "")
    texts, pictures = [], {}
    for name, title in SETS.items():
        x, y, test_x, _ = some(name, args.data_dir, N, TESTED)
        curves = stability(test_x, trained(x, y), J=3)
        note = f"{title}, {TESTED} test images; a residual network trained on {N} others"
        picture = f"stability-{name}.png"
        plot(curves, args.output / picture, note)
        pictures[picture] = f"Relative distances, {title}"
        texts.append(f"{note}\n\n{table(curves)}")
    keep(args.output, "stability", "Stability", "\n\n\n".join(texts), pictures)


if __name__ == "__main__":
    main()
