"""
Digits from ten examples a class
================================

Where there is little to learn from, fixed features pay. Scikit-learn's digits, a ridge and the
nearest affine space of each class, on pixels and on scattering coefficients, by the number of
training images a class.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.pipeline import make_pipeline

from scatcuda.data import digits
from scatcuda.draw.style import BLUE, PALE, STYLE
from scatcuda.learn import PCAAffineClassifier, RidgeClassifier, ScatteringTransformer, Standardizer

plt.rcParams.update(STYLE)

x, y = (t.numpy() for t in digits(16))
S = ScatteringTransformer(J=2).fit_transform(x)  # once for all that follows
pixels = x.reshape(len(x), -1)

# %%
# Of three random choices of training images each, the share of the others that is told right. The
# ridge gains from scattering at once. Affine spaces through all training images of a class want a
# few more there, and still gain where on pixels they have as many dimensions as the images.

sizes = (2, 5, 10, 20, 40)
models = {
    "ridge": lambda: make_pipeline(Standardizer(), RidgeClassifier()),
    "affine spaces": lambda: PCAAffineClassifier("all"),
}


def accuracy(model, features, size, seed):
    """Trained on ``size`` images of each class, tested on all others."""
    order = np.random.default_rng(seed).permutation(len(y))
    train = np.concatenate([order[y[order] == k][:size] for k in range(10)])
    test = np.setdiff1d(order, train)
    return model().fit(features[train], y[train]).score(features[test], y[test])


figure, axes = plt.subplots(1, 2, figsize=(9, 4), sharey=True, layout="constrained")
for axis, (name, model) in zip(axes, models.items(), strict=True):
    for features, kind, colour in ((pixels, "pixels", PALE), (S, "scattering", BLUE)):
        found = 100 * np.array([[accuracy(model, features, n, s) for n in sizes] for s in range(3)])
        axis.plot(sizes, found.mean(0), "o-", color=colour, linewidth=2, label=kind)
        axis.fill_between(sizes, found.min(0), found.max(0), color=colour, alpha=0.2, lw=0)
        if kind == "scattering":
            print(f"{name}, 10 a class: {found[:, sizes.index(10)].mean():.1f} % right")
    axis.set(title=name.capitalize(), xlabel="training images a class", xscale="log")
    axis.set_xticks(sizes, map(str, sizes))
    axis.minorticks_off()
    axis.grid(axis="y", color="0.92")
    axis.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("per cent right")
axes[0].legend(frameon=False, loc="lower right")
plt.show()
