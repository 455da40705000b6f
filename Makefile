# The face of the project: `make` lists what it can do. Recipes only start the command, with `exec`, so that a Ctrl-C or
# a signal reaches the command itself and no shell stays in between. Nothing here needs more than GNU make 3.81 (macOS).

.DEFAULT_GOAL := help
SHELL := /bin/sh

#: STUDY=imdb       which file in studies/
#: NAME=...         name of this study (default: the file's name), or of an experiment
#: TRIALS=24        number of trials in all, those already done included
#: BLOCKS=24        number of blocks in all (factors, STUDY=splits)
#: FACTORS="..."    settings to compare and their levels, such as "model.pooling=last,mean,max"
#: DESIGN=full      every combination in a block, or a fraction of them (factors)
#: OF=imdb          the search whose best settings run again (finalists); a run's key (NAME=refit)
#: STUDIES="a b"    studies to set side by side on a page (report)
#: BEST=3           how many of its best settings (finalists)
#: SEEDS=5          number of fresh seeds for each, those already done included (finalists)
#: SEED=0           seed of the study: another one is a replication
#: TAGGER=...       folder of the tagger that every trial starts with (STUDY=transfer)
#: TEACHER="..."    runs that label unlabelled texts: 0.4 KEY + 0.6 KEY (NAME=self_training)
#: MEMBERS="..."    runs that answer together, likewise (NAME=ensemble)
#: A=imdb/0007      the one run to compare, by its key
#: B=imdb/0012      the other run to compare
#: WORKERS=2        number of processes that train (default: what this machine has room for)
#: RAY=HOST:PORT    head of a cluster, whose machines do the runs (study, factors, finalists, node)
#: TOKEN=...        file of the cluster's token
#: HOST=10.0.0.5    address of this machine that others reach (head, node; default: this machine only)
#: DATA=auto        a folder, file or archive of texts; hub; synthetic
#: RUNS=runs        folder in which everything is recorded
#: PORT=5000        port of the user interface (serve: 8000)
#: TEXT="..."       a text to score
#: FILE=...         a file of texts to score, one per line
#: ARGS="..."       more options for the command behind a target; ARGS=--help lists them
#: YES=1            really remove what clean has listed
#: FIX=1            repair what doctor has found
#: PYTHON=...       the Python that makes .venv (default: the first of python3, python3.13, ... that fits)

# What each target takes, besides ARGS and PYTHON, which all take; and the option that a variable becomes.
TAKES_study := STUDY NAME TRIALS BLOCKS FACTORS DESIGN OF BEST SEEDS SEED TAGGER WORKERS RAY TOKEN RUNS DATA
TAKES_factors := NAME BLOCKS FACTORS DESIGN SEED WORKERS RAY TOKEN RUNS DATA
TAKES_finalists := NAME OF BEST SEEDS SEED WORKERS RAY TOKEN RUNS DATA
TAKES_record := SEEDS WORKERS RUNS DATA
TAKES_experiment := NAME TEACHER MEMBERS OF RUNS DATA
TAKES_ui := RUNS PORT
TAKES_dashboard := RUNS PORT
TAKES_report := RUNS NAME STUDIES
TAKES_publish := RUNS NAME
TAKES_compare := A B RUNS
TAKES_champion := RUNS NAME
TAKES_serve := RUNS PORT
TAKES_predict := RUNS NAME TEXT FILE
TAKES_data :=
TAKES_sync := RUNS
TAKES_clean := RUNS YES
TAKES_doctor := RUNS FIX
TAKES_head := HOST PORT TOKEN
TAKES_node := RAY TOKEN HOST
TAKES_bench := DATA

OPTIONS := NAME=name TRIALS=trials BLOCKS=blocks FACTORS=factors DESIGN=design OF=of STUDIES=studies BEST=best SEEDS=seeds SEED=study-seed \
  TAGGER=tagger TEACHER=teacher MEMBERS=members A=a B=b WORKERS=workers DATA=data.source RUNS=runs PORT=port RAY=ray TOKEN=token HOST=host TEXT=text FILE=file
