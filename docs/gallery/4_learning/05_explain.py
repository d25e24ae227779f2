"""
What a linear classifier decides by
===================================

The score of a linear classifier on scattering coefficients is a sum over them:
:func:`~scatcuda.learn.analysis.explain.contributions` takes it apart, exactly, by position, scale
and angle. :func:`~scatcuda.learn.analysis.explain.saliency` is the gradient of the score to the
pixels.
"""

import matplotlib.pyplot as plt
import torch
from sklearn.pipeline import make_pipeline

from scatcuda import Scattering2D
from scatcuda.data import digits
from scatcuda.draw.style import STYLE, shade
from scatcuda.learn import RidgeClassifier, ScatteringTransformer, Standardizer
from scatcuda.learn.analysis.explain import contributions, saliency

plt.rcParams.update(STYLE)

x, y = digits()
model = make_pipeline(ScatteringTransformer(J=2), Standardizer(), RidgeClassifier())
model.fit(x[:900], y[:900])
print(f"{100 * model.score(x[900:], y[900:]):.1f} % right")

# %%
# The same model as a function that PyTorch differentiates:

scattering = Scattering2D(2, (32, 32))
standardizer, ridge = model[1], model[2]


def scores(images):
    rows = scattering(images).flatten(1)
    rows = (rows - torch.as_tensor(standardizer.mean_)) / torch.as_tensor(standardizer.scale_)
    weights = torch.as_tensor(ridge.coef_).to(rows), torch.as_tensor(ridge.intercept_).to(rows)
    return rows @ weights[0].T + weights[1]


# %%
# Four digits, with what speaks for the class that was decided for (blue) and against it (red): over
# the positions, and by scale and angle of the first order; and the gradient at the pixels.

figure, axes = plt.subplots(4, 4, figsize=(8, 8.2), layout="constrained")
chosen = [900 + int((y[900:] == k).nonzero()[0]) for k in (2, 3, 4, 7)]
for column, n in zip(axes.T, chosen, strict=True):
    why = contributions(model, x[n])
    gradient = saliency(scores, x[n : n + 1], int(why.target), noise=0.1, samples=16)[0]
    column[0].imshow(x[n], cmap="gray_r")
    column[0].set_title(f"said to be {why.target}")
    for axis, values in zip(column[1:], (why.heat(), why.by_angle(), gradient), strict=True):
        shade(axis, values / values.abs().max(), "nearest")
    for axis in (column[0], column[1], column[3]):
        axis.set_aspect("equal")
    assert abs(why.base + float(why.parts.sum()) - why.score) < 1e-3
for axis in axes.flat:
    axis.set(xticks=[], yticks=[])
for axis, name in zip(axes[:, 0], ("image", "positions", "scale × angle", "pixels"), strict=True):
    axis.set_ylabel(name)
plt.show()
