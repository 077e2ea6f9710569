# Ringwheel. `make help` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
C_SOURCES := $(wildcard csrc/*/*.[ch])
SOURCES := setup.py pyproject.toml meson.build $(C_SOURCES) $(wildcard */*.pyx media/binding/*.pxi)
FUZZ_SECONDS ?= 60
FUZZ_MESSAGES ?= 1000000
FUZZ_CC ?= clang-14
LINTERS := ruff==0.17.5 mypy==2.4.1 clang-format==23.1.5
PJSUA2 := pjsua2-python==2.15.1.post1
# Tests in real time may fail on a machine that stands still: those that failed get a second run, one
# after the other. What fails then as well has failed.
AGAIN = $(BIN)/python -m pytest --last-failed --last-failed-no-failures none
# These wait, for sound, for timers and for other programs: four of them at once are little work for
# two cores. The others compute, and would take the processor from those in the middle of a call.
WAITING := tests/e2e tests/fault tests/interop
COMPUTE = -m 'not alone' $(WAITING:%=--ignore=%)
WAIT = -m 'not alone' $(WAITING)
PACKAGES := __init__.py py.typed media robot cli bench

.PHONY: help demo test c-test fuzz lint format bench dist clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

$(VENV)/built: $(SOURCES)
	@tools/bootstrap $(PYTHON)
	@echo "building Ringwheel in $(VENV) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/tested: $(SOURCES)
	@tools/bootstrap $(PYTHON)
	@tools/peers --build
	@echo "building Ringwheel and its tests in $(VENV) ..."
	@RINGWHEEL_TEST_BINDING=1 $(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test]'
	@$(BIN)/pip install --quiet --disable-pip-version-check --only-binary :all: '$(PJSUA2)' || \
	    echo "ringwheel: $(PJSUA2) has no wheel for this Python: its tests are skipped" >&2
	@touch $@ $(VENV)/built

demo: $(VENV)/built ## 200 real calls on loopback, checked packet by packet (under two minutes)
	@$(BIN)/ringwheel demo

test: $(VENV)/tested ## every test; installs peers where it may
	@tools/peers
	$(MAKE) c-test
	$(BIN)/python -m pytest $(COMPUTE) --numprocesses 2 --dist worksteal --durations 15 \
	    || $(AGAIN) $(COMPUTE)
	$(BIN)/python -m pytest $(WAIT) --numprocesses 4 --dist worksteal --durations 25 \
	    || $(AGAIN) $(WAIT)
	$(BIN)/python -m pytest -m alone || $(AGAIN) -m alone

c-test: $(VENV)/tested ## C tests under ASan and UBSan, and TSan for what threads share
	@test -d build/asan || $(BIN)/meson setup -Db_sanitize=address,undefined \
	    -Dbuildtype=debugoptimized build/asan >/dev/null
	@test -d build/tsan || $(BIN)/meson setup -Db_sanitize=thread -Db_lundef=false \
	    -Dbuildtype=debugoptimized build/tsan >/dev/null
	$(BIN)/meson test -C build/asan --quiet --print-errorlogs
	$(BIN)/meson test -C build/tsan --quiet --print-errorlogs --suite threads

fuzz: $(VENV)/tested ## libFuzzer for FUZZ_SECONDS each, then FUZZ_MESSAGES mutated datagrams
	@tools/peers --fuzz
	@test -d build/fuzz || CC=$(FUZZ_CC) $(BIN)/meson setup -Dfuzzers=true -Dtests=false \
	    -Db_sanitize=address,undefined -Db_lundef=false build/fuzz >/dev/null
	$(BIN)/meson compile -C build/fuzz
	@for fuzzer in build/fuzz/*_fuzz; do \
	    echo "$$fuzzer, $(FUZZ_SECONDS) s"; \
	    $$fuzzer -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 -verbosity=0 || exit 1; \
	done
	RINGWHEEL_FUZZ_MESSAGES=$(FUZZ_MESSAGES) $(BIN)/python -m pytest -q --timeout=1800 \
	    tests/unit/test_sip_mutations.py tests/vectors/test_rfc4475_ua.py

lint: $(VENV)/tested ## ruff, mypy --strict, clang-format
	@$(BIN)/pip install --quiet --disable-pip-version-check $(LINTERS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run --Werror $(C_SOURCES)
	@rm -rf build/typing && mkdir -p build/typing/ringwheel
	@for part in $(PACKAGES); do ln -s ../../../$$part build/typing/ringwheel/$$part; done
	MYPYPATH=build/typing $(BIN)/mypy -p ringwheel

format: ## put Python and C into shape
	$(BIN)/ruff check --fix --quiet . || true
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(C_SOURCES)

bench: $(VENV)/tested ## micro-benchmarks; `ringwheel bench --help` has the large ones
	$(BIN)/python -m pytest bench --benchmark-only

dist: ## sdist, and the wheel made from it
	@tools/bootstrap $(PYTHON)
	@$(BIN)/pip install --quiet --disable-pip-version-check build
	$(BIN)/python -m build

clean: ## forget everything that was built
	rm -rf build dist $(VENV) *.egg-info media/*.so bench/*.so *.so media/_core.c bench/_native.c
