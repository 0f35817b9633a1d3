# Two commands on a fresh machine: `make audit` and `make test`. PYTHON is any CPython from 3.11 on.
PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.installed
RUN := $(VENV)/bin

.PHONY: audit test check real bench docs samples browser clean

audit: $(STAMP)
	$(RUN)/shoplm-audit run --model demo

test: $(STAMP)
	$(RUN)/pytest

check: $(STAMP)
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/mypy
	$(RUN)/lint-imports

# Everything that is long or reads real data and models.
real: $(STAMP)
	$(RUN)/pytest -m "slow or real_data" --timeout 3600

bench: $(STAMP)
	$(RUN)/python -m benchmarks

# The parts of the documentation that are made from the code.
docs: $(STAMP)
	$(RUN)/python docs/generate.py

# The sample reports, from recorded runs; a test holds the files to that.
samples: $(STAMP)
	$(RUN)/python reports/samples/make.py

# What the tests drive a real browser with; Chromium itself and Node have to be there. Without it those tests skip.
browser:
	npm install --prefix .browser --no-audit --no-fund --silent axe-core@4.14.1 puppeteer-core@24.43.1

# The environment is made again only when what it is made from has changed.
$(STAMP): pyproject.toml constraints.txt
	test -x $(RUN)/python || $(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) runs
