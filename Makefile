# The face of the project: `make` lists what it can do. Recipes only start Python, with `exec`, so that a Ctrl-C or a
# signal reaches the command itself and no shell stays in between. Nothing here needs more than GNU make 3.81 (macOS).

.DEFAULT_GOAL := help
SHELL := /bin/sh

#: STUDY=imdb       which file in studies/
#: NAME=...         of this study (default: the file's name), or which experiment
#: TRIALS=24        how many trials in all, those already done included
#: BLOCKS=24        how many blocks in all (factors, STUDY=splits)
#: FACTORS="..."    settings to compare and their levels, such as "model.pooling=last,mean,max" (factors)
#: OF=imdb          the search whose best settings run again (finalists)
#: BEST=3           how many of them (finalists)
#: SEEDS=5          fresh seeds for each, those already done included (finalists)
#: TAGGER=...       folder of the tagger that every trial starts with (STUDY=transfer)
#: A=imdb/0007      the one run to compare, by its key
#: B=imdb/0012      the other
#: WORKERS=2        processes that train (default: what this machine has room for)
#: RAY=HOST:PORT    the head of a cluster, whose machines do the runs (study, factors, finalists, node)
#: TOKEN=...        file of the cluster's token
#: HOST=10.0.0.5    address of this machine that others reach (head; default: this machine only)
#: DATA=auto        a folder, file or archive of reviews; hub; synthetic
#: RUNS=runs        where everything is recorded
#: PORT=5000        of the user interface (serve: 8000)
#: TEXT="..."       a review to score
#: FILE=...         a file of reviews to score, one per line
#: ARGS="..."       more options for the command behind a target; ARGS=--help lists them
#: YES=1            really do it (clean)
#: FIX=1            mend what is found (doctor)
#: PYTHON=...       which Python makes .venv (default: the first of python3, python3.13, ... that fits)
VARIABLES := STUDY NAME TRIALS BLOCKS FACTORS OF BEST SEEDS TAGGER A B WORKERS RAY TOKEN HOST DATA RUNS PORT TEXT FILE ARGS YES FIX PYTHON

# WSL sets NAME to the computer's name in every shell; nobody means a study by it.
ifneq ($(WSL_DISTRO_NAME),)
ifeq ($(origin NAME),environment)
override NAME :=
endif
endif

# Commands read these from the environment, character by character: neither make nor the shell looks into a value.
$(foreach v,$(VARIABLES),$(if $(filter-out undefined,$(origin $v)),$(eval override $v := $$(value $v))$(eval export $v)))

# A misspelt name (TRIAL=40) would otherwise be ignored without a word.
UNKNOWN := $(strip $(foreach v,$(.VARIABLES),$(if $(findstring command,$(origin $v)),$(filter-out $(VARIABLES) SHELL,$v))))
$(if $(UNKNOWN),$(error unknown variable: $(UNKNOWN). There are: $(VARIABLES)))

# $(call option,TRIALS,trials) is --trials="$TRIALS" where TRIALS is set, and nothing where it is not.
option = $(if $($1),--$2="$$$1")
STORES = $(call option,RUNS,runs)
CLUSTER = $(call option,RAY,ray) $(call option,TOKEN,token)

##@ Experiments
study: venv  ## run a study on all cores, or go on with it, and write its report
	@exec $(PY) -m studies.commands study $(or $(if $(STUDY),"$$STUDY"),imdb) $(call option,NAME,name) $(call option,TRIALS,trials) $(call option,BLOCKS,blocks) \
	  $(call option,TAGGER,tagger) $(call option,WORKERS,workers) $(CLUSTER) $(STORES) $(call option,DATA,data.source) $(ARGS)

factors: venv  ## what do pooling and loss change? blocks of runs that differ by nothing else
	@exec $(PY) -m studies.commands study factors $(call option,NAME,name) $(call option,BLOCKS,blocks) \
	  $(call option,FACTORS,factors) $(call option,WORKERS,workers) $(CLUSTER) $(STORES) $(call option,DATA,data.source) $(ARGS)

finalists: venv  ## the best settings of a study again, on fresh seeds
	@exec $(PY) -m studies.commands study finalists $(call option,NAME,name) $(call option,OF,of) $(call option,BEST,best) \
	  $(call option,SEEDS,seeds) $(call option,WORKERS,workers) $(CLUSTER) $(STORES) $(call option,DATA,data.source) $(ARGS)

experiment: venv  ## one tracked run: NAME=baseline (without a name: what there is)
	@exec $(PY) -m studies.commands experiment $(if $(NAME),"$$NAME") $(STORES) $(call option,DATA,data.source) $(ARGS)

ui: venv  ## the MLflow user interface on what is recorded
	@exec $(PY) -m studies.commands ui $(STORES) $(call option,PORT,port) $(ARGS)

report: venv  ## tables, curves and a page of what is recorded so far
	@exec $(PY) -m studies.commands report $(STORES) $(call option,NAME,name) $(ARGS)

compare: venv  ## two runs on the same reviews: A=imdb/0007 B=imdb/0012
	@exec $(PY) -m reports.compare $(call option,A,a) $(call option,B,b) $(STORES) $(ARGS)

champion: venv  ## register the best finished model, for predict and serve
	@exec $(PY) -m studies.commands champion $(STORES) $(call option,NAME,name) $(ARGS)

serve: venv  ## answer HTTP requests with the champion, on this machine only
	@exec $(PY) -m studies.commands serve $(STORES) $(call option,PORT,port) $(ARGS)

predict: venv  ## the best model's opinion: TEXT="...", FILE=... or standard input
	@exec $(PY) -m studies.commands predict $(STORES) $(call option,NAME,name) \
	  $(if $(filter-out undefined,$(origin TEXT)),--text="$$TEXT") $(call option,FILE,file) $(ARGS)

