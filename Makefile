PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test book book-anew book-links format shipped-model

# Train a small GPT on tiny Shakespeare for about a minute, plot its loss, let it write a speech; then grade a
# small class.
demo: .venv/installed
	$(BIN)/course train shakespeare --size char-small --steps 500 --eval-every 100 --to runs/demo --overwrite
	$(BIN)/course generate "ROMEO:" --run runs/demo --seed 1
	$(BIN)/python -m grader.demo_class runs/class --overwrite
	$(BIN)/grader grade runs/class --to runs/grades --chapter ch3

test: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest

# The book as a site, build/book/index.html. Cells whose outputs are known are not run again; book-anew runs all.
book: .venv/installed
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --fresh-env --quiet -d build/book-doctrees course/book build/book

book-anew:
	rm -rf build/book build/book-doctrees build/book-outputs
	$(MAKE) book

# Links to other sites; the tests look at those within.
book-links: .venv/installed
	$(BIN)/python -m sphinx -b linkcheck --quiet -d build/book-doctrees course/book build/book-links

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
