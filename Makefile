# Everything runs in .venv, or test-clients in .venv-clients, which are set up by the first target that needs them.
PYTHON ?= python3
BIN := .venv/bin

SEEDS := 0 1 2 3 4
# Trainings of scripts/learners.toml that run at the same time.
WORKERS := 1
comma := ,
empty :=
models = $(subst $(empty) $(empty),$(comma),$(SEEDS:%=runs/$(1)_%/model.zip))

.PHONY: demo test test-clients fuzz faults lint bench reproduce results variants sweep clean

demo: .venv/ready
	$(BIN)/python -m scripts.demo

# Tests run in as many processes as there are cores; JOBS=0 runs them in one.
JOBS := auto
test: .venv/ready
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

# Other libraries on these environments, in an environment of its own: RLlib (Ray 2.60) requires Gymnasium 1.2.2.
CLIENTS := .venv-clients/bin
test-clients: .venv-clients/ready
	$(CLIENTS)/python -W ignore -c 'import minari, moviepy, ray.rllib, skrl, stable_baselines3, supersuit, torchrl'
	$(CLIENTS)/python -m pytest tests/clients

# Property tests on ten times as many examples as in `make test`, drawn anew for each seed.
FUZZ_SEEDS := 0 1 2 3 4 5 6 7 8 9
fuzz: .venv/ready
	for seed in $(FUZZ_SEEDS); do echo "seed $$seed"; \
		$(BIN)/python -m pytest -q -m hypothesis --hypothesis-profile=fuzz --hypothesis-seed=$$seed || exit; done

# So many times as much bad input, kills, full disks and damaged files as in `make test`, in about five minutes; the table
# is that of docs/reliability.md, which FAULTS_TABLE=docs/reliability.md updates.
FAULTS := 5
FAULTS_TABLE := runs/faults.md
faults: .venv/ready
	mkdir -p runs
	$(BIN)/python -m pytest -q tests/faults --faults=$(FAULTS) --faults-table=$(FAULTS_TABLE)

lint: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: .venv/ready
	$(BIN)/python -m scripts.speed

reproduce: .venv/ready
	$(BIN)/python -m scripts.reproduce

# The tables of docs/training.md and docs/judges.md: five seeds of self-play on each of the post's experiments, and one
# controller per judge, beside the exact optima of what the judges pay for. About twenty minutes on one core;
# interrupted trainings are resumed.
results: .venv/ready
	$(BIN)/python -m scripts.train_all results --workers $(WORKERS)
	$(BIN)/python -m scripts.evaluate --out runs/results_one --agents equilibrium \
		$(foreach seed,$(SEEDS),seed_$(seed)=runs/one_$(seed)/model.zip) self-play=$(call models,one)
	$(BIN)/python -m scripts.evaluate --out runs/results_two --agents equilibrium \
		$(foreach seed,$(SEEDS),seed_$(seed)=runs/two_$(seed)/model.zip) self-play=$(call models,two) \
		--game.train 100 --game.deploy 0
	$(BIN)/python -m scripts.evaluate --out runs/results_judges --initial-goal 0.8 --agents equilibrium \
		self-play=$(call models,one) judge_initial=runs/initial/model.zip precommitment \
		judge_current=runs/current/model.zip myopic

# The learners of docs/results.md; `python -m scripts.reproduce NAME --learners runs/variants` plays them. About an hour
# with two workers.
variants: .venv/ready
	$(BIN)/python -m scripts.train_all variants networks --workers $(WORKERS)

# docs/benchmark.md: the committed grid, then its report, which lists failed runs, if there are any (exit code 1).
# An interrupted sweep resumes where it stopped.
sweep: .venv/ready
	$(BIN)/python -m scripts.sweep --out runs/learners $(if $(wildcard runs/learners/config.json),--resume) || [ $$? -eq 1 ]
	$(BIN)/python -m scripts.report runs/learners --out docs --notes docs/benchmark_notes.md

.venv/ready: EXTRA := dev
.venv-clients/ready: EXTRA := clients
.venv/ready .venv-clients/ready: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name it with make PYTHON=...")'
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --editable '.[$(EXTRA)]'
	touch $@

clean:
	rm -rf .venv .venv-clients
