# Two commands do everything on a fresh machine with Python: make demo, make test.
PYTHON ?= python3
DEMO := .venv-demo
DEV := .venv

.PHONY: demo test lint clean

# Lean install, no framework. scikit-image only lends its public-domain portrait, so its own dependencies stay out.
demo: $(DEMO)/installed
	$(DEMO)/bin/fer-run --demo

test: $(DEV)/installed
	$(DEV)/bin/python -m pytest

lint: $(DEV)/installed
	$(DEV)/bin/ruff check .
	$(DEV)/bin/ruff format --check .
	$(DEV)/bin/mypy

$(DEMO)/installed: pyproject.toml hatch_build.py $(shell find runtime -name '*.py' -o -name '*.json')
	$(PYTHON) -m venv $(DEMO)
	$(DEMO)/bin/pip install --quiet ".[cpu]"
	$(DEMO)/bin/pip install --quiet --no-deps scikit-image
	touch $@

$(DEV)/installed: pyproject.toml hatch_build.py
	$(PYTHON) -m venv $(DEV)
	$(DEV)/bin/pip install --quiet -e ".[cpu,train,export,dev]"
	touch $@

clean:
	rm -rf $(DEMO) $(DEV) build dist

include weights.mk