SWITCHES := YES=yes FIX=fix
VARIABLES := STUDY NAME TRIALS BLOCKS FACTORS DESIGN OF STUDIES BEST SEEDS SEED TAGGER TEACHER MEMBERS A B WORKERS RAY TOKEN HOST DATA RUNS PORT TEXT FILE ARGS YES FIX PYTHON

# WSL sets NAME to the computer's name in every shell; nobody means a study by it.
ifneq ($(WSL_DISTRO_NAME),)
ifeq ($(origin NAME),environment)
override NAME :=
endif
endif

# A misspelt name (TRIAL=40), or one that a target does not take, would otherwise be ignored without a word.
NAMED := $(strip $(foreach v,$(.VARIABLES),$(if $(findstring command,$(origin $v)),$(filter-out SHELL,$v))))
UNKNOWN := $(filter-out $(VARIABLES),$(NAMED))
$(if $(UNKNOWN),$(error unknown variable: $(UNKNOWN). There are: $(VARIABLES)))
refuse = $(if $1,$(error make $t does not take $1. It takes: $(strip $(TAKES_$t) ARGS)))
$(foreach t,$(MAKECMDGOALS),$(if $(filter-out undefined,$(origin TAKES_$t)),$(call refuse,$(filter-out ARGS PYTHON $(TAKES_$t),$(NAMED)))))

# Commands read these from the environment, character by character: neither make nor the shell looks into a value.
$(foreach v,$(VARIABLES),$(if $(filter-out undefined,$(origin $v)),$(eval override $v := $$(value $v))$(eval export $v)))

# $(call options,study) is --trials="$TRIALS" and so on, for each variable that the target takes and that is set.
flag = $(patsubst $1=%,%,$(filter $1=%,$2))
is_set = $(if $(filter TEXT,$1),$(filter-out undefined,$(origin $1)),$($1))
valued = $(if $(call flag,$v,$(OPTIONS)),--$(call flag,$v,$(OPTIONS))="$$$v")
switch = $(if $(call flag,$v,$(SWITCHES)),--$(call flag,$v,$(SWITCHES)))
options = $(strip $(foreach v,$(TAKES_$1),$(if $(call is_set,$v),$(valued)$(switch))))

##@ Studies
study: venv  ## run a study on all cores, or continue it; write its report
	@exec $(SEQCLF) study $(or $(if $(STUDY),"$$STUDY"),imdb) $(call options,study) $(ARGS)

factors: venv  ## measure what pooling and loss change, in blocks of runs
	@exec $(SEQCLF) study factors $(call options,factors) $(ARGS)

finalists: venv  ## run the best settings of a study again, on fresh seeds
	@exec $(SEQCLF) study finalists $(call options,finalists) $(ARGS)

record: venv  #- do the whole recipe of the record, or what is missing of it
	@exec $(SEQCLF) record $(call options,record) $(ARGS)

experiment: venv  ## do a tracked experiment; without NAME, list them
	@exec $(SEQCLF) experiment $(if $(NAME),"$$NAME") $(filter-out --name=%,$(call options,experiment)) $(ARGS)

##@ Results
ui: venv  ## open the MLflow user interface on what is recorded
	@exec $(SEQCLF) ui $(call options,ui) $(ARGS)

dashboard: venv  #- serve Optuna's dashboard, which is installed apart
	@exec $(SEQCLF) dashboard $(call options,dashboard) $(ARGS)

report: venv  ## write tables, curves and pages of what is recorded so far
	@exec $(SEQCLF) report $(call options,report) $(ARGS)

compare: venv  ## compare two runs on the same texts: A=imdb/0007 B=imdb/0012
	@exec $(SEQCLF) compare $(call options,compare) $(ARGS)

champion: venv  ## register the best finished model, for predict and serve
	@exec $(SEQCLF) champion $(call options,champion) $(ARGS)

