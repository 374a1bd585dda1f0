# Two commands matter: `make quickstart` and `make test`. Both create .venv when it is missing and
# reuse it after that; it is installed again only when setup.py or constraints.txt change.
# ARGS is handed on: make test ARGS="tests/transfer -x"

VENV := .venv
BIN := $(VENV)/bin
# Byte code is made when a module is first used; for everything at once it takes a minute or two.
INSTALL := $(BIN)/python -m pip --disable-pip-version-check install --no-compile -c constraints.txt

# The newest supported Python found; override with make PYTHON=/path/to/python3.11
PYTHON ?= $(shell for python in python3.12 python3.11 python3.10 python3 python; do \
	$$python -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' \
	>/dev/null 2>&1 && { echo $$python; break; }; done)

# mmcv comes as source. Built in isolation, without torch, it compiles nothing, and dense_cl brings
# its operators; a setting of the user that lifts the isolation would start a compilation.
export MMCV_WITH_OPS := 0
unexport PIP_NO_BUILD_ISOLATION

.PHONY: help quickstart test test-slow lint format typecheck docs clean
.DELETE_ON_ERROR:
.NOTPARALLEL:

help:
	@echo "make quickstart  install, then scenes -> pretraining -> fine-tuning -> one HTML page"
	@echo "make test        install, then run the tests"
	@echo "make test-slow   the long tests: kill -9 and resume, broken folders, two processes"
	@echo "make lint        ruff, without changing files      make format  ruff, changing files"
	@echo "make typecheck   mypy                              make docs    HTML into site/"
	@echo "make clean       remove build products and caches; .venv and work_dirs/ stay"

quickstart: $(VENV)/.installed-base
	$(BIN)/dense-cl quickstart $(ARGS)

# One thread: the tests are small, and two cores are often shared.
test: $(VENV)/.installed-test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(ARGS)

test-slow: $(VENV)/.installed-test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow $(ARGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

typecheck: $(VENV)/.installed-dev
	$(BIN)/mypy

docs: $(VENV)/.installed-docs
	$(BIN)/mkdocs build --strict

clean:
	rm -rf build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find dense_cl tests configs tools benchmarks -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/.created:
	@test -n "$(PYTHON)" || { echo "error: no Python 3.10, 3.11 or 3.12 on the PATH." \
	"Install one, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "creating $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { echo "error: $(PYTHON) cannot create environments." \
	"On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@touch $@

# opencv-python (of mmcv) and opencv-python-headless (of albumentations) both unpack to cv2/. The
# last one counts, and only the headless one works without libGL, so it is laid on top.
$(VENV)/.installed-%: $(VENV)/.created setup.py constraints.txt
	$(INSTALL) -e ".$(if $(filter-out base,$*),[$*])"
	$(INSTALL) -q --force-reinstall --no-deps opencv-python-headless
	@touch $@
