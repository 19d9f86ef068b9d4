# The targets of people and of .ci/run; all make their environment (.venv) first.
#   make demo   segment the sample image and show it     make test   all tests
#   make lint   style, types, rooms, manifest            make docs   the site
# Variables: PYTHON, TORCH_INDEX (see scripts/make_env.sh), TESTS (what `make test` runs).

# On Windows make runs in Git's bash, and an environment keeps its programs in Scripts.
BIN_FOLDER := $(if $(filter Windows_NT,$(OS)),Scripts,bin)
BIN := .venv/$(BIN_FOLDER)
VIRTUAL := scripts/xvfb.sh
TESTS ?= tests
# What needs no viewer: napari's own lower bound is tested by its makers.
LOWEST_TESTS := $(addprefix tests/,base data evaluation labels masks metrics models networks segmentation stains \
	synthesis tiling training)

# What the tests use of pytest's plugins, and no other: of a package that brings one pytest rewrites all modules, napari's
# too, whenever it starts. And sources that are compiled are not compiled by each command that a test starts.
PLUGINS := xdist.plugin,pytest_timeout,pytestqt.plugin,napari.utils._testsupport,npe2._pytest_plugin,_hypothesis_pytestplugin
PYTEST := PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 PYTEST_PLUGINS=$(PLUGINS) OMP_WAIT_POLICY=PASSIVE

export PYTHON TORCH_INDEX

.PHONY: help env libs demo test lowest lint docs architecture screenshots bench wheel try-wheel pin clean

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
	@$(BIN)/python -m compileall -q src
	@$(PYTEST) NAPARI_STRICT_QT=1 $(VIRTUAL) $(BIN)/python -m pytest -n auto --dist worksteal $(TESTS)

# The lower bounds of pyproject.toml, in an environment of their own.
lowest: env
	@ENV=.venv-lowest PINS="$$($(BIN)/python scripts/lowest.py)" scripts/make_env.sh
	OMP_WAIT_POLICY=PASSIVE .venv-lowest/$(BIN_FOLDER)/python -m pytest -n auto $(LOWEST_TESTS)

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

# The picture of the rooms, from the contracts and the imports of the code.
architecture: env
	$(BIN)/python scripts/draw_rooms.py

screenshots: libs
	$(VIRTUAL) $(BIN)/python scripts/screenshots.py
	$(VIRTUAL) $(BIN)/python scripts/tutorial_correct.py

bench: env
	$(BIN)/python benchmarks/run.py

wheel: env
	$(BIN)/python -m build
	$(BIN)/python scripts/check_wheel.py

# The wheel, installed by itself into an environment of its own, opens its docks.
try-wheel: libs
	@ENV=.venv-wheel WHEEL="$$(ls dist/*.whl | tail -n 1)" scripts/make_env.sh
	@cd dist && ../$(VIRTUAL) ../.venv-wheel/$(BIN_FOLDER)/python ../scripts/open_docks.py

pin: env
	$(BIN)/python scripts/pin.py

clean:
	rm -rf .venv .venv-lowest .venv-wheel build dist site
