# Two commands do everything: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test format clean

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed-%: pyproject.toml constraints.txt | $(VENV)/bin/python
	python -m pip install --quiet --constraint constraints.txt --editable '.[$*]'
	@touch $@

demo: $(VENV)/installed-train,offline
	emotions train --data sample --output runs/demo --epochs 10 --force
	emotions evaluate --model runs/demo --data sample --split test
	emotions predict --model runs/demo --format table \
	  "They lost my parcel again, third time this month!" \
	  "Mum kept every letter I ever wrote her. I love that woman." \
	  "The results come back on Friday and I can't sleep." \
	  "wait, you two KNOW each other??" \
	  "The bus to the station leaves at ten past nine."

test: $(VENV)/installed-dev
	ruff check .
	ruff format --check .
	mypy
	python -m pytest --cov --numprocesses auto --maxprocesses 4 --dist worksteal

format: $(VENV)/installed-dev
	ruff check --fix .
	ruff format .

clean:
	rm -rf $(VENV) build dist .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache
