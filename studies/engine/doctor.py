"""Compare Optuna, MLflow, journals, weights and cache, and say what disagrees: ``make doctor``; FIX=1 mends it.

After any crash the next ``make study`` puts its study in order by itself. This is for what it cannot see: files
that were cut or removed from outside, a run deleted in MLflow, a database brought back from an older copy.
"""

import shutil
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from experiments.tracking.checkup import Finding, compare_with_mlflow
from experiments.tracking.paths import RunPaths, set_mlflow_environment, sqlite_path
from seqclf_core.errors import UserError
from seqclf_core.masking import mask
from studies.engine.checkup import compare_study
from studies.engine.ownership import owned

if TYPE_CHECKING:
    import optuna


@dataclass
class Diagnosis:
    """What was found so far. It has state: counts."""

    fix: bool
    found: int = 0
    left: int = 0

    def go_through(self, findings: Iterable[Finding]) -> None:
        """Print the findings, and mend each where that was asked for."""
        for finding in list(findings):
            self.found += 1
            failure = self._mend(finding) if self.fix and finding.mend else ""
            mended = self.fix and finding.mend is not None and not failure
            self.left += not mended
            print(f"- {mask(finding.what)}{' (mended)' if mended else ''}", flush=True)
            if failure:
                print(f"  It cannot be mended: {mask(failure)}", flush=True)

    def _mend(self, finding: Finding) -> str:
        assert finding.mend is not None
        try:
            finding.mend()
        except (UserError, OSError, Timeout) as error:
            return str(error)
        return ""


def compare_cache(paths: RunPaths) -> list[Finding]:
    """Return what is of no use in the cache of encoded data."""
    from seqclf_core.data.cache import damaged

    return [
        Finding(
            f"{path}: this is not whole, and is made anew when it is needed.",
            lambda path=path: shutil.rmtree(path) if path.is_dir() else path.unlink(),  # type: ignore[misc]
        )
        for path in damaged(paths.cache)
    ]


def open_studies(uri: str) -> dict[str, "optuna.Study"]:
    """Return the studies in Optuna's database by name; none where there is no database yet."""
    if (file := sqlite_path(uri)) and not file.exists():
        return {}
    import optuna

    from studies.engine.storage import open_storage

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = open_storage(uri)
    names = sorted(optuna.get_all_study_names(storage))
    return {name: optuna.load_study(study_name=name, storage=storage) for name in names}


def examine(paths: RunPaths, storage: str, tracking_uri: str, fix: bool = False) -> Diagnosis:
    """Compare all stores under RUNS, and mend what disagrees if that was asked for.

    Raises:
        UserError: if there is nothing to compare, or Optuna's database cannot be opened.
    """
    if not paths.runs.is_dir():
        raise UserError(f"{paths.runs}: nothing has been recorded there. RUNS=... names another folder.")
    diagnosis, busy = Diagnosis(fix), set()
    with ExitStack() as held:
        if (paths.cache / "corpus").exists():
            try:
                held.enter_context(FileLock(paths.cache / "corpus" / "lock", timeout=0))
                diagnosis.go_through(compare_cache(paths))
            except Timeout:
                print("Data is being encoded right now; the cache is not looked at.")
        for name, study in open_studies(storage).items():
            try:
                held.enter_context(owned(paths, name))
            except UserError as error:
                print(f"{error} It is not looked at.")
                busy.add(name)
                continue
            diagnosis.go_through(compare_study(study, paths))
        set_mlflow_environment()
        diagnosis.go_through(compare_with_mlflow(paths, tracking_uri, frozenset(busy)))
    return diagnosis
