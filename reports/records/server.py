"""What an MLflow server holds about our runs, asked through MLflow's client. Importing mlflow takes seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from experiments.tracking import names
from reports.records.database import PAIR_COLUMNS, POINT_COLUMNS, RUN_COLUMNS, Recorded, nothing, shown
from seqclf_core.errors import UserError


class ServerTracking:
    """An MLflow server behind http(s)."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.client = MlflowClient(uri)

    def recorded(self, study: str | None, key: str | None = None) -> Recorded:
        """Return the runs of one study, or of all, the one with a key among them."""
        with self._answering():
            return self._recorded(study)

    def _recorded(self, study: str | None) -> Recorded:
        studies = {
            experiment.experiment_id: experiment.name
            for experiment in _every_page(self.client.search_experiments)
            if study is None or experiment.name == study
        }
        if not studies:
            return nothing()
        asked = {"experiment_ids": list(studies), "order_by": ["attributes.start_time"]}
        found = [run for run in _every_page(self.client.search_runs, **asked) if names.KEY in run.data.tags]
        return Recorded(
            runs=pd.DataFrame([_run_row(run, studies) for run in found], columns=RUN_COLUMNS),
            params=_pairs({run.info.run_id: run.data.params for run in found}),
            tags=_pairs({run.info.run_id: run.data.tags for run in found}),
            latest=_pairs({run.info.run_id: run.data.metrics for run in found}),
        )

    def known(self, study: str | None) -> tuple[dict[str, str], pd.Series[str]]:
        """Return MLflow's run id -> our key, and the names of the metrics, of the runs of one study, or of all."""
        recorded = self.recorded(study)
        tags = recorded.tags[recorded.tags["key"] == names.KEY]
        return dict(zip(tags["run_id"], tags["value"], strict=True)), recorded.latest["key"]

    def history(self, run_ids: Sequence[str], metrics: Sequence[str]) -> pd.DataFrame:
        """Return every point of these metrics in these runs: ``POINT_COLUMNS``."""

        def points(asked: tuple[str, str]) -> list[tuple[str, str, int, float]]:
            run_id, key = asked
            return [(run_id, key, p.step, p.value) for p in self.client.get_metric_history(run_id, key)]

        with (
            self._answering(),
            ThreadPoolExecutor(8) as threads,
        ):  # one request per run and metric: the time goes into waiting
            pieces = threads.map(points, [(run_id, key) for run_id in run_ids for key in metrics])
            return pd.DataFrame([row for piece in pieces for row in piece], columns=POINT_COLUMNS)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except MlflowException as error:
            reason = str(error).splitlines()[0].replace(self.uri.rstrip("/"), shown(self.uri).rstrip("/"))
            raise UserError(
                f"The MLflow server {shown(self.uri)} does not give its runs: {reason[:300]}. "
                "Start it, or name another with --tracking-uri."
            ) from error


def _every_page(ask: Callable[..., Any], **asked: object) -> Iterator[Any]:
    token = None
    while True:
        page = ask(max_results=1000, page_token=token, **asked)
        yield from page
        token = page.token
        if not token:
            return


def _run_row(run: Run, names: Mapping[str, str]) -> tuple[object, ...]:
    info = run.info
    name = names[info.experiment_id]
    times = (info.start_time, info.end_time)
    return (info.run_id, name, info.experiment_id, info.run_name, info.status, *times, info.artifact_uri)


def _pairs(found: Mapping[str, Mapping[str, object]]) -> pd.DataFrame:
    rows = [(run_id, key, value) for run_id, values in found.items() for key, value in values.items()]
    return pd.DataFrame(rows, columns=PAIR_COLUMNS)