data: venv  ## fetch the original IMDB archive into data/imdb
	@exec $(PY) -m studies.commands data $(ARGS)

sync: venv  ## deliver to MLflow what has been recorded and not yet delivered
	@exec $(PY) -m studies.commands sync $(STORES) $(ARGS)

clean: venv  ## say what could be freed; YES=1 frees it
	@exec $(PY) -m studies.commands clean $(STORES) $(if $(YES),--yes) $(ARGS)

doctor: venv  ## say where Optuna, MLflow, journals, weights and cache disagree; FIX=1 mends it
	@exec $(PY) -m studies.commands doctor $(STORES) $(if $(FIX),--fix) $(ARGS)

##@ Cluster
head: venv  ## start a cluster on this machine, which others can join with HOST=
	@exec $(PY) -m studies.commands head $(call option,HOST,host) $(call option,PORT,port) $(call option,TOKEN,token) $(ARGS)

node: venv  ## let this machine work for a cluster: RAY=HOST:PORT
	@exec $(PY) -m studies.commands node $(CLUSTER) $(call option,HOST,host) $(ARGS)

##@ Development
test: venv  ## all tests
	@exec env OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist worksteal $(ARGS)

check: venv  ## lint, format, types, who imports whom
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@$(PY) -c "from importlinter.cli import lint_imports_command as main; main()"

audit: venv  ## known vulnerabilities of what is installed; asks over the network
	@exec $(PY) -m pip_audit --local --skip-editable --progress-spinner off --vulnerability-service osv $(ARGS)

simulate: venv  ## every simulation behind the statistics
	@exec $(PY) -m tests.simulate $(ARGS)

soak: venv  ## faults for a quarter of an hour, counted into docs/faults.md
	@exec env OMP_NUM_THREADS=1 $(PY) -m tests.soak $(ARGS)

bench: venv  ## how fast it is, against what tutorials do
	@exec $(PY) -m tests.bench $(call option,DATA,data.source) $(ARGS)

help:  ## this list
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 } \
	  /^#: / { variables = variables "\n  " substr($$0, 4) } \
	  END { print "\nVariables" variables }' Makefile

.PHONY: study factors finalists experiment ui report compare champion serve predict data sync clean doctor head node test check audit simulate soak bench help venv

# ---- .venv: made once, brought up to date when requirements.lock changes -------------------------------------------

# In a conda environment made from environment.yml everything is there already.
ifeq ($(CONDA_DEFAULT_ENV),seqclf)
PY := "$(CONDA_PREFIX)/bin/python"
else
PY := .venv/bin/python
# .venv/.pins holds the checksum of the pins that are completely installed.
PINS := $(shell cat requirements.lock requirements-torch.lock | cksum)
ifneq ($(shell test -x $(PY) && cat .venv/.pins 2>/dev/null),$(PINS))
NOT_READY := yes
endif
endif

ifndef NOT_READY
venv: ;
else
export SET_UP
venv:
	@set -- $(if $(PYTHON),"$$PYTHON",python3 python3.13 python3.12 python3.11); seen= bare=; \
	for python; do \
	  version=$$("$$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue; \
	  case $$version in 3.11|3.12|3.13) ;; *) seen="$$seen$$python is $$version; "; continue ;; esac; \
	  "$$python" -c 'import ensurepip, venv' 2>/dev/null && exec "$$python" -c "$$SET_UP" '$(PINS)'; \
	  bare=$${bare:-$$version}; \
	done; \
	if [ "$$bare" ]; then \
	  echo "Python $$bare is here without its venv module, which .venv is made with."; \
	  echo "On Debian or Ubuntu: apt install python$$bare-venv. Then run make again."; \
	else \
	  echo "Python 3.11, 3.12 or 3.13 is needed, and none was found ($${seen}looked for: $$*)."; \
	  echo "Install one, or name one: make PYTHON=/path/to/python3.12 ..."; \
	fi >&2; exit 1
endif

define SET_UP
import fcntl, os, shutil, subprocess, sys, time
from pathlib import Path

pins, home, python = sys.argv[1], Path(".venv"), ".venv/bin/python"
state = home / ".pins"

def fits():
    """Whether .venv holds a Python with pip, of a version that the pins are for."""
    test = "import pip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))"
    return os.access(python, os.X_OK) and subprocess.run([python, "-c", test]).returncode == 0

def install():
    begun = time.monotonic()
    known = state.read_text() if state.exists() else ""
    if known == pins and fits():  # another make has just done it
        return
    update = known != "unfinished" and fits()
    if update:
        print("Bringing .venv up to date with requirements.lock", flush=True)
        state.write_text("unfinished")
    else:
        print("Setting up .venv with Python", sys.version.split()[0], "(once; a few minutes, 2 GB or more)", flush=True)
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        state.write_text("unfinished")
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--no-input"]
    # Twice: where one package has hashes, pip wants one for each, and the builds of torch differ.
    if any(subprocess.run([*pip, "-r", lock]).returncode for lock in ("requirements.lock", "requirements-torch.lock")):
        if update:  # pip fetches everything before it changes anything: what was there still works
            state.write_text(known)
        sys.exit("pip could not install what requirements.lock names; its message is above. Then run make again.")
    done = home / ".pins.new"
    done.write_text(pins)
    done.replace(state)
    print(f".venv is ready ({time.monotonic() - begun:.0f} s)", flush=True)

with open("requirements.lock") as lock:  # one make at a time; the lock goes with the process, however it ends
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another make is setting up .venv; waiting for it", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        install()
    except (KeyboardInterrupt, subprocess.CalledProcessError):
        sys.exit("The installation of .venv did not finish. Run make again to start it over.")
endef
