# Everything a newcomer, a developer and CI run. `make` alone lists it.
#
# The first target that needs it builds .venv from pyproject.toml and constraints.txt; touching either brings it up to date.
# Where the wheels come from is pip's configuration, never this file's: constraints.txt says `torch==2.13.0`, and pip
# takes the CPU build of that release where its configuration offers one.

PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && command -v $$name && break; done)
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
OUT    ?= demo
TESTS  ?= tests
JOBS   ?= 2
# Benches with a target of their own: they take long, or need the network once.
ALONE  := $(patsubst %,tests/bench/bench_%.py,loader meta select select_toy train)

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help venv demo test test-slow check format bench bench-full bench-loader bench-meta bench-select bench-train constraints docs clean

help: ## Show this list
	@echo "usage: make TARGET"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r target text; do printf '%-14s %s\n' "$$target" "$$text"; done

venv: $(STAMP) ## Build .venv with everything in it (done by itself before any other target)

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "no Python >= 3.11 found; give one: make venv PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "building $(VENV): about 2 GB, a minute or more"
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --upgrade pip
	@$(BIN)/python -m pip install -qq -c constraints.txt -e '.[all,dev]'
	@touch $@

demo: $(STAMP) ## The whole path on made-up people, in some minutes; results in OUT (default: demo)
	$(BIN)/ehps demo --out $(OUT)

test: $(STAMP) ## Run the tests in JOBS processes (default 2; TESTS=path for some of them)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(TESTS)

test-slow: $(STAMP) ## Run the tests marked slow, which `make test` leaves out
	$(BIN)/python -m pytest -m slow $(TESTS)

check: $(STAMP) ## Lint, format, strict types, and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_architecture.py

format: $(STAMP) ## Put every file into the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP) ## Measure the hot paths; prints one table each
	@for module in $(filter-out $(ALONE),$(wildcard tests/bench/bench_*.py)); do \
		echo; OMP_NUM_THREADS=1 $(BIN)/python "$$module" || exit 1; done

bench-full: $(STAMP) ## Measure the catalog over 4.5 million people: 40 minutes, 20 GB of disk
	OMP_NUM_THREADS=1 $(BIN)/python tests/bench/bench_catalog.py --full

bench-select: $(STAMP) ## Judge the proposers in simulated worlds and by tiny trainings, 20 seeds: regret; 90 minutes, resumable
	OMP_NUM_THREADS=1 $(BIN)/python tests/bench/bench_select_toy.py --full --simulated

bench-loader: $(STAMP) ## The loader against webdataset, litdata and mosaicml-streaming, each in its own environment
	OMP_NUM_THREADS=1 $(BIN)/python tests/bench/bench_loader.py

bench-train: $(STAMP) ## Rates and memory of plain, meta and adaptation steps, as ratios
	OMP_NUM_THREADS=1 $(BIN)/python tests/bench/bench_train.py

bench-meta: $(STAMP) ## What test-time optimisation gains, by kind of training: three seeds, 90 minutes, resumable
	OMP_NUM_THREADS=1 $(BIN)/python tests/bench/bench_meta.py

constraints: $(STAMP) ## Write constraints.txt again from what is installed in .venv
	$(BIN)/python -m pip freeze --exclude-editable | sed -e 's/+cpu$$//' -e '/ @ /d' > $(VENV)/constraints.new
	mv $(VENV)/constraints.new constraints.txt
	@touch $(STAMP)

docs: $(STAMP) ## Write the generated parts of docs/ again
	$(BIN)/python -m pipelines.docs
	$(BIN)/python -m pipelines.query_page

clean: ## Remove .venv and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache *.egg-info
