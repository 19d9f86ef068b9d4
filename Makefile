# The targets of people and of .ci/run; all make their environment (.venv) first.
#   make demo   segment the sample image and show it     make test   all tests
#   make lint   style, types, floors, manifest           make docs   the site
# Variables: PYTHON, TORCH_INDEX (see scripts/make_env.sh), TESTS (what `make test` runs).

BIN := .venv/bin
VIRTUAL := scripts/xvfb.sh
TESTS ?= tests

export PYTHON TORCH_INDEX

.PHONY: help env libs demo test lint docs screenshots bench wheel pin clean

help:
	@sed -n 's/^# \?//p' Makefile | head -n 4

env: .venv/.complete

.venv/.complete: pyproject.toml constraints.txt scripts/make_env.sh
	@scripts/make_env.sh

libs: env
	@scripts/system_libs.sh

# Without a display this draws in a virtual one, and leaves demo.png and demo-labels.tif.
demo: libs
	@$(BIN)/nucleigan demo

test: libs
	@NAPARI_STRICT_QT=1 OMP_WAIT_POLICY=PASSIVE $(VIRTUAL) $(BIN)/python -m pytest -n auto --dist worksteal $(TESTS)

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@cmp napari.yaml src/napari_nucleigan/napari.yaml
	@[ "$$(readlink napari.yaml)" = src/napari_nucleigan/napari.yaml ] || \
		{ echo "napari.yaml must be a link to src/napari_nucleigan/napari.yaml" >&2; exit 1; }
	$(BIN)/npe2 validate src/napari_nucleigan/napari.yaml

docs: env
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

screenshots: libs
	$(VIRTUAL) $(BIN)/python scripts/screenshots.py
	$(VIRTUAL) $(BIN)/python scripts/tutorial_correct.py

bench: env
	$(BIN)/python benchmarks/run.py

wheel: env
	$(BIN)/python -m build

pin: env
	$(BIN)/python scripts/pin.py

clean:
	rm -rf .venv build dist site
