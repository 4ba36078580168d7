# Two commands do everything on a fresh machine: `make demo` and `make test`.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: install demo test check bench constraints clean

install: $(READY)

# uv goes to a folder of its own: this works without python3-venv and on a Python that pip may not change.
.uv/bin/uv: constraints.txt
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --upgrade --target .uv "$$(grep '^uv==' constraints.txt)"
	@touch $@

$(READY): .uv/bin/uv pyproject.toml constraints.txt
	.uv/bin/uv venv --quiet --allow-existing --python $(PYTHON) $(VENV)
	.uv/bin/uv pip install --quiet --python $(VENV) --constraint constraints.txt --editable '.[test]'
	@touch $@

demo: install
	$(BIN)/backproof demo

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: install check
	./tests/install-servers
	$(BIN)/python -X dev -m pytest

bench: install
	$(BIN)/python -m benchmarks $(ARGS)

constraints: .uv/bin/uv
	.uv/bin/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate --extra test \
	  --output-file constraints.txt pyproject.toml <(echo 'setuptools>=77') <(echo 'uv')

clean:
	rm -rf $(VENV) .uv build *.egg-info
