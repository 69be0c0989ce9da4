# make demo · make test · make check · make docs · make bench — each sets up .venv by itself.

PYTHON ?= python3
CORES ?= 2
BIN := .venv/bin
SNAKEMAKE := PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --cores $(CORES)
READY := .venv/.ready
UV := .venv/uv/bin/uv
SUPPORTED := >=3.11,<3.14

.PHONY: setup demo test check docs bench lock

setup: $(READY)

# uv runs on any Python; it takes a supported one from the machine, or fetches one where there is none.
$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -m venv --clear .venv/uv && .venv/uv/bin/pip install --quiet --disable-pip-version-check uv
	@test -x $(BIN)/python || $(UV) venv --quiet --allow-existing --python '$(SUPPORTED)' .venv \
		|| { echo "galr needs Python 3.11, 3.12 or 3.13, and none could be found or fetched; install one, then: make setup" >&2; exit 1; }
	$(UV) pip install --quiet --python $(BIN)/python --requirement requirements.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

# The main job on the embedded dataset, offline; a second call does nothing but show the table.
# Jobs that are mostly start-up run side by side, a thread each.
demo: $(READY)
	$(SNAKEMAKE) --set-threads train=1 similarity=1 evaluate=1 --configfile config/demo.yaml -- results/demo/report.html

test: $(READY)
	PATH="$(CURDIR)/$(BIN):$$PATH" pytest

# What a change must pass besides the tests.
check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/lint-imports
	PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --lint

# The documentation as a site, in site/; a broken link or a name that does not exist is an error.
docs: $(READY)
	$(BIN)/mkdocs build --strict --quiet

bench: $(READY)
	for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done

# Renew requirements.txt from the ranges in pyproject.toml.
lock: $(READY)
	$(UV) pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --generate-hashes \
		--extra dev --custom-compile-command "make lock" pyproject.toml --output-file requirements.txt
