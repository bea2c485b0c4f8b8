# One script holds the whole set-up; every target that needs it runs it first (well under a second when nothing changed).
PYTHON_IN_VENV := .venv/bin/python

# Without byte code every process compiles its imports anew: a start takes 20 seconds of processor time instead of 7.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo docs lint test test-all test-classic wheel clean

setup:
	@bash tools/misc/setup.sh

demo: setup
	MMDECOUPLE_SET_UP=1 $(PYTHON_IN_VENV) tools/demo.py $(ARGS)

# The documentation site, docs/_build/html/index.html. The first call installs its packages; later ones need no network.
docs: setup
	@$(PYTHON_IN_VENV) -c "import furo, myst_nb, sphinx_copybutton, sphinx_design" 2>/dev/null \
		|| $(PYTHON_IN_VENV) -m pip install --quiet -r requirements/docs.txt
	OMP_NUM_THREADS=1 $(PYTHON_IN_VENV) -m sphinx --fail-on-warning --keep-going --quiet -c docs \
		-d docs/_build/doctrees . docs/_build/html $(ARGS)

# What pre-commit checks, and the types of the rooms that other projects import.
lint: setup
	$(PYTHON_IN_VENV) -m ruff check .
	$(PYTHON_IN_VENV) -m ruff format --check .
	$(PYTHON_IN_VENV) -m mypy

# Two at a time, each on one thread: most tests are too small to use a second one.
test: setup
	OMP_NUM_THREADS=1 $(PYTHON_IN_VENV) -m pytest -n 2 --dist worksteal $(ARGS)

test-all: setup
	$(PYTHON_IN_VENV) -m pytest -m "not cuda" $(ARGS)

# The same tests with the original OpenMMLab packages and torch 2.1, on Python 3.10, in an environment of its own.
test-classic:
	@STACK=classic bash tools/misc/setup.sh
	OMP_NUM_THREADS=1 .venv-classic/bin/python -m pytest $(ARGS)

wheel: setup
	$(PYTHON_IN_VENV) -m pip wheel --no-deps --no-build-isolation -w dist .

clean:
	rm -rf build dist docs/_build .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find mmdecouple tools tests configs -name __pycache__ -type d -prune -exec rm -rf {} +
