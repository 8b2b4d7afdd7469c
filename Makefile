# People, hooks and CI call the same targets. Everything they make stays in this folder.
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)
BIN := .venv/bin
READY := .venv/ready
EXTRAS := [dev]

.PHONY: run run-files repro test mutants lint format deps docs serve ui chat env

run: $(READY)  ## the main job: the whole loop on the built-in environment; what is up to date does not run again
	@$(BIN)/python -m flows.pipeline $(ARGS)

run-files: $(READY)  ## the whole loop on files: make run-files FILES="a.jsonl.gz b.txt" [BASE=checkpoint [PRESET=laptop]]
	@test -n "$(FILES)" || { echo 'name the files: make run-files FILES="a.jsonl.gz b.txt"' >&2; exit 1; }
	@$(if $(filter smollm2,$(BASE)),$(BIN)/python -m alignloop base smollm2 >/dev/null,true)
	@$(BIN)/python -m flows.pipeline --with configs/files.yaml --sources $(FILES) \
		$(if $(BASE),--base "$(if $(filter smollm2,$(BASE)),.cache/bases/smollm2,$(BASE))") $(if $(PRESET),--preset $(PRESET)) $(ARGS)

repro: $(READY)  ## the same by DVC alone
	@eval "$$($(BIN)/python -m alignloop.pipeline.environment)"; $(BIN)/python -m alignloop.pipeline.dvc_pipeline && dvc repro $(ARGS)

test: $(READY)
	@$(BIN)/python -m pytest -n 3 $(ARGS)

mutants: $(READY)  ## break the core's lines one by one and see a test fail: docs/mutants.md; make mutants ARGS="advantages kl_controller" for modules
	@$(BIN)/python -m benchmarks.mutants $(ARGS)

lint: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright --pythonpath $(BIN)/python
	@$(BIN)/lint-imports

format: $(READY)
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

deps: $(READY)  ## write the code that each stage imports into dvc.yaml
	@$(BIN)/python -m alignloop.pipeline.code_deps

docs: $(READY)  ## the site of these documents, in site/: open site/index.html
	@$(BIN)/python -m properdocs build --strict

serve ui: $(READY)  ## Prefect with a worker, MLflow and the labeling pages on loopback, until Ctrl-C
	@$(BIN)/python -m alignloop serve $(ARGS)

chat: $(READY)  ## the chat page and an OpenAI-compatible API of the champion, on loopback, until Ctrl-C
	@$(BIN)/python -m alignloop chat $(ARGS)

env: $(READY)

# start.pth: the environment's programs first in PATH, DVC's cache of this checkout, code compared without comments.
# The pinned pip resolves in half of the time of the one that Python 3.11 brings.
# What an interruption left (no pip, or the mark `installing`) is made anew.
$(READY): pyproject.toml constraints.txt alignloop/pipeline/start.pth
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or newer found: install one, or make PYTHON=/path/to/python3" >&2; exit 1; }
	@test ! -e .venv/installing && $(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	@touch .venv/installing
	@echo "installing into .venv (some minutes the first time)"
	@! grep -q '^pip==' constraints.txt || \
		$(BIN)/python -m pip install -qq --disable-pip-version-check --upgrade --constraint constraints.txt pip
	@$(BIN)/python alignloop/pipeline/install.py --constraint constraints.txt --editable ".$(EXTRAS)"
	@cp alignloop/pipeline/start.pth "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/alignloop-start.pth"
	@rm .venv/installing
	@touch $@
