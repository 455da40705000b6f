"""A team's stores: PostgreSQL for Optuna and MLflow, an MLflow server, files in an object store behind it."""

from __future__ import annotations

import base64
import json
import os
import shutil
import zlib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import mlflow
import pytest

from experiments.serving.choosing import champion_to_serve
from experiments.tracking import names
from experiments.tracking.paths import RunPaths
from experiments.tracking.sync import sync_once
from reports import frames
from reports.records.study_run import own_studies
from seqclf_core.data.cache import load_corpus
from seqclf_core.errors import UserError
from studies.commands import champion, clean, compare, doctor, predict, report, sync, ui
from studies.engine.ownership import owned
from studies.engine.scheduler import Scheduler
from studies.engine.storage import open_storage, open_study
from studies.study import Study
from tests.postgres import PASSWORD
from tests.studies.engine.stepping import OpenScheduler, outcomes, run_all, scores
from tests.studies.engine.study_command import Command
from tests.team_stores import TeamStores, team_stores

pytestmark = pytest.mark.skipif(
    find_spec("psycopg") is None or find_spec("moto") is None, reason="psycopg or moto is not installed"
)


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TeamStores]:
    with team_stores(tmp_path_factory.mktemp("team")) as stores:
        yield stores


@pytest.mark.timeout(180)
def test_a_study_in_a_teams_stores_is_that_of_a_laptop(
    team: TeamStores, open_scheduler: OpenScheduler, study: Study, tmp_path: Path
) -> None:
    postgres, uri = team.postgres, team.mlflow
    alone = open_scheduler(total=2)
    run_all(alone)

    paths = RunPaths(tmp_path / "team")
    paths.runs.mkdir()
    paths.cache.symlink_to(alone.paths.cache)
    storage = open_storage(postgres.create("optuna").replace("postgresql", "postgres", 1))
    shared = Scheduler(
        name="test", study=alone.study,
        optuna=open_study(storage, "test", alone.study, load_corpus(study.base.data, paths.cache).summary),
        paths=paths, executor=type(alone.executor)(), tags=alone.tags, patience=60.0,
    )  # fmt: skip
    run_all(shared)
    assert outcomes(shared) == ["COMPLETE"] * 2
    assert scores(shared) == scores(alone)

    result = sync_once(paths.runs, uri)
    assert not result.unsent
    assert result.entries
    assert not sync_once(paths.runs, uri).entries, "sent twice"
    client = mlflow.MlflowClient(uri)
    [experiment] = client.search_experiments(filter_string="name = 'test'")
    runs = client.search_runs([experiment.experiment_id], "tags.`seqclf.role` = 'trial'")
    assert len(runs) == 2
    files = {each.path for each in client.list_artifacts(runs[0].info.run_id)}
    assert "predictions" in files
    assert runs[0].info.run_id in team.objects(), "files are not in the object store"


def test_two_people_with_one_name_have_two_studies_in_one_mlflow(
    team: TeamStores, open_scheduler: OpenScheduler, tmp_path: Path
) -> None:
    uri = team.mlflow
    for person in ("ann", "bob"):
        owner = open_scheduler(total=2, name="same", runs=tmp_path / person)
        run_all(owner)
        sent = sync_once(owner.paths.runs, uri)
        assert sent.runs == 3, "two trials and the study itself"
        assert not sent.unsent
    for person in ("ann", "bob"):
        stores = frames.Stores.under(tmp_path / person, tracking=uri)
        own = frames.runs(stores, "same")
        assert (len(own), own["uid"].nunique()) == (3, 1), "a report shows the runs of its own study alone"
        assert set(own["uid"]) == set(own_studies(RunPaths(tmp_path / person)).values())
        assert not frames.curves(stores, "same").duplicated(["key", "step"]).any()
    client = mlflow.MlflowClient(uri)
    [experiment] = client.search_experiments(filter_string="name = 'same'")
    runs = client.search_runs([experiment.experiment_id], "tags.`seqclf.role` = 'trial'")
    assert len(runs) == 4
    uids = {run.data.tags["seqclf.uid"] for run in runs}
    assert len(uids) == 2
    shown = {
        view["name"]: json.loads(zlib.decompress(base64.b64decode(view["state"].removeprefix("deflate;"))))
        for name, value in client.get_experiment(experiment.experiment_id).tags.items()
        if name.startswith(names.VIEW)
        for view in [json.loads(value)]
    }
    of_one = [state["searchFilter"] for name, state in shown.items() if " of " in name]
    assert len(of_one) == 3, "the second person has views of his own study"
    [uid] = [uid for uid in uids if uid in of_one[0]]
    seen = client.search_runs([experiment.experiment_id], of_one[0])
    assert [run.data.tags["seqclf.uid"] for run in seen] == [uid, uid]


def test_a_second_owner_of_a_shared_study_is_told_who_the_first_is(team: TeamStores, tmp_path: Path) -> None:
    postgres = team.postgres
    uri = postgres.create("owners")
    with owned(RunPaths(tmp_path / "ann"), "test", uri):
        refused = pytest.raises(UserError, match=rf"is being run by process {os.getpid()} on .* since \d{{4}}-")
        with refused, owned(RunPaths(tmp_path / "bob"), "test", uri):
            pass
        with owned(RunPaths(tmp_path / "bob"), "another", uri):
            pass
    with owned(RunPaths(tmp_path / "bob"), "test", uri):
        pass


@pytest.mark.timeout(180)
def test_every_command_finds_the_stores_that_a_study_was_recorded_in(
    team: TeamStores,
    reviews_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    postgres, server = team.postgres, team.mlflow
    database = postgres.create("remembered")
    runs = tmp_path / "runs"
    monkeypatch.setenv("SEQCLF_OPTUNA_URI", database)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    command = Command(reviews_folder, runs, 2, ["--train.epochs", "1", "--train.evals-per-epoch", "1"])
    command.start()
    code, output = command.end()
    assert code == 0, output
    known = (runs / "stores.json").read_text()
    assert json.loads(known) == {
        "storage": database.replace(f":{PASSWORD}", ""), "tracking_uri": server, "artifacts": "mlflow-artifacts:/"
    }  # fmt: skip

    for name in ("SEQCLF_OPTUNA_URI", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    at = ["--runs", str(runs)]
    assert sync.main(at) == 0
    assert "Sent to MLflow: 0 entries" in capsys.readouterr().out
    assert doctor.main(at) == 0
    assert "agree" in capsys.readouterr().out
    assert clean.main(at) == 0
    report.main(at)
    assert (runs / "report" / "test" / "index.html").exists()
    champion.main(at)
    assert f"in {server}" in capsys.readouterr().out
    shutil.rmtree(runs / "champion")
    predict.main([*at, "--text", "a superb film"])
    assert champion_to_serve(RunPaths(runs), None).is_dir()
    compare.main(["--a", "test/0000", "--b", "test/0001", *at])
    assert ui.main(at) == 0
    assert server in capsys.readouterr().out
    assert len(frames.trials(frames.Stores.under(runs))) == 2
    assert not list(runs.glob("*.db*")), "a second store was made"
    assert (runs / "stores.json").read_text() == known

    other = f"sqlite:///{tmp_path}/other.db"
    assert sync.main([*at, "--tracking-uri", other]) == 0
    said = capsys.readouterr().err
    assert f"MLflow is {other} for this command. What {runs} recorded so far is in {server}." in said
    monkeypatch.delenv("PGPASSWORD")
    with pytest.raises(UserError, match=r"looked for in ~/\.pgpass and \$PGPASSWORD"):
        doctor.main(at)
