"""
What a linear classifier decides by
===================================

The score of a linear classifier on scattering coefficients is a sum over them:
:func:`~scatcuda.learn.analysis.explain.contributions` takes it apart, exactly, by position, scale
and angle.
"""

import matplotlib.pyplot as plt
from sklearn.pipeline import make_pipeline

from scatcuda.data import digits
from scatcuda.draw.style import STYLE, shade
from scatcuda.learn import RidgeClassifier, ScatteringTransformer, Standardizer
from scatcuda.learn.analysis.explain import contributions

plt.rcParams.update(STYLE)

x, y = digits()
model = make_pipeline(ScatteringTransformer(J=2), Standardizer(), RidgeClassifier())
model.fit(x[:900], y[:900])
print(f"{100 * model.score(x[900:], y[900:]):.1f} % right")

# %%
# Four digits, with what speaks for the class that was decided for (blue) and against it (red): over
# the positions, and by scale and angle of the first order.

figure, axes = plt.subplots(3, 4, figsize=(8, 5.4), layout="constrained")
chosen = [900 + int((y[900:] == k).nonzero()[0]) for k in (2, 3, 4, 7)]
for column, n in zip(axes.T, chosen, strict=True):
    why = contributions(model, x[n])
    column[0].imshow(x[n], cmap="gray_r")
    column[0].set_title(f"said to be {why.target}")
    for axis, values in zip(column[1:], (why.heat(), why.by_angle()), strict=True):
        shade(axis, values / values.abs().max(), "nearest")
    column[1].set_aspect("equal")
for axis in axes.flat:
    axis.set(xticks=[], yticks=[])
for axis, name in zip(axes[:, 0], ("image", "positions", "scale × angle"), strict=True):
    axis.set_ylabel(name)
plt.show()

# %%
# The parts and the score of the mean training image sum to the score:

print(f"{why.base:.4f} + {float(why.parts.sum()):.4f} = {why.score:.4f}")
