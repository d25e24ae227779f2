"""Images made from noise by a generator that inverts whitened scattering: Angles and Mallat, 2018.

python -m benchmarks.learning.generated [--output DIR] [--data-dir DIR]
"""

from __future__ import annotations

from torch import Tensor

from scatcuda.learn import GenerativeScattering
from scatcuda.learn.generative import draw_generated

from .plotted import arguments, keep, some

N, TESTED = 4000, 512
J, DIMS, WIDTH, EPOCHS = 3, 128, 32, 12


def told(model: GenerativeScattering, train: Tensor, test: Tensor) -> str:
    """Errors beside that of the mean image; how far samples, and test images, are from the nearest
    training image; whether embeddings are white."""
    samples = model.sample(len(test), seed=1)

    def apart(x: Tensor) -> float:
        return float((x - model.nearest(x)).flatten(1).norm(dim=1).mean())

    rows = {
        "mean |x - G(z(x))|, training": float((model.reconstruct(train) - train).abs().mean()),
        "mean |x - G(z(x))|, test": float((model.reconstruct(test) - test).abs().mean()),
        "mean |x - mean image|, test": float((train.mean(0) - test).abs().mean()),
        "distance to the nearest training image, samples": apart(samples),
        "distance to the nearest training image, test": apart(test),
        "variance of embeddings, test (white: 1)": float(model.embed(test).var(0).mean()),
    }
    return "\n".join(f"{name:<50}{value:8.4f}" for name, value in rows.items())


def main() -> None:
    args = arguments(__doc__ or "")
    x, _, test_x, _ = some("mnist", args.data_dir, N, TESTED)
    train, test = x.float() / 255, test_x.float() / 255
    model = GenerativeScattering(J, dims=DIMS, width=WIDTH, epochs=EPOCHS).fit(train)
    note = (
        f"MNIST, n = {len(train)}, {len(test)} test images, J = {J}, {DIMS} numbers an image, "
        f"{EPOCHS} epochs"
    )
    picture = "generated-mnist.png"
    draw_generated(model, test, args.output / picture, "Made from noise: MNIST")
    pictures = {picture: "Test images and inverses, samples, straight lines: MNIST"}
    text = f"{note}\n\n{told(model, train, test)}"
    keep(args.output, "generated", "Images made from noise", text, pictures)


if __name__ == "__main__":
    main()
