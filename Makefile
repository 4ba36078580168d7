# Two commands do everything on a fresh machine: `make demo` and `make test`.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Where the environment forbids it, each of thousands of commands would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install demo test check bench sweep zoo screenshots constraints clean ui trouble

install: $(READY)

# uv goes to a folder of its own: this works without python3-venv and on a Python that pip may not change.
.uv/bin/uv: constraints.txt
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --upgrade --target .uv "$$(grep '^uv==' constraints.txt)"
	@touch $@

$(READY): .uv/bin/uv pyproject.toml constraints.txt
	.uv/bin/uv venv --quiet --allow-existing --python $(PYTHON) $(VENV)
	.uv/bin/uv pip install --quiet --python $(VENV) --constraint constraints.txt --editable '.[test]'
	@# Compiled once here, not by each of the first command's processes, nor for ever by users who may not write here.
	PREFECT_HOME=$(VENV)/prefect $(BIN)/python -c 'import prefect.server.api.server, flows.backup, deployments.demo.host'
	$(BIN)/python -m deployments.servers.prefect_database
	@touch $@

# The stock aws-encryption-cli pins an older SDK than ours: it has an environment of its own. Its constraints come from
#   printf 'aws-encryption-sdk-cli==4.3.0\nawscli\n' | .uv/bin/uv pip compile --universal --python-version 3.11 \
#     --no-header --no-annotate --output-file constraints-stock.txt -
# and are what `backproof kit` gives to its reader.
.venv-stock/.ready: .uv/bin/uv constraints-stock.txt
	.uv/bin/uv venv --quiet --allow-existing --python $(PYTHON) .venv-stock
	.uv/bin/uv pip install --quiet --python .venv-stock --requirement constraints-stock.txt
	@touch $@

demo: install
	$(BIN)/backproof demo

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: install check .venv-stock/.ready
	./tests/install-servers
	@# Three at a time, a file to each: much of a test is waiting for a server. Workers inherit the variable, not the
	@# option. Files begin in the order of tests/conftest.py, and not those first that have the most tests.
	PYTHONDEVMODE=1 TMPDIR=$$(./tests/temporary-folder) $(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

# What is clicked in a real browser, alone.
ui: install
	./tests/install-servers
	PYTHONDEVMODE=1 $(BIN)/python -m pytest tests/ui

# Some ten minutes in which all that can go away goes away, alone.
trouble: install
	./tests/install-servers
	PYTHONDEVMODE=1 $(BIN)/python -m pytest tests/integration/test_a_fleet_in_trouble.py

bench: install
	$(BIN)/python -m benchmarks $(ARGS)

# What the databases' own test suites leave behind, sent the whole way: needs their unpacked sources (docs/proving.md).
zoo: install
	@test -n "$(POSTGRESQL)$(MARIADB)" || { echo 'make zoo POSTGRESQL=folder-of-its-source, or MARIADB=…' >&2; exit 2; }
	$(if $(POSTGRESQL),$(BIN)/python -m tests.zoo.postgresql $(POSTGRESQL) $(ARGS))
	$(if $(MARIADB),$(BIN)/python -m tests.zoo.mariadb $(MARIADB) $(ARGS))

# Kill -9 at many moments of everything, such as ARGS='--engine mariadb --operation restore --moments 200'.
sweep: install
	./tests/install-servers
	$(BIN)/python -m tests.sweep $(ARGS)
	BACKPROOF_RECOVERY_MOMENTS=24 $(BIN)/python -m pytest tests/integration/test_recovery_killed.py

# The pictures of docs/ui.md, taken anew of the demo's servers; and that of a report, of the record it was taken of.
screenshots: install
	./tests/install-servers
	$(BIN)/python -m tests.ui.screenshots docs/screenshots
	$(BIN)/python -m tests.ui.report_picture docs/screenshots

constraints: .uv/bin/uv
	.uv/bin/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate --extra test \
	  --output-file constraints.txt pyproject.toml <(echo 'setuptools>=77') <(echo 'uv')

clean:
	rm -rf $(VENV) .venv-stock .uv build *.egg-info
