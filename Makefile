# Everything runs in .venv, which is set up by the first target that needs it.
PYTHON ?= python3
BIN := .venv/bin

SEEDS := 0 1 2 3 4
TRAIN = $(BIN)/python -m scripts.train --out $(@D) $(if $(wildcard $(@D)/config.json),--resume)
comma := ,
empty :=
models = $(subst $(empty) $(empty),$(comma),$(SEEDS:%=runs/$(1)_%/model.zip))

# What `make variants` trains: the arguments of each learner, which is trained with three seeds.
ARGUMENTS_discount := --game.discount 0.95
ARGUMENTS_regularization := --game.regularization 0.01
ARGUMENTS_train_forever := --game.rules InfiniteHorizon --game.learning-rates 1 --game.discount 0.9 \
	--game.max-episodes 100
ARGUMENTS_deploy_forever := --game.rules InfiniteHorizon --game.max-episodes 400 --settings.games 16
ARGUMENTS_misconception := --game.rules Misconception --game.initial-belief -1 1
ARGUMENTS_naive := --game.rules LearnableDiscount --game.discount-learning-rate 0 --game.discount 0 1
ARGUMENTS_foreseeing := --game.rules LearnableDiscount --game.discount 0.5 1
ARGUMENTS_decoupling := --game.rules Decoupling
ARGUMENTS_belief := --game.rules HiddenDeployment --settings.games 128
ARGUMENTS_signal := $(ARGUMENTS_belief) --game.observed signal
ARGUMENTS_memory := $(ARGUMENTS_signal) --settings.memory
TURNS_memory := 3000000
TURNS_decoupling := 3000000
ARGUMENTS_one := --initial-goal 0.8
ARGUMENTS_one_decay := --initial-goal 0.8 --settings.weight-decay 1
ARGUMENTS_many :=
ARGUMENTS_many_decay := --settings.weight-decay 1
NETWORKS := one one_decay many many_decay
LEARNERS := discount regularization train_forever deploy_forever misconception naive foreseeing decoupling belief \
	signal memory

.PHONY: demo test fuzz lint bench reproduce results variants sweep clean
.PRECIOUS: runs/%/model.zip runs/variants/%/model.zip

demo: .venv/ready
	$(BIN)/python -m scripts.demo

test: .venv/ready
	$(BIN)/python -m pytest

# Property tests on ten times as many examples as in `make test`, drawn anew for each seed.
FUZZ_SEEDS := 0 1 2 3 4 5 6 7 8 9
fuzz: .venv/ready
	for seed in $(FUZZ_SEEDS); do echo "seed $$seed"; \
		$(BIN)/python -m pytest -q -m hypothesis --hypothesis-profile=fuzz --hypothesis-seed=$$seed || exit; done

lint: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: .venv/ready
	$(BIN)/python -m scripts.speed

reproduce: .venv/ready
	$(BIN)/python -m scripts.reproduce

# The README's tables of learners: five seeds of self-play on each of the post's experiments, and one
# controller a judge, beside the exact optima of what the judges pay for. About twenty minutes on one core;
# an interrupted run goes on where it stopped.
results: .venv/ready $(SEEDS:%=runs/one_%/model.zip) $(SEEDS:%=runs/two_%/model.zip) \
		runs/initial/model.zip runs/current/model.zip
	$(BIN)/python -m scripts.evaluate --out runs/results_one --agents equilibrium \
		$(foreach seed,$(SEEDS),seed_$(seed)=runs/one_$(seed)/model.zip) self-play=$(call models,one)
	$(BIN)/python -m scripts.evaluate --out runs/results_two --agents equilibrium \
		$(foreach seed,$(SEEDS),seed_$(seed)=runs/two_$(seed)/model.zip) self-play=$(call models,two) \
		--game.train 100 --game.deploy 0
	$(BIN)/python -m scripts.evaluate --out runs/results_judges --initial-goal 0.8 --agents equilibrium \
		self-play=$(call models,one) judge_initial=runs/initial/model.zip precommitment \
		judge_current=runs/current/model.zip myopic

runs/one_%/model.zip:
	$(TRAIN) --seed $*

runs/two_%/model.zip:
	$(TRAIN) --seed $* --game.train 100 --game.deploy 0

runs/initial/model.zip runs/current/model.zip: runs/%/model.zip:
	$(TRAIN) --problem $* --initial-goal 0.8

# The learners of docs/results.md; reproduce.py plays them. About an hour on two cores with make -j2.
variants: .venv/ready $(foreach learner,$(LEARNERS),$(foreach seed,0 1 2,runs/variants/$(learner)-$(seed)/model.zip)) \
		$(foreach network,$(NETWORKS),$(foreach seed,$(SEEDS),runs/variants/$(network)-$(seed)/policy.pt))

runs/variants/%/model.zip:
	$(TRAIN) --seed $(lastword $(subst -, ,$*)) $(ARGUMENTS_$(firstword $(subst -, ,$*))) \
		--settings.turns $(or $(TURNS_$(firstword $(subst -, ,$*))),1000000)

runs/variants/%/policy.pt:
	$(BIN)/python -m scripts.train_neural --out $(@D) --seed $(lastword $(subst -, ,$*)) \
		$(ARGUMENTS_$(firstword $(subst -, ,$*)))

# docs/benchmark.md: the committed grid, then its report, which lists failed runs, if there are any (exit code 1).
# An interrupted sweep resumes where it stopped.
sweep: .venv/ready
	$(BIN)/python -m scripts.sweep --out runs/learners $(if $(wildcard runs/learners/config.json),--resume) || [ $$? -eq 1 ]
	$(BIN)/python -m scripts.report runs/learners --out docs --notes docs/benchmark_notes.md

.venv/ready: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name it with make PYTHON=...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv
