# The habits of this house. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PROMPT ?= 你好,介绍一下你自己
RUN_DIR ?= var/run
SOCKET ?= $(RUN_DIR)/autoglmd.sock
SOURCES := daemon clients tests benchmarks models
STUBS := clients/python/openglm/v1
PROTOC := $(BIN)/python -m grpc_tools.protoc -Iproto

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev setup-build run serve test test-build test-systemd check lint types imports proto proto-check docs docs-check \
	glm-small eval bench wheel test-wheel clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(VENV)/.run ## create the environment and install what running needs
setup-dev: $(VENV)/.dev ## and what testing needs
setup-build: $(VENV)/.build ## and what making models needs (torch; gigabytes)

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml | $(BIN)/python
	@echo "installing autoglmd into $(VENV) ..."
	$(PIP) install -e .
	@touch $@

$(VENV)/.dev: pyproject.toml $(VENV)/.run
	@echo "installing the test tools ..."
	$(PIP) install -e '.[dev]'
	@touch $@

$(VENV)/.build: pyproject.toml $(VENV)/.dev
	@echo "installing the tools that make models ..."
	$(PIP) install -e '.[build,dev]'
	@touch $@

# A daemon of its own in a private folder, one question, and a clean stop. Whoever ends first of the daemon and the
# one that waits for it decides how it goes on.
run: $(VENV)/.run ## start the daemon, stream one answer (PROMPT="..."), stop
	@dir=$$(mktemp -d); log=$$dir/log; \
	$(BIN)/autoglmd serve --socket $$dir/s --state-dir var/state --log-format text 2> $$log & daemon=$$!; \
	trap 'kill $$daemon 2> /dev/null || true; wait; rm -rf $$dir' EXIT; \
	$(BIN)/autoglmctl --socket $$dir/s status --wait 120 > /dev/null & ready=$$!; \
	wait -n $$daemon $$ready || { kill $$ready 2> /dev/null || true; cat $$log; exit 1; }; \
	echo "> $$PROMPT"; \
	$(BIN)/autoglmctl --socket $$dir/s generate --stats -- "$$PROMPT"; \
	kill -TERM $$daemon; wait $$daemon

run: override export PROMPT := $(value PROMPT)

serve: $(VENV)/.run ## keep the daemon in the foreground
	@mkdir -p $(RUN_DIR)
	$(BIN)/autoglmd serve --socket $(SOCKET) --state-dir var/state --log-format text

test: $(VENV)/.dev ## every test but those that need the [build] extra or a systemd of their own
	$(BIN)/python -m pytest -m "not build and not systemd"

test-build: $(VENV)/.build ## the tests that need the [build] extra
	$(BIN)/python -m pytest -m build

test-systemd: wheel ## the service under a real systemd (root; Debian's systemd-container and mmdebstrap)
	$(BIN)/python -m pytest -m systemd

check: lint types imports proto-check docs-check ## everything that needs no running

lint: $(VENV)/.dev
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)

types: $(VENV)/.dev
	$(BIN)/mypy daemon/autoglmd clients/python/openglm clients/cli/autoglmctl benchmarks tests/support

imports: $(VENV)/.dev
	$(BIN)/lint-imports

proto: $(VENV)/.dev ## make the gRPC stubs anew
	$(PROTOC) --python_out=clients/python --pyi_out=clients/python --grpc_python_out=clients/python proto/openglm/v1/*.proto

proto-check: $(VENV)/.dev
	@fresh=$$(mktemp -d); trap 'rm -rf $$fresh' EXIT; \
	$(PROTOC) --python_out=$$fresh --pyi_out=$$fresh --grpc_python_out=$$fresh proto/openglm/v1/*.proto; \
	diff -r -x __pycache__ -x __init__.py $$fresh/openglm/v1 $(STUBS) || { echo "stubs are stale: make proto"; exit 1; }

docs: $(VENV)/.dev ## make the references of the configuration, the API and the command anew
	$(BIN)/python -m docs.generate_configuration > docs/configuration.md
	$(BIN)/python -m docs.generate_api > docs/api.md
	$(BIN)/python -m autoglmctl.manpage > docs/man/autoglmctl.1

docs-check: $(VENV)/.dev
	@$(BIN)/python -m docs.generate_configuration | diff - docs/configuration.md || { echo "stale: make docs"; exit 1; }
	@$(BIN)/python -m docs.generate_api | diff - docs/api.md || { echo "stale: make docs"; exit 1; }

glm-small: $(VENV)/.build ## train the embedded model anew (up to two hours) and measure it
	$(BIN)/python -m models.glm_small.train build-out/glm-small
	$(BIN)/python -m models.glm_small.calibration build-out/glm-small.txt
	rm -rf build-out/glm-small-int8
	$(BIN)/autoglmctl model build build-out/glm-small build-out/glm-small-int8 --scheme groups \
		--calibration build-out/glm-small.txt
	$(BIN)/python -m models.glm_small.evaluate --checkpoint build-out/glm-small --bundle build-out/glm-small-int8

eval: $(VENV)/.run ## measure glm-small on its held-out set
	$(BIN)/python -m models.glm_small.evaluate

bench: $(VENV)-bench/.done $(VENV)-peers/.done ## measure against the peers; writes docs/benchmarks/ (hours; BENCH="--quick")
	$(VENV)-bench/bin/python -m benchmarks --peers-python $(VENV)-peers/bin/python $(BENCH)

$(VENV)-bench/.done: pyproject.toml
	$(PYTHON) -m venv $(VENV)-bench
	$(VENV)-bench/bin/python -m pip --quiet install -e '.[build]' matplotlib
	@touch $@

# Apart from ours, because optimum-intel exports Glm with transformers up to 5.0 and onnxruntime-genai's builder needs a
# later one. optimum-intel's own requirements would bring torchvision, which no language model needs.
$(VENV)-peers/.done: benchmarks/peers.txt benchmarks/gcc12_amx.h
	$(PYTHON) -m venv $(VENV)-peers
	$(VENV)-peers/bin/python -m pip --quiet install -r benchmarks/peers.txt
	$(VENV)-peers/bin/python -m pip --quiet install --no-deps optimum-intel==2.2.0 optimum==2.3.0
	CMAKE_ARGS="-DGGML_NATIVE=ON -DCMAKE_CXX_FLAGS='-include $(CURDIR)/benchmarks/gcc12_amx.h'" \
		$(VENV)-peers/bin/python -m pip install --no-binary llama-cpp-python llama-cpp-python==0.3.36
	@touch $@

wheel: $(VENV)/.dev ## build dist/*.whl
	$(PIP) install build
	rm -rf dist
	$(BIN)/python -m build --wheel

test-wheel: wheel ## install the wheel where nothing else is, and let it answer
	@folder=$$(mktemp -d); trap 'rm -rf $$folder' EXIT; \
	$(PYTHON) -m venv $$folder/venv; \
	$$folder/venv/bin/python -m pip --disable-pip-version-check --quiet install dist/*.whl; \
	cd $$folder; export XDG_CACHE_HOME=$$folder/cache; \
	$$folder/venv/bin/python -c 'from openglm import AutoGLM; print(AutoGLM().generate("你好,介绍一下你自己"))' | tee answer; \
	grep -q Open-AutoGLM answer

clean: ## remove what was made here
	rm -rf $(VENV) var dist build-out .pytest_cache .mypy_cache .ruff_cache
