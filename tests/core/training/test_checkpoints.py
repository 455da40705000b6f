"""A process that is killed in the middle of a checkpoint, at any of its steps, leaves the one before it."""

import json
import signal
import sys
from pathlib import Path

import pytest

from seqclf_core.config import RunConfig
from seqclf_core.run import run
from seqclf_core.training.checkpoint import read_tensors
from seqclf_core.training.skeleton import CHECKPOINT
from tests import forked
from tests.core.run_events import curve

ROOT = Path(__file__).parents[3]

# Does a run, and kills itself as a step of its third checkpoint is about to happen.
KILLED = """
import json, os, signal, sys
from pathlib import Path
import torch
from seqclf_core import files
from seqclf_core.training import checkpoint
from seqclf_core.config import RunConfig
from seqclf_core.run import run

torch.set_num_threads(1)
config, folder, cache, step = json.loads(sys.argv[1])
times = 0

def last(real, *arguments, **options):
    global times
    times += any("checkpoint" in str(each) for each in arguments)
    if times == 3:
        if step == "write":
            Path(arguments[1]).write_bytes(b"half of it")
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments, **options)

holder, name = {"write": (checkpoint, "save_file"), "sync": (files, "sync"), "rename": (Path, "replace")}[step]
real = getattr(holder, name)
setattr(holder, name, lambda *arguments, **options: last(real, *arguments, **options))
list(run(RunConfig.model_validate(config), Path(folder), Path(cache)))
"""


@pytest.mark.parametrize("step", ["write", "sync", "rename"])
def test_it_goes_on_from_the_one_before(small: RunConfig, tmp_path: Path, cache: Path, step: str) -> None:
    expected = curve(run(small, tmp_path / "whole", cache))
    folder = tmp_path / "cut"
    request = json.dumps([small.model_dump(mode="json"), str(folder), str(cache), step])
    killed = forked.run([sys.executable, "-c", KILLED, request], cwd=ROOT, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    _, state = read_tensors(folder / CHECKPOINT)
    assert list(folder.glob(f".{CHECKPOINT}.*")), "it was not killed in the middle"
    assert state

    assert curve(run(small, folder, cache)) == expected
