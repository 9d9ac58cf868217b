PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test format shipped-model

# Train a small GPT on tiny Shakespeare for about a minute, plot its loss, let it write a speech; then grade a
# small class.
demo: .venv/installed
	$(BIN)/course train shakespeare --size char-small --steps 500 --eval-every 100 --to runs/demo --overwrite
	$(BIN)/course generate "ROMEO:" --run runs/demo --seed 1
	$(BIN)/python -m grader.demo_class runs/class
	$(BIN)/grader grade runs/class --to runs/grades --chapter ch3

test: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest

format: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev,grader]"
	touch $@

# The small model behind a bare `course generate`: half an hour on one core.
shipped-model: .venv/installed
	$(BIN)/course train shakespeare --size char-small --steps 8000 --threads 1 --to runs/shipped --overwrite
	$(BIN)/python -m course.ship_model runs/shipped
