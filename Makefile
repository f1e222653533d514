# Every command prepares .venv by itself; `make help` lists them.
# PYTHON names the interpreter to start from, VENV the folder, WORKERS the number of test processes.
VENV ?= .venv
WORKERS ?= 2
GPU_PYTHON ?= python3
BIN := $(VENV)/bin
PY := $(BIN)/python
export PYTHON

.DEFAULT_GOAL := help
.PHONY: help install demo test check fmt bench bench-all bench-quality peers gpu image-check clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

install: ## make .venv, or bring it up to date
	@sh tools/setup_venv.sh $(VENV)

demo: install ## transcribe the bundled sample: print its text, write build/demo/sample.srt
	@echo "[demo] synthetic speech, transcribed by the bundled demo model"
	$(BIN)/ifw transcribe src/ifw/demo/sample.mp3 --model demo --output-format srt --output-dir build/demo --verbose

test: install ## run the whole test suite
	@sh tools/test_setup.sh
	@sh tools/setup_truss_venv.sh .venv-truss $(VENV)
	@echo "[test] pytest in $(WORKERS) processes"
	@$(PY) -m pytest -n $(WORKERS) --dist loadfile

check: install ## check format, lint, types, imports, file length
	@echo "[check] ruff format"
	@$(BIN)/ruff format --check --quiet .
	@echo "[check] ruff check"
	@$(BIN)/ruff check --quiet .
	@echo "[check] mypy"
	@$(BIN)/mypy
	@echo "[check] imports"
	@$(BIN)/lint-imports
	@echo "[check] file length"
	@$(PY) tools/check_file_length.py

fmt: install ## format, mend what ruff can mend, renew the generated parts of docs/
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .
	@$(PY) tools/write_docs.py

bench: install peers ## measure the engine beside others on this machine (a quarter of an hour), into benchmarks/results
	@echo "[bench] base, small"
	$(BIN)/ifw bench --scenario engine,front-end,diarization --models base,small --batches 1,4,8 --windows 2 --budget-s 150 --output-dir benchmarks/results
	@$(PY) tools/write_docs.py

bench-all: install peers ## every scenario, on base, small and turbo (more than an hour), into benchmarks/results
	@echo "[bench-all] base"
	$(BIN)/ifw bench --scenario engine,skewed,long,clients,latency,cold,front-end,diarization --models base --rounds 3 --output-dir benchmarks/results --name cpu-all
	@echo "[bench-all] small"
	$(BIN)/ifw bench --scenario engine,skewed,latency --models small --output-dir benchmarks/results --name cpu-small
	@echo "[bench-all] turbo"
	$(BIN)/ifw bench --scenario engine --models turbo --batches 1,4 --windows 2 --output-dir benchmarks/results --name cpu-turbo

peers: install ## make an environment for each engine that `make bench` compares with
	@PYTHON=$(PY) sh tools/setup_peers.sh

gpu: ## test and measure what runs on CUDA, in 8 minutes, with the Python that has torch, transformers and pytest: GPU_PYTHON
	@status=0; echo "[gpu] tests"; \
	PYTHONPATH=src:tests/engine timeout 175 $(GPU_PYTHON) -m pytest -v --tb=short --durations=8 -c tests/gpu/pytest.ini --rootdir tests/gpu \
		--confcutdir tests/gpu tests/gpu || status=1; \
	echo "[gpu] benchmark"; \
	PYTHONPATH=src timeout 300 $(GPU_PYTHON) benchmarks/gpu.py --budget-s 270 --output build/gpu.json || status=1; \
	if [ $$status -ne 0 ]; then echo "[gpu] something failed, see above"; fi; exit $$status

bench-quality: install ## measure cold start, memory, accuracy, word times, quality on degraded audio, the server under load, diarization (tens of minutes)
	@command -v espeak-ng >/dev/null 2>&1 || sh tools/apt_install.sh "the evaluation set is spoken by espeak-ng" espeak-ng
	@echo "[bench] cold start"
	$(PY) benchmarks/cold_start.py
	@echo "[bench] cold start of servers"
	@sh tools/setup_truss_venv.sh .venv-truss $(VENV)
	$(PY) benchmarks/cold_start_server.py
	@echo "[bench] eight clips at once"
	$(PY) benchmarks/together.py
	@echo "[bench] memory"
	$(PY) benchmarks/memory.py
	@echo "[bench] accuracy"
	@test -f build/evalset/manifest.jsonl || $(PY) -m recipes.demo_model evalset --evalset-dir build/evalset
	$(PY) benchmarks/accuracy.py build/evalset
	@echo "[bench] word times"
	$(PY) benchmarks/word_times.py build/evalset
	@echo "[bench] quality"
	$(PY) benchmarks/quality.py build/evalset
	@echo "[bench] server under load"
	$(PY) benchmarks/server.py
	@echo "[bench] diarization"
	$(PY) benchmarks/diarization.py
	$(PY) benchmarks/diarization_beside.py

image-check: install ## build the CPU image without Docker, start it, use it (minutes; IMAGE_FLAGS="--target baked ...")
	@echo "[image] the steps of deploy/docker/Dockerfile, in a temporary folder"
	$(PY) tools/replay_image.py $(IMAGE_FLAGS)

clean: ## remove what was built and cached; .venv stays
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
