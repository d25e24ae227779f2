"""The transforms as PyTorch modules: ``Scattering2D``, and ``Cascade``, the formula with any ρ."""
