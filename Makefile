# Two commands do everything on a fresh machine: `make demo` and `make test`.
#   make demo                  add sound to the example clip
#   make demo CLIP=my.mp4      add sound to your clip
#   make test                  lint, type check and run the tests
# PYTHON=/path/to/python uses an environment you already have; nothing is installed into it.

CLIP ?= workflows/clips/example.mp4
OUT ?= out

ifdef PYTHON
  PY := $(PYTHON)
  CORE_ENV :=
  DEV_ENV :=
else
  PY := .venv/bin/python
  CORE_ENV := .venv/core.stamp
  DEV_ENV := .venv/dev.stamp
endif

.PHONY: demo test check e2e bench clean

demo: $(CORE_ENV)
	@$(PY) -m pavas_core foley "$(CLIP)" -o "$(OUT)/$(basename $(notdir $(CLIP)))_foley.mp4" \
		--physics-json "$(OUT)/$(basename $(notdir $(CLIP)))_physics.json"

test: check
	$(PY) -m pytest

check: $(DEV_ENV)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

# A real ComfyUI server: make e2e COMFYUI_DIR=/path/to/ComfyUI [COMFYUI_PYTHON=...]
e2e: $(DEV_ENV)
	$(PY) -m pytest tests/e2e -s

bench: $(CORE_ENV)
	$(PY) -m benchmarks.stages

.venv/bin/python:
	@echo "Creating .venv with $$(python3 --version)"
	python3 -m venv .venv

.venv/core.stamp: requirements/core.txt constraints.txt | .venv/bin/python
	@echo "Downloading the Python packages of requirements/core.txt from your package index (about 150 MB; no model weights)"
	.venv/bin/python -m pip install -q --disable-pip-version-check -r requirements/core.txt -c constraints.txt
	@touch $@

.venv/dev.stamp: requirements/dev.txt requirements/core.txt constraints.txt | .venv/bin/python
	@echo "Downloading the Python packages of requirements/dev.txt from your package index (PyTorch included: up to 3 GB on Linux; no model weights)"
	.venv/bin/python -m pip install -q --disable-pip-version-check -r requirements/dev.txt -c constraints.txt
	@touch $@ .venv/core.stamp

clean:
	rm -rf .venv out build dist .pytest_cache .mypy_cache .ruff_cache
