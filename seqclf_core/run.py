"""A classifier's run, from settings to events: what experiments, workers and notebooks call."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from seqclf_core.config import RunConfig
from seqclf_core.data.cache import Corpus, load_corpus, while_freed
from seqclf_core.events import Event


def run(config: RunConfig, folder: Path, cache: Path, corpus: Corpus | None = None) -> Iterator[Event]:
    """Train and score a classifier, handing control back to the caller after every event.

    There are no callbacks. To log, prune or stop early, write it in your loop:

        for event in run(config, folder, cache):
            recorder.record(event)

    Yields ``Started``, then a ``Progress`` per evaluation, then ``Finished``, and now and then ``Saved`` as a
    sign of life. A caller that stops early closes the run: the test split is not scored. The same config and
    folder again yield the same events from the start, go on from the last checkpoint and end as if never
    interrupted.

    Args:
        config: what to do.
        folder: the run's own; afterwards it holds ``model/`` and ``predictions/``.
        cache: for encoded data; shared by all runs.
        corpus: the encoded data, where somebody opened them already; then the texts themselves need not be here.

    Raises:
        DataError: if the texts cannot be used; names the file and row.
        NotFiniteError: if the loss is NaN or infinite, unless ``train.on_divergence`` says to score it; names the
            step.
        UserError: if the device that was asked for is not there, or the tagger to start from does not fit.
    """
    # torch: a second or two, which who asks for --help or a list of experiments need not wait for.
    from seqclf_core.classification import ClassificationTask  # noqa: PLC0415
    from seqclf_core.training.skeleton import run_task  # noqa: PLC0415

    return run_task(
        config,
        folder,
        lambda: while_freed(
            lambda: ClassificationTask.of(config, corpus or load_corpus(config.data, cache), folder)
        ),
    )
