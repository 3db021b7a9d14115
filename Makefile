# The one entrance. `make demo` and `make test` are complete on a machine with Python 3.11, gcc and make.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test verify lint battery bench lab clean

demo: .venv/base.stamp          ## run the first scenario and show where its results are
	$(BIN)/meshsim run scenarios/retry-storm.yaml --out out/retry-storm

test: .venv/dev.stamp           ## style, types and the fast tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -m "not long"

verify: .venv/dev.stamp         ## the long verification: hundreds of generated scenarios, theory with tight intervals
	$(BIN)/pytest -m "long"

battery: .venv/dev.stamp        ## put the random generator through dieharder (Debian package)
	$(BIN)/python tests/benchmarks/battery.py

bench: .venv/dev.stamp          ## the benchmarks, one after the other
	for program in tests/benchmarks/bench_*.py; do $(BIN)/python $$program || exit 1; done

lab: .venv/base.stamp           ## JupyterLab with the lessons
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[lab]'
	$(BIN)/jupyter lab notebooks

.venv/base.stamp: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

.venv/dev.stamp: .venv/base.stamp
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf .venv out build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
