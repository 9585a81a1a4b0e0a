# make demo: set up and train on real reviews, ending in a report.   make test: set up and run every check.
PYTHON ?= python3
BIN := .venv/bin
DEMO := train,report,demo
TESTS := $(DEMO),transformer,explain,onnx,serve,remote,spreadsheet,cluster,hub,mlflow,track,docs,dev

# uv leaves bytecode to the first import; where none may be written, each process that imports torch takes 12 s in place of 4.
unexport PYTHONDONTWRITEBYTECODE

# uv installs in seconds what takes pip minutes. It ignores pip's settings, so pip's folder of wheels is passed to it. If uv is
# missing or fails, pip installs.
define install
UV_FIND_LINKS="$$PIP_FIND_LINKS" $(BIN)/uv pip install -q --python $(BIN)/python -c constraints.txt -e '.[$(1)]' \
	|| $(BIN)/pip install -q -c constraints.txt -e '.[$(1)]'
endef

.PHONY: setup demo report site static test test-avx2 check bench clean

setup: .venv/.tests

.venv/.made:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Plaudit needs Python 3.11 or newer; name one: make PYTHON=python3.12")'
	test -d .venv || $(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt uv || true
	touch $@

.venv/.demo: .venv/.made pyproject.toml constraints.txt
	$(call install,$(DEMO))
	touch $@

.venv/.tests: .venv/.made pyproject.toml constraints.txt
	$(call install,$(TESTS))
	touch .venv/.demo $@

demo: .venv/.demo
	$(BIN)/plaudit run quick --out runs/quick --resume
	@echo "open $(CURDIR)/runs/quick/report.html"

# The paper, as a page and as a PDF, from the committed results.
report: setup
	$(BIN)/python -m paper

# The documentation, into build/site; a warning of Sphinx is an error.
site: setup
	$(BIN)/sphinx-build -W --keep-going -q -n -E -b html docs build/site

# What needs no test to run.
static: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The fast checks: everything but the tests marked slow.
check: static
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 -m 'not slow'

# Every check, the README's commands included. Tests that start ranks use both cores each, so they run one after another.
test: static
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 --dist worksteal --ignore tests/distributed --ignore tests/test_slurm_local.py
	$(BIN)/pytest -q tests/distributed tests/test_slurm_local.py

# The tests of everything that computes, as on a processor that has only AVX2.
test-avx2: setup
	ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 NUMBA_CPU_NAME=haswell OMP_NUM_THREADS=1 \
		$(BIN)/pytest -q -n 2 -m 'not slow' tests/models tests/text tests/train tests/compress

# Needs a quiet machine and three hours; wrk and h2load for bench/serve; root for bench/distributed.py.
bench: setup
	$(call install,peers)
	$(BIN)/python bench/text_kernel.py
	$(BIN)/python bench/explain.py
	$(BIN)/python bench/lstm_runtime.py
	$(BIN)/python bench/train_lstm.py
	$(BIN)/python bench/busy_machine.py
	$(BIN)/python bench/peers.py
	$(BIN)/python bench/idle_ranks.py
	$(BIN)/python bench/kill_ranks.py
	$(BIN)/python bench/distributed.py
	$(BIN)/python bench/distributed_costs.py
	$(BIN)/python bench/cleaning.py --rows runs/cleaning.jsonl
	$(BIN)/python -m bench.serve
	$(BIN)/python -m bench.serve --overload
	$(BIN)/python bench/bulk.py --ray

clean:
	rm -rf .venv build dist runs .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
