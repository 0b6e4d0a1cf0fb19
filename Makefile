# Every target sets itself up. PYTHON chooses the interpreter, VENV the environment.
PYTHON ?= python3
VENV ?= .venv
TORCH ?= 2.13.0
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: setup check test bench demo

setup: $(READY)

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Sartor needs Python 3.11 or newer, and $(PYTHON) is older or missing. Fix: make PYTHON=python3.11 setup" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet torch==$(TORCH)
	$(BIN)/python -m pip install --quiet -e ".[dev]"
	@touch $@

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python tests/house.py
	$(BIN)/pytest tests/test_import_law.py tests/test_house.py tests/test_docs.py

# A test file is one process's, each with one thread, or they would wait for each other.
test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/pytest -n logical --maxprocesses 8 --dist loadfile

bench: $(READY)
	$(BIN)/python benchmarks/run.py

demo: $(READY)
	rm -rf runs/demo
	$(BIN)/sartor position example:docstrings --target label --budget 4m --out runs/demo
