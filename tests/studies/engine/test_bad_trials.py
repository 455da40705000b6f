"""What a trial dies of is its own reason, and it fails; or its machine's, and the study stops and says so."""

import resource
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from optuna.trial import Trial
from tokenizers import Tokenizer

from seqclf_core.config import RunConfig
from seqclf_core.data.cache import load_corpus
from seqclf_core.errors import UserError
from seqclf_core.models import SequenceTagger
from seqclf_core.training.checkpoint import save_model
from studies.engine.processes import Processes
from studies.study import Planned, Study
from tests.studies.engine.stepping import OpenScheduler, journals_agree, outcomes, run_all, scores

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits another process, as Linux allows")


def limit(executor: Processes, what: int, size: int) -> None:
    """Let the one worker have no more of something than so many bytes."""
    [worker] = [*executor._idle, *executor._busy.values()]
    resource.prlimit(worker.process.pid, what, (size, resource.RLIM_INFINITY))


def with_first(study: Study, name: str, value: object) -> Study:
    """The same study, whose first trial has a setting that no other has."""

    def sample(trial: Trial) -> None:
        study.sample(trial)
        if trial.number == 0:
            trial.suggest_categorical(name, [value])

    first = Planned("start", {**study.planned[0].settings, name: value})
    return replace(study, sample=sample, planned=(first,))


def test_a_loss_that_is_not_finite_fails_its_trial_and_no_other(
    open_scheduler: OpenScheduler, study: Study, small: RunConfig, cache: Path, tmp_path: Path
) -> None:
    tokenizer = load_corpus(small.data, cache).tokenizer
    tagger = SequenceTagger(small.model, Tokenizer.from_file(str(tokenizer)).get_vocab_size(), tags=3)
    with torch.no_grad():
        for name, weight in tagger.encoder.named_parameters():
            weight.fill_(3e38)  # finite, as what is loaded must be; the first sums are infinity less infinity
            if "weight_ih" in name:
                weight[:, ::2] = -3e38
    save_model(tmp_path / "tagger", tagger, small, tokenizer, tags=["a", "b", "c"])

    executor = Processes(1, tmp_path / "workers.log")
    owner = open_scheduler(
        with_first(study, "model.init_from", str(tmp_path / "tagger")), total=1, executor=executor
    )
    run_all(owner)
    executor.close()
    assert outcomes(owner) == ["FAIL", "COMPLETE"]
    assert "training loss is nan after" in owner.optuna.trials[0].user_attrs["reason"]
    assert journals_agree(owner)


@linux
def test_a_trial_that_asks_for_more_memory_than_there_is_fails_and_no_other(
    open_scheduler: OpenScheduler, study: Study, tmp_path: Path
) -> None:
    executor = Processes(1, tmp_path / "workers.log")
    owner = open_scheduler(with_first(study, "model.hidden_dim", 4096), total=1, executor=executor)
    while not executor._idle[0].ready:
        list(executor.messages(1.0))
    used = int(Path(f"/proc/{executor._idle[0].process.pid}/statm").read_text().split()[0])
    limit(executor, resource.RLIMIT_AS, used * resource.getpagesize() + 200_000_000)
    run_all(owner)
    executor.close()
    assert outcomes(owner) == ["FAIL", "COMPLETE"]
    assert "memory" in owner.optuna.trials[0].user_attrs["reason"]
    assert journals_agree(owner)


@linux
@pytest.mark.parametrize("room", [1_000, 4_500])
def test_a_full_disk_is_no_fault_of_the_trial(open_scheduler: OpenScheduler, tmp_path: Path, room: int) -> None:
    whole = open_scheduler(total=1, name="whole")
    run_all(whole)
    executor = Processes(1, tmp_path / "workers.log")
    owner = open_scheduler(total=1, executor=executor)
    limit(executor, resource.RLIMIT_FSIZE, room)
    with pytest.raises(UserError, match=r"disk is full.*Make room"):
        run_all(owner)
    executor.close()
    assert outcomes(owner) == ["RUNNING"]
    owner = open_scheduler(total=1)
    run_all(owner)
    assert scores(owner) == scores(whole)
    assert journals_agree(owner)
