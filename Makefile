# Every target makes its own environment in .venv; nothing but python3 (3.11 or newer) and make is needed.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready-dev
export XLA_PYTHON_CLIENT_PREALLOCATE ?= false

.PHONY: demo test lint bench bench-gpu clean
.DELETE_ON_ERROR:

$(VENV)/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "python3 is %d.%d, but 3.11 or newer is needed: make PYTHON=/path/to/python3.12 ..." % sys.version_info[:2])'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(READY): $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

$(VENV)/.ready-torch: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[torch]'
	@touch $@

demo: $(VENV)/.ready
	$(BIN)/iassf demo --output demo_output --overwrite

test: $(READY)
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Against PyTorch, about half an hour on two cores. BENCH='forward --only 256x256' measures less.
BENCH ?= all
bench: $(VENV)/.ready-torch
	$(BIN)/iassf bench $(BENCH) --output bench_output/bench.json --overwrite

# On a GPU: everything that was asked of its speed, and what of it is reached. NAME names the records.
NAME ?= gpu
bench-gpu: $(VENV)/.ready-torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[cuda13]'
	$(BIN)/python -m benchmarks.machine --name $(NAME)

clean:
	rm -rf $(VENV) demo_output bench_output .pytest_cache .mypy_cache .ruff_cache
