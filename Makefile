# `make run`: the default study.  `make test`: the tests, except the slow ones, which `make test-slow` runs.
# Each sets up .venv first, once. What only tests need is installed by the latter: Snakemake imports its plug-ins at
# every start, and that for Slurm takes as long as a third of Snakemake.
PYTHON ?= python3
VENV := .venv
PIP_OPTIONS ?=
PIP = $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_OPTIONS) --constraint constraints.txt
CORES ?= all
READY := $(VENV)/.ready
TESTS := $(VENV)/.ready-for-tests
DOCS := $(VENV)/.ready-for-docs

.PHONY: run test test-slow lint format docs picture tables lock clean

run: $(READY)
	$(VENV)/bin/snakemake --cores $(CORES)

# A file's tests run in one worker, so that what is made once for them is made once.
test: $(TESTS)
	$(VENV)/bin/python -m pytest -n 2 --dist loadfile -m "not slow"

test-slow: $(TESTS)
	$(VENV)/bin/python -m pytest -n 2 --dist loadfile -m slow

lint: $(TESTS)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/snakefmt --check Snakefile
	$(VENV)/bin/snakemake --lint 2>&1 | awk "$$LINTS"

# Snakemake's linter wants a conda environment for each rule. All of them run in the one that the Snakefile itself needs,
# and one named there would make every rule run again when it changes. So that is all that the linter may find.
define LINTS
/^Lints for/ { where = $$0 }
/^    \* / { found = 1 }
/^    \* / && !/Specify a conda environment/ { print where; print; wrong = 1 }
!/^ |^Lints for|^$$|^Using workflow/ { print }
END { exit wrong || !found }
endef
export LINTS

format: $(TESTS)
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .
	$(VENV)/bin/snakefmt Snakefile

# What is made from the types: config/README.md, config/schema.json and docs/validation.schema.json. Then the site, with
# the tutorial executed, to build/site/index.html; a warning is an error.
docs: $(DOCS)
	$(VENV)/bin/python -m pullback.config.reference config
	$(VENV)/bin/python -c "from pullback.validation.evidence import evidence_schema; print(evidence_schema(), end='')" > docs/validation.schema.json
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict

# The picture in the README, of the default study.
picture: run
	cp results/exercise/figures/sigma_theta.nominal.svg docs/figures/exercise.svg

# The tables of confidence intervals near folds, which the package carries.
tables: $(READY)
	$(VENV)/bin/python -m pullback.statistics.fold_construction

# Pin what is installed now.
lock: $(TESTS) $(DOCS)
	(head -1 constraints.txt; $(VENV)/bin/pip freeze --exclude-editable | sed 's/+cpu//') > constraints.txt.part
	mv constraints.txt.part constraints.txt

# The marker is written last, so that a set-up that was cut short is done again.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed, not " + sys.version.split()[0] + "; name one: make PYTHON=python3.12")'
	@echo "Setting up $(VENV), once; this takes a minute, or as long as torch takes to come"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) "pip>=25.1"  # the first that knows dependency groups
	@$(PIP) --editable .
	@touch $@

$(TESTS): $(READY)
	@echo "Adding to $(VENV) what the tests need"
	@$(PIP) --group test
	@touch $@

$(DOCS): $(READY)
	@echo "Adding to $(VENV) what the site needs"
	@$(PIP) --group docs
	@touch $@

clean:
	rm -rf $(VENV) .snakemake logs
