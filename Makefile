# make alone lists what there is. Everything is installed into .venv, and nothing outside this folder is touched.
PYTHON ?=
PORT ?= 8888
LESSON ?=

# Bytecode is kept even where the environment forbids it: without it, each kernel compiles thousands of files anew.
export PYTHONDONTWRITEBYTECODE :=

PY := .venv/$(if $(filter Windows_NT,$(OS)),Scripts,bin)/python
setup = @sh moe_tutorial/tools/setup.sh "$(PYTHON)"
course = @$(PY) -m moe_tutorial.tools
# The results that lesson 08 reads, and what is stored and published, come from the course's own seeds.
comparison = @MOE_SEED=0 $(PY) -m moe_tutorial.study.systems.comparison
# Three workers for two cores, as one waits for a browser; a lesson or a file of tests stays in one.
pytest = @OMP_NUM_THREADS=1 $(PY) -m pytest -n 3 --dist loadscope

.PHONY: help lab edit check test nightly lessons book reference comparison bench fresh

help: ## list these targets
	@echo "make <target> [PYTHON=python3.14] [PORT=8888] [LESSON=03_router]"
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1 | \2/p' Makefile | awk -F'|' '{printf "%-13s%s\n", $$1, $$2}'

lab: ## open the course in JupyterLab, in your own folder of it, my-course
	$(setup) lab
	$(course) lab --port "$(PORT)"

edit: ## open the repository itself in JupyterLab, to work on the course
	$(setup) lab
	$(course) lab --repository --port "$(PORT)"

check: ## in 40 seconds: style, types of the JavaScript, import contracts, and every .py beside an equal .ipynb
	$(setup) all
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -c "from importlinter.cli import lint_imports_command; lint_imports_command()"
	$(course) sync
	$(course) scripts

test: ## in 15 minutes, set-up included: the package, every lesson against its stored outputs, the pages in a browser
	$(setup) all
	$(pytest)

nightly: ## in 90 minutes: all of that whole, every lesson from further seeds, lesson 08's GPTs from three of them
	$(setup) all
	$(pytest) -m ""

lessons: ## run every lesson and count the claims that hold (MOE_SEED=7 runs them from other seeds)
	$(setup) lab
	$(course) lessons

book: ## build the website into _build/html
	$(setup) all
	$(course) book

reference: ## run the lessons and store their text outputs, against which make test compares; LESSON=03_router: that one
	$(setup) lab
	$(if $(LESSON),,$(comparison))
	$(course) reference $(LESSON)

comparison: ## train lesson 08's models again, over ten seeds, and store their results (half an hour)
	$(setup) lab
	@$(PY) -m moe_tutorial.study.systems.comparison

bench: ## measure speed: ten seeds, the mixture and its peers, the tree, the playground, the pages
	$(setup) all
	@OMP_NUM_THREADS=1 $(PY) tests/benchmarks/many_seeds.py
	@OMP_NUM_THREADS=1 $(PY) tests/benchmarks/mixtures.py
	@OMP_NUM_THREADS=1 $(PY) tests/benchmarks/trees.py
	@OMP_NUM_THREADS=1 $(PY) tests/benchmarks/playground.py
	@OMP_NUM_THREADS=1 $(PY) tests/benchmarks/pages.py
	@OMP_NUM_THREADS=1 $(PY) tests/benchmarks/dares.py

fresh: ## for maintainers: lab and test on a minimal system with Python 3.14, from a fresh clone
	@bash .ci/fresh
