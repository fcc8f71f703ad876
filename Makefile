# Two commands do everything on a fresh machine with Python: make demo, make test.
#   make demo        lean install in an environment of its own, reads a portrait, writes demo.jpg
#   make test        .venv with everything, then the tests: minutes on a CPU, no data needed
#   make lint        ruff, ruff format, mypy (strict)
#   make docs        the documentation as a site, in build/docs
#   make readme      the README's table of figures, anew from benchmarks/results
#   make coverage    which lines the tests reach, in build/coverage; processes that they start do not count
#   make hooks       ruff and mypy before each commit, by pre-commit
#   make dist        wheel and sdist in dist/, checked, and tried in an empty environment
#   make clean       remove environments and what was built
#   make help        this list
PYTHON ?= python3
DEMO := .venv-demo
DEV := .venv

.PHONY: demo test lint docs readme coverage hooks dist clean help

# Lean install, no framework. scikit-image only lends its public-domain portrait, so its own dependencies stay out.
demo: $(DEMO)/installed
	$(DEMO)/bin/fer-run --demo

test: $(DEV)/installed
	$(DEV)/bin/python -m pytest -n logical --maxprocesses 4 --dist worksteal

lint: $(DEV)/installed
	$(DEV)/bin/ruff check .
	$(DEV)/bin/ruff format --check .
	$(DEV)/bin/mypy

# A broken link, an unknown option or a figure that is not there is an error.
docs: $(DEV)/installed
	NO_MKDOCS_2_WARNING=1 $(DEV)/bin/mkdocs build --strict --quiet
	@echo "look at it: $(DEV)/bin/python -m http.server --directory build/docs"

readme: $(DEV)/installed
	$(DEV)/bin/python docs/hooks/readme.py

coverage: $(DEV)/installed
	$(DEV)/bin/python -m pytest --cov --cov-report=term:skip-covered --cov-report=html

hooks: $(DEV)/installed
	$(DEV)/bin/pre-commit install

# The wheel is built from the sdist, and must install and read faces without anything else of this folder.
dist: $(DEV)/installed
	rm -rf dist build/try
	$(DEV)/bin/python -m build
	$(DEV)/bin/twine check --strict dist/*
	$(PYTHON) -m venv build/try
	build/try/bin/pip install --quiet "$$(echo $(CURDIR)/dist/mien-*.whl)[cpu]"
	cd build/try && bin/fer-run --version && bin/fer-doctor && bin/python -c "import mien; mien.Recognizer()"

help:
	@sed -n 's/^\#   make /  make /p' $(MAKEFILE_LIST)

$(DEMO)/installed: pyproject.toml hatch_build.py $(shell find runtime -name '*.py' -o -name '*.json')
	$(PYTHON) -m venv $(DEMO)
	$(DEMO)/bin/pip install --quiet ".[cpu]"
	$(DEMO)/bin/pip install --quiet --no-deps scikit-image
	touch $@

$(DEV)/installed: pyproject.toml hatch_build.py
	$(PYTHON) -m venv $(DEV)
	$(DEV)/bin/pip install --quiet -e ".[cpu,train,export,dev,docs]"
	touch $@

clean:
	rm -rf $(DEMO) $(DEV) build dist

include weights.mk benchmarks.mk
