# `make demo` and `make test` set everything up by themselves; they need Python 3.11 to 3.13 and make, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export MLFLOW_DISABLE_TELEMETRY := true
export BENTOML_DO_NOT_TRACK := true
# Without compiled files each process of the tests compiles every library anew: 9 of the 16 seconds its imports take.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test quick lint types layers house check fuzz docs audit sbom lock wheel bento clean

demo: $(VENV)/core.done
	$(BIN)/perennial demo

# Two processes run the tests, each on one core: threads that wait for a core burn it meanwhile.
test quick fuzz: export OMP_NUM_THREADS := 1
test quick fuzz: export OPENBLAS_NUM_THREADS := 1

test: $(VENV)/dev.done
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# What needs no browser, database, Spark or training of a model.
quick: $(VENV)/dev.done
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow"

check: lint types layers house

# The API against its description (Schemathesis), at length; `make test` tries some inputs a route.
ROLES ?= none admin sales scoped marketing mlops
fuzz: $(VENV)/dev.done
	for role in $(ROLES); do FUZZ_ROLE=$$role FUZZ_EXAMPLES=500 $(BIN)/python -m pytest -n 2 tests/serving/test_openapi.py || exit 1; done

lint: $(VENV)/dev.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev.done
	$(BIN)/mypy

layers: $(VENV)/dev.done
	$(BIN)/lint-imports

house: $(VENV)/dev.done
	PYTHONPATH=. $(BIN)/python .ci/house

wheel: $(VENV)/dev.done
	rm -rf dist && $(BIN)/python -m build --wheel --outdir dist .

bento: $(VENV)/dev.done
	$(BIN)/bentoml build

# The documentation site, into site/; a link or an anchor that leads nowhere fails it.
docs: $(VENV)/dev.done
	$(BIN)/python -m zensical build --strict --clean && rm -f site/generate.py

# Both fetch their tool, and the audit asks PyPI for known weaknesses: they need the internet.
audit: $(VENV)/dev.done
	$(BIN)/uvx pip-audit -r requirements.lock --require-hashes --disable-pip

sbom: $(VENV)/dev.done
	$(BIN)/uvx --from cyclonedx-bom cyclonedx-py requirements requirements.lock --of JSON -o sbom.json

lock: $(VENV)/dev.done
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-annotate --python-version 3.11 \
	  pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-annotate --python-version 3.11 \
	  --extra spark --extra postgres --extra salesforce --extra identity --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "Expected Python 3.11 to 3.13; found $$($(PYTHON) --version 2>&1). Install one and run: make PYTHON=python3.11 ..."; exit 2; }
	$(PYTHON) -m venv $(VENV)

# The locks name everything, so nothing is left to resolve (--no-deps). uv is several times as quick; where it can't be had or
# doesn't reach what pip is set up to reach, pip does it.
define install
{ { $(BIN)/python -m pip install -q uv && $(BIN)/uv pip install -q --python $(BIN)/python --no-deps --require-hashes -r $(1); } \
  || $(BIN)/python -m pip install -q --no-deps --require-hashes -r $(1); } \
&& $(BIN)/python -m pip install -q --no-deps -e .
endef

# A fully set-up developer's environment serves the demo too.
$(VENV)/core.done: requirements.lock pyproject.toml | $(VENV)/bin/python
	@test -e $(VENV)/dev.done || { echo "Installing Perennial into $(VENV) (once, some minutes)"; $(call install,requirements.lock); }
	touch $@

$(VENV)/dev.done: requirements-dev.lock pyproject.toml | $(VENV)/bin/python
	@echo "Installing Perennial and its development tools into $(VENV) (once, some minutes)"
	@$(call install,requirements-dev.lock)
	touch $@

clean:
	rm -rf $(VENV) .perennial dist build site sbom.json
