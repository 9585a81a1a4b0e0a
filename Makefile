# make demo: set up and train on real reviews, ending in a report.   make test: set up and run every check.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
EXTRAS := train,transformer,report,explain,onnx,serve,remote,cluster,hub,mlflow,track,demo,docs,dev

.PHONY: setup demo report site test check bench clean

setup: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Plaudit needs Python 3.11 or newer; name one: make PYTHON=python3.12")'
	test -d .venv || $(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt -e '.[$(EXTRAS)]'
	touch $@

demo: setup
	$(BIN)/plaudit run recipes/quick.toml --out runs/quick --resume
	@echo "open $(CURDIR)/runs/quick/report.html"

# The paper, as a page and as a PDF, from the committed results.
report: setup
	$(BIN)/plaudit report docs/results --out docs/results/imdb --excerpt-characters 0

# The documentation, into build/site; whatever Sphinx would warn of is an error.
site: setup
	$(BIN)/sphinx-build -W --keep-going -q -n -E -b html docs build/site

# The fast checks: everything but the tests marked slow.
check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 -m 'not slow'

# Every check, the README's commands included. The slow tests use both cores each, so they run one after another.
test: check
	$(BIN)/pytest -q -m slow

# Wants a quiet machine, three hours, wrk and h2load for bench/serve, and for bench/distributed.py root.
bench: setup
	$(BIN)/pip install -q -c constraints.txt -e '.[peers]'
	$(BIN)/python bench/text_kernel.py
	$(BIN)/python bench/explain.py
	$(BIN)/python bench/lstm_runtime.py
	$(BIN)/python bench/train_lstm.py
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