serve: venv  ## answer HTTP requests with the champion, on this machine only
	@exec $(SEQCLF) serve $(call options,serve) $(ARGS)

predict: venv  ## score TEXT=, FILE= or standard input with the best model
	@exec $(SEQCLF) predict $(call options,predict) $(ARGS)

##@ Upkeep
data: venv  ## fetch the original IMDB archive into data/imdb
	@exec $(SEQCLF) data $(ARGS)

sync: venv  ## send to MLflow what is recorded and not there yet
	@exec $(SEQCLF) sync $(call options,sync) $(ARGS)

clean: venv  ## say what could be freed; YES=1 frees it
	@exec $(SEQCLF) clean $(call options,clean) $(ARGS)

doctor: venv  ## say where the stores disagree; FIX=1 repairs it
	@exec $(SEQCLF) doctor $(call options,doctor) $(ARGS)

head: venv  ## start a cluster on this machine; HOST= lets `make node` join
	@exec $(SEQCLF) head $(call options,head) $(ARGS)

node: venv  #- let this machine work for a cluster: RAY=HOST:PORT
	@exec $(SEQCLF) node $(call options,node) $(ARGS)

##@ Development
test: venv  ## run all tests
	@exec env OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist worksteal $(ARGS)

check: venv  ## check lint, format, types, and who imports whom
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@$(PY) -c "from importlinter.cli import lint_imports_command as main; main()"

publish: venv  #- put the finished study NAME into reports/imdb, as tables and pages
	@exec $(SEQCLF) publish $(call options,publish) $(ARGS)

verify-published: venv  #- make the published pages again from their tables, and compare
	@exec $(SEQCLF) verify $(ARGS)

bench: venv  #- measure speed and memory, against what tutorials do
	@exec $(PY) -m tests.bench $(call options,bench) $(ARGS)

# For those who change the project; `make help` only names them.
audit: venv  #- known vulnerabilities of what is installed; asks over the network
	@exec $(PY) -m pip_audit --local --skip-editable --progress-spinner off --vulnerability-service osv $(ARGS)

simulate: venv  #- every simulation behind the statistics
	@exec $(PY) -m tests.simulate $(ARGS)

soak: venv  #- faults for a quarter of an hour, counted into docs/faults.md
	@exec env OMP_NUM_THREADS=1 $(PY) -m tests.soak $(ARGS)

variables:  #- every variable, with its meaning and default
	@awk '/^#: / { print "  " substr($$0, 4) }' Makefile

help:  ## list these targets; `make variables` lists what they take
	@awk 'BEGIN { FS = ":.*## "; also = "  also:" } \
	  /^##@ / { printf "%s\n", substr($$0, 5) } \
	  /^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 } \
	  /^[a-z-]+:.*#- / { split($$0, part, ":"); also = also " " part[1] } \
	  length(also) > 60 { more = more also "\n"; also = "       " } \
	  END { print more also }' Makefile

.PHONY: study factors finalists record experiment ui dashboard report compare champion serve predict data sync clean doctor head node test check publish verify-published bench audit simulate soak variables help venv

# ---- .venv: made once, brought up to date when requirements.lock or pyproject.toml changes ------------------------

# In a conda environment made from environment.yml everything is there already.
ifeq ($(CONDA_DEFAULT_ENV),seqclf)
PY := "$(CONDA_PREFIX)/bin/python"
SEQCLF := $(PY) -m studies.commands
else
PY := .venv/bin/python
SEQCLF := .venv/bin/seqclf
# .venv/.pins holds the checksum of what is completely installed.
PINS := $(shell cat requirements.lock requirements-torch.lock pyproject.toml | cksum)
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
    own = ["--quiet", "--no-deps", "--no-build-isolation", "--editable", "."]  # the command seqclf, over this folder
    locks = [["-r", "requirements.lock"], ["-r", "requirements-torch.lock"]]
    if any(subprocess.run([*pip, *what]).returncode for what in [*locks, own]):
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
