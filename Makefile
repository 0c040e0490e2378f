# Every target makes the environment on first use; `make` alone lists them.
PYTHON ?= python3
BIN := .venv/bin
SOURCES := setup.py rsmtdf rsmtdf_core pipeline cli data_manifests docs tests

.PHONY: help demo test check format docs notebooks bench large-map experiment experiment-teachers demo-teacher pictures reliability clean

help:
	@echo "make demo    trains on small drawn scenes without and with a teacher: scores, pictures, a report page"
	@echo "make test    the tests"
	@echo "make check   format, lint, types and the direction of imports"
	@echo "make format  format the code and apply safe fixes"
	@echo "make docs    this documentation as a site, in outputs/site"
	@echo "make notebooks  runs the notebooks of docs/ and keeps their outputs"
	@echo "make reliability  slow proofs: kills, faults and damage by the thousand, all exports and benchmarks, the wheel; an hour or more"
	@echo "make bench   measured ratios, written to outputs/benchmarks.md"
	@echo "make demo-teacher  trains the demo's teacher again, half an hour"
	@echo "make pictures  the pictures of README and docs from the demo's scenes; needs chromium or google-chrome"
	@echo "make large-map  a raster of 20,000 x 20,000 px becomes a map: seconds and peak memory, ten minutes or more"
	@echo "make experiment  every method on the real scenes of DUBAI with the weights of WEIGHTS, an hour or two"
	@echo "make experiment-teachers  what teachers add on ROADS and at what cost; a night; adds to the results in tests/benchmarks"

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "rsmtdf needs Python 3.11 or newer; name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt --editable '.[dev,docs]'
	touch $@

demo: .venv/ready
	$(BIN)/rsmtdf demo

# One thread a process: as many processes as cores share the tests, and sums round the same everywhere.
test: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist worksteal

check: .venv/ready
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/mypy docs/pictures.py docs/demo_teacher.py setup.py
	MYPYPATH=docs/site $(BIN)/mypy docs/site/*.py
	$(BIN)/lint-imports

format: .venv/ready
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

# No network is used; the variable silences a notice of the theme.
docs: .venv/ready
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "open outputs/site/index.html; for the search: $(BIN)/python -m http.server --directory outputs/site"

notebooks: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python docs/site/run_notebooks.py docs/notebooks/*.ipynb

bench: .venv/ready
	mkdir -p outputs
	$(BIN)/python tests/benchmarks/bench_store.py > outputs/benchmarks.md
	$(BIN)/python tests/benchmarks/bench_training.py >> outputs/benchmarks.md
	$(BIN)/python tests/benchmarks/bench_prepare.py >> outputs/benchmarks.md
	$(BIN)/python tests/benchmarks/bench_reading.py >> outputs/benchmarks.md
	$(BIN)/python tests/benchmarks/bench_predict.py >> outputs/benchmarks.md
	$(BIN)/python tests/benchmarks/bench_start.py >> outputs/benchmarks.md
	if [ -d ../shared/weights ]; then $(BIN)/python tests/benchmarks/bench_transform.py >> outputs/benchmarks.md; fi
	cat outputs/benchmarks.md

large-map: .venv/ready
	mkdir -p outputs
	$(BIN)/python tests/benchmarks/bench_map.py outputs/large-map

# Every method and kind of feature on real scenes, three seeds, then how far losses drift by codec: an hour or two on
# two cores; may be stopped and goes on.
DUBAI ?= ../shared/data/dubai
WEIGHTS ?= ../shared/weights
experiment: .venv/ready
	$(BIN)/python tests/benchmarks/experiment_dubai.py $(DUBAI) $(WEIGHTS) outputs/experiment
	$(BIN)/python tests/benchmarks/loss_curves.py $(DUBAI) $(WEIGHTS) outputs/experiment > outputs/loss_curves.md
	cat outputs/loss_curves.md

# Methods with and without teachers, three seeds; options as in `ARGS="--student lite0 --labels 5 25 --hours 8"`.
ROADS ?= ../shared/data/roads
RESULTS ?= tests/benchmarks/experiment_teachers.jsonl
experiment-teachers: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python tests/benchmarks/experiment_teachers.py $(ROADS) $(WEIGHTS) outputs/teachers --results $(RESULTS) $(ARGS)
	cat outputs/teachers/table.md

# Replaces the weights of the demo's teacher, in half an hour.
demo-teacher: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python docs/demo_teacher.py outputs/demo-teacher

pictures: demo
	$(BIN)/python docs/pictures.py outputs/demo docs

reliability: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/pytest tests -m reliability -n auto -rA --timeout 7200

clean:
	rm -rf .venv outputs
