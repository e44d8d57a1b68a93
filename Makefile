# Two commands do everything on a fresh machine with Python, git and make: `make demo` and `make test`.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

.PHONY: demo test check lint types docs bench clean

demo: $(READY)        ## train ten PPO agents on CartPole-v1 and look at them
	@out=runs/demo-$$(date +%Y%m%d-%H%M%S) && \
	$(BIN)/relook train ppo --env CartPole-v1 --seeds 10 --steps 100000 --out $$out && \
	$(BIN)/relook plot $$out && \
	echo "Put .venv/bin on your path (. .venv/bin/activate) and try the commands of README.md, or:" && \
	echo "  relook show $$out" && \
	echo "  relook train ppo --env Pendulum-v1 --steps 300000" && \
	echo "  relook train ppo --help"

test: $(READY)        ## all tests, on two cores, with a thread each
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2

check: lint types test docs  ## what must hold before a change lands

lint: $(READY)        ## format and style
	$(BIN)/ruff format --check
	$(BIN)/ruff check

types: $(READY)       ## strict types
	$(BIN)/mypy

docs: $(READY)        ## the documentation names only what exists
	$(BIN)/python -m pytest -q tests/docs

bench: $(READY)       ## bit for bit, learning, speed and curves against Stable-Baselines3, planted bugs, kills (hours)
	$(BIN)/python -m benchmarks.bit_for_bit
	$(BIN)/python -m benchmarks.learning
	$(BIN)/python -m benchmarks.speed
	$(BIN)/python -m benchmarks.against_sb3
	$(BIN)/python -m benchmarks.planted_bugs
	$(BIN)/python -m benchmarks.kills
	$(BIN)/python -m benchmarks.surviving
	$(BIN)/python -m benchmarks.statistics
	$(BIN)/python -m benchmarks.grid_kills
	$(BIN)/python -m benchmarks.scheduling
	$(BIN)/python -m benchmarks.tuning
	$(BIN)/python -m benchmarks.ablation
	$(BIN)/python -m benchmarks.sensitivity train
	$(BIN)/python -m benchmarks.healthy
	$(BIN)/python -m benchmarks.watching
	$(BIN)/python -m benchmarks.zoo
	$(BIN)/python -m benchmarks.sutton_barto

clean:                ## remove the environment and caches; runs stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $(READY)
