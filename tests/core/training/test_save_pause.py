"""Checkpoints take a hundredth of the time on a slow folder, and are never so rare that a worker seems dead."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from seqclf_core.config import RunConfig
from seqclf_core.events import Progress, Saved
from seqclf_core.run import run
from seqclf_core.training import trainer


@pytest.mark.parametrize(("took", "pause"), [(0.0, 10.0), (0.05, 10.0), (0.5, 50.0), (2.0, 200.0), (60.0, 300.0)])
def test_the_pause_grows_with_what_a_checkpoint_takes(took: float, pause: float) -> None:
    assert trainer.save_pause(took) == pause


def test_on_a_slow_folder_only_evaluations_are_kept(
    small: RunConfig, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kept(seconds: float, share: float) -> list[str]:
        monkeypatch.setattr(trainer, "SAVE_SECONDS", 0.0)
        monkeypatch.setattr(trainer, "SAVE_SHARE", share)
        write = trainer.write_tensors

        def slowly(*arguments: object) -> None:
            write(*arguments)  # type: ignore[arg-type]
            time.sleep(seconds)

        with monkeypatch.context() as slow:
            slow.setattr(trainer, "write_tensors", slowly)
            events = list(run(small.override({"train.batch_size": 2}), tmp_path / str(seconds), cache))
        return [event.event for event in events if isinstance(event, Progress | Saved)]

    slow, fast = kept(0.2, 0.01), kept(0.0, float("inf"))
    evaluations = slow.count("progress")
    assert evaluations == fast.count("progress")
    assert slow.count("saved") <= evaluations + 1  # the first pause knows of no checkpoint yet
    assert fast.count("saved") > slow.count("saved")
