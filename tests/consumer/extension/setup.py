"""Another package with an operator of its own: ``pip install --no-build-isolation .``"""

from setuptools import setup
from torch.utils.cpp_extension import BuildExtension, CppExtension

setup(
    name="log_scattering",
    py_modules=["log_scattering"],
    install_requires=["scatcuda"],
    ext_modules=[CppExtension("_log_scattering", ["log_scattering.cpp"])],
    cmdclass={"build_ext": BuildExtension},
)
