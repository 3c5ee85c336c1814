# `make demo`, `make test` and `make docs`. Each sets up .venv first; nothing else is needed but Python 3.10 or newer.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO ?= demo
# No Python is compiled at installation, so what is imported must be kept compiled: torch and timm take ten seconds more without.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test lint docs native dist-test arm64-test resolve-test lowest-device-test lowest-test gpu-check bundle-fixture install clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "weckd-edge needs Python 3.10 or newer; name one: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --editable '.[all,dev,docs]'
	touch $@

demo: install
	$(BIN)/weckd-edge data synth --out $(DEMO)/phantom
	$(BIN)/weckd-edge build --data $(DEMO)/phantom --target cpu --config docs/examples/demo.toml --out $(DEMO)/phantom-bundle

test: install lint docs
	$(BIN)/pytest -n 3
	$(MAKE) --jobs=2 --output-sync=target dist-test arm64-test resolve-test lowest-device-test

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The documentation site, into build/site. Any warning fails it: a broken link, a page that is not in the contents.
docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	$(BIN)/python docs/tools/check_site.py build/site

# Compiles the library for frames again, which an installation did once; needed after a change of its C sources.
native: install
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .

dist-test: install
	$(BIN)/python tests/dist_check.py

# Says why it is skipped where there is no apt with arm64 packages; ARM64=--required makes that a failure.
arm64-test: install
	$(BIN)/python tests/arm64_check.py $(ARM64)

# Each of these three says why it is skipped; CHECK=--required makes that a failure.
resolve-test: install
	$(BIN)/python tests/resolve_check.py $(CHECK)

lowest-device-test: install
	$(BIN)/python tests/lowest_versions_check.py --device $(CHECK)

# About 7 GB and ten minutes: before a release, and after a change of a floor in pyproject.toml.
lowest-test: install
	$(BIN)/python tests/lowest_versions_check.py $(CHECK)

# Everything that a GPU can tell, in eight minutes: benchmarks/gpu/README.md. DATA and WEIGHTS name folders, GPU other arguments.
gpu-check: install
	$(BIN)/python -m benchmarks.gpu.check $(if $(DATA),--data $(DATA)) $(if $(WEIGHTS),--weights $(WEIGHTS)) $(GPU)

# A bundle of the present format for tests of later readers; made anew only while the format was never released.
bundle-fixture: install
	PYTHONPATH=tests $(BIN)/python -m support.bundles.kept_bundle

clean:
	rm -rf $(VENV) $(DEMO) build dist *.egg-info
