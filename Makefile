# Two commands do everything on a fresh machine with Python, git and make: `make demo` and `make test`.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

.PHONY: demo test check lint types docs bench clean

demo: $(READY)        ## train ten PPO agents on CartPole-v1 and look at them
	$(BIN)/relook demo

test: $(READY)        ## all tests, on two cores
	$(BIN)/python -m pytest -q -n 2

check: lint types test docs  ## what must hold before a change lands

lint: $(READY)        ## format and style
	$(BIN)/ruff format --check
	$(BIN)/ruff check

types: $(READY)       ## strict types
	$(BIN)/mypy

docs: $(READY)        ## the documentation names only what exists
	$(BIN)/python -m pytest -q tests/docs

bench: $(READY)       ## the longer learning runs and the bit-for-bit matrix (about an hour)
	$(BIN)/python -m benchmarks.bit_for_bit
	$(BIN)/python -m benchmarks.learning

clean:                ## remove the environment and caches; runs stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $(READY)
