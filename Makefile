# make demo · make test · make check · make bench — each sets up .venv by itself.

PYTHON ?= python3
CORES ?= 2
BIN := .venv/bin
SNAKEMAKE := PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --cores $(CORES)
READY := .venv/.ready

.PHONY: setup demo test check bench lock

setup: $(READY)

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; ok = (3, 11) <= sys.version_info < (3, 13); ok or print("galr needs Python 3.11 or 3.12, found", sys.version.split()[0], "— say: make setup PYTHON=python3.12"); sys.exit(not ok)'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --requirement requirements.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

# The main job on the embedded dataset, offline; a second call does nothing but show the table.
demo: $(READY)
	$(SNAKEMAKE) --configfile config/demo.yaml -- results/demo/report.html
	@$(BIN)/galr show --metrics results/demo/metrics.csv --report results/demo/report.html

test: $(READY)
	PATH="$(CURDIR)/$(BIN):$$PATH" pytest

# What a change must pass besides the tests.
check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow
	PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --lint

bench: $(READY)
	for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done

# Renew requirements.txt from the ranges in pyproject.toml.
lock: $(READY)
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --generate-hashes \
		--extra dev --custom-compile-command "make lock" pyproject.toml --output-file requirements.txt
