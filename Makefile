# Two commands on a bare machine: `make demo` and `make test`. Each makes its own .venv.
PYTHON ?= python3
BIN := .venv/bin
# `make test EXTRAS=dev,extract,parity` also runs what needs mediapipe, and compares the
# converted networks with PyTorch and OpenVINO.
EXTRAS ?= dev

.PHONY: demo test test-beam lint clean

demo: .venv/demo.stamp
	$(BIN)/gazehead demo --out out/demo

test: .venv/$(EXTRAS).stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -q -n 2

# Apache Beam asks for an older protobuf, hence an environment of its own.
test-beam: .venv-beam/stamp
	.venv-beam/bin/python -m pytest -q tests/test_beam.py

lint: .venv/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "gazehead_jax needs Python 3.11 or newer; this is $$($(PYTHON) -V). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/%.stamp: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[$*]'
	@touch $@

.venv-beam/stamp: setup.cfg pyproject.toml
	$(PYTHON) -m venv .venv-beam
	.venv-beam/bin/python -m pip install --quiet --disable-pip-version-check \
		-e '.[extract,beam]' 'pytest>=8' 'beartype>=0.20'
	@touch $@

clean:
	rm -rf .venv .venv-beam out build *.egg-info
