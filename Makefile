# Every target sets up what it needs by itself, once, in .venv: it takes make, Python 3.11 or newer, and a network.
#
#   make launch                              the first study, on two workers
#   make launch STUDY=spam WORKERS=4 LAUNCH_OPTIONS='--set trials=8'
#   make test TEST_OPTIONS='-k claims'
#   make launch PYTHON=/opt/python/bin/python3   another Python than the first of python3.11, python3.12, python3
#
# A torch that this Python, or a .venv of your own, already has is used as it is. The folder's path may have spaces.

PYTHON ?=
STUDY := bert-news
WORKERS := 2
LAUNCH_OPTIONS :=
MINUTES := 20
TEST_OPTIONS :=

VENV := .venv
RUN := $(VENV)/bin/python -m
LAUNCH := $(VENV)/ready-launch
DEV := $(VENV)/ready-dev
PYTEST := $(RUN) pytest --numprocesses 2 --dist

.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help launch test acceptance chaos lint bench bench-full results pictures wheel clean distclean FORCE

help:
	@echo 'make launch      fine-tune and search: hpo launch --study $(STUDY) --workers $(WORKERS)'
	@echo 'make test        the quick tests'
	@echo 'make acceptance  the tests with real processes and training'
	@echo 'make chaos       faults against real fine-tunings for $(MINUTES) minutes: is all exact?'
	@echo 'make lint        ruff, mypy and the import contracts'
	@echo 'make bench       start-up, storage, dashboard, memory and training, beside plain Optuna and transformers'
	@echo 'make bench-full  whole trials beside transformers, for hours; cut off, it goes on where it was;'
	@echo '                 HEADLINES=a table with title and category takes the rows from there'
	@echo 'make results     every task and strategy on the real rows of FOLDER=..., into docs/results.md; it goes on, too'
	@echo 'make pictures    the pictures of the README, from a run of their study'
	@echo 'make wheel       the source archive and the wheel, in dist/'
	@echo 'make clean       remove what was built; make distclean: .venv, too'

launch: $(LAUNCH)
	$(VENV)/bin/hpo launch --study $(STUDY) --workers $(WORKERS) $(LAUNCH_OPTIONS)

test: $(DEV)
	$(PYTEST) worksteal -m 'not acceptance and not gpu' $(TEST_OPTIONS)

acceptance: $(DEV)
	$(VENV)/bin/python tests/browser.py || echo 'no Chromium: the tests of the dashboard in a browser are skipped'
	$(PYTEST) loadfile -m 'acceptance and not gpu' $(TEST_OPTIONS)

chaos: $(DEV)
	$(RUN) bench.chaos --minutes $(MINUTES)

lint: $(DEV)
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(VENV)/bin/lint-imports

bench: $(DEV)
	$(RUN) bench.startup
	$(RUN) bench.warm
	$(RUN) bench.orchestration
	$(RUN) bench.memory
	$(RUN) bench.dashboard --trials 500 --times 3
	$(RUN) bench.storage --sizes 100 1000 --workers 8 --trials 40 --seconds 2
	$(RUN) bench.pieces --rows 100 --times 1
	$(RUN) bench.full --rows 200 --valid 100 --epochs 1 --seeds 1 --keep $(VENV)/bench.jsonl

bench-full: $(DEV)
	$(RUN) bench.full $(if $(HEADLINES),--headlines $(HEADLINES)) --keep $(VENV)/bench-full.jsonl

results: $(DEV)
	$(RUN) bench.results $(FOLDER) --page docs/results.md
	$(RUN) bench.strategies $(FOLDER) --page docs/results.md

pictures: $(DEV)
	$(VENV)/bin/python docs/pictures.py

wheel: $(DEV)
	$(RUN) build --no-isolation

clean:
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV)

# What is installed names this folder and its Python: after a move, or without that Python, it is installed again.
ready_in := $(shell test -x $(VENV)/bin/python && cat $(VENV)/ready-* 2>/dev/null | sort -u)
ifneq "$(ready_in)" "$(realpath .)"
STALE := FORCE
endif

$(LAUNCH): EXTRAS := offline
$(DEV): EXTRAS := dev,offline
$(LAUNCH) $(DEV): pyproject.toml constraints.txt $(STALE)
	@$(make_venv)
	@$(pin)
	$(RUN) pip install --disable-pip-version-check --constraint $(VENV)/constraints.txt --editable '.[$(EXTRAS)]'
	@rm -f $(VENV)/unfinished
	@pwd -P > $(LAUNCH); test $@ = $(LAUNCH) || cp $(LAUNCH) $@

# A folder that was made here and not finished starts anew; one of your own is kept.
define make_venv
if test -e $(VENV)/unfinished || ! $(RUN) pip --version >/dev/null 2>&1; then \
    $(find_python); \
    site=; "$$python" -c '$(has_torch)' >/dev/null 2>&1 && site=--system-site-packages; \
    echo "Making $(VENV) with $$python" $$site; \
    rm -rf $(VENV) && mkdir $(VENV) && touch $(VENV)/unfinished && "$$python" -m venv $$site $(VENV) || exit 1; \
    test -z "$$site" || $(VENV)/bin/python -c '$(has_torch)' >/dev/null 2>&1 || $(link_torch); \
fi
endef

define find_python
python=; found=; \
for name in $(if $(PYTHON),'$(PYTHON)',python3.11 python3.12 python3); do \
    version=$$("$$name" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null) || continue; \
    if ! "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then found="$${found:+$$found, }$$name is $$version"; \
    elif ! "$$name" -c 'import ensurepip, venv' 2>/dev/null; then \
        hint="on Debian and Ubuntu: apt install python$${version%.*}-venv"; \
        found="$${found:+$$found, }$$name is $$version without venv ($$hint)"; \
    else python=$$name; break; fi; \
done; \
if test -z "$$python"; then \
    echo "Python 3.11 or newer with venv is needed; found: $${found:-none}." \
        'Install one, or name it: make PYTHON=/path/to/python3.11' >&2; \
    exit 1; \
fi
endef

# A Python that is itself a virtual environment does not pass on what it has.
define link_torch
"$$python" -c 'import pathlib, torch; print(pathlib.Path(torch.__file__).parents[1])' \
    > "$$($(VENV)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/torch.pth"
endef

has_torch := import torch; assert tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 6)

# The tested versions, but an installed torch as it is, with the one dependency that some torch pins to another version.
define pin
if $(VENV)/bin/python -c '$(has_torch)' >/dev/null 2>&1; then \
    grep -v -e '^torch==' -e '^sympy==' constraints.txt > $(VENV)/constraints.txt; \
    $(VENV)/bin/python -c 'from importlib.metadata import version; print("torch==" + version("torch"))' \
        >> $(VENV)/constraints.txt; \
else \
    cp constraints.txt $(VENV)/constraints.txt; \
    printf '%s\n' \
        'torch 2.6 or newer is not installed: pip downloads it now, 0.2 GB where the package index gives a CPU build,' \
        'about 3 GB with the CUDA libraries that come with it on Linux by default; all else is about 0.4 GB.' \
        'To use a torch of your own, stop here (Ctrl-C), install it into that Python, or into a .venv of your own' \
        '(python3.11 -m venv --clear .venv; .venv/bin/pip install torch ...), and run make again.'; \
fi
endef
