"""Networks of PyTorch: on images, and on scattering coefficients."""
