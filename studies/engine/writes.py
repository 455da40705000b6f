"""What the scheduler writes of trials at work into Optuna's database: many values in one transaction.

The settings of a trial, and the evaluations that came in one look at the workers, are a transaction each. Until it
is made they are in memory alone: a trial whose settings a kill took is drawn again and draws the same, and the
evaluations are in its journal, from which the next owner reports them.
"""

from __future__ import annotations

from typing import Any

from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.storages._rdb import models
from optuna.storages._rdb.storage import _create_scoped_session


class TrialWrites:
    """A storage of Optuna that keeps what is set of trials until ``flush``. Its state: what it keeps."""

    def __init__(self, storage: Any) -> None:
        """Keep values for a storage.

        Args:
            storage: of a study, as ``optuna.Study`` holds it.
        """
        self._storage = storage
        self._rows: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        """Keep a setting that was drawn; the study was opened only with the distributions that it has."""
        self._rows.append(
            models.TrialParamModel(
                trial_id=trial_id, param_name=param_name, param_value=param_value_internal,
                distribution_json=distribution_to_json(distribution),
            )
        )  # fmt: skip

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        """Keep the value of an evaluation that was not reported before."""
        row = models.TrialIntermediateValueModel
        value, kind = row.intermediate_value_to_stored_repr(intermediate_value)
        self._rows.append(
            row(trial_id=trial_id, step=step, intermediate_value=value, intermediate_value_type=kind)
        )

    def flush(self) -> None:
        """Write what is kept."""
        if self._rows:
            with _create_scoped_session(self._storage._backend.scoped_session) as session:
                session.add_all(self._rows)
            self._rows = []
