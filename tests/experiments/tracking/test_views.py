"""Studies and experiments open in MLflow on the answer: named views, best scores, description. Real SQLite."""

import base64
import json
import zlib

import pytest
from mlflow.tracking import MlflowClient

from experiments.tracking import names
from experiments.tracking.journal import Header
from experiments.tracking.recorder import Recorder
from experiments.tracking.sync import sync_once
from experiments.tracking.views import CHARTED, METRICS, link, views
from seqclf_core.config import RunConfig
from tests.experiments.tracking.journal_samples import header, record_study, record_trial


@pytest.fixture
def paths(own_tracker):
    return own_tracker


def study(paths):
    client = MlflowClient(paths.tracking_uri())
    experiment = client.get_experiment_by_name("imdb")
    found = client.search_runs([experiment.experiment_id], f"tags.`{names.ROLE}` = 'study'")
    return client, experiment, found[0] if found else None


def state(value):
    packed = json.loads(value)["state"]
    assert packed.startswith("deflate;")
    return json.loads(zlib.decompress(base64.b64decode(packed.removeprefix("deflate;"))))


def named(header):
    return {view.name: state(view.value(0)) for view in views(header)}


@pytest.mark.parametrize(
    ("plan", "third", "shown"),
    [
        ({}, "Search", ["model.pooling"]),
        ({"study_type": "search", "searched": {"train.lr": {}}}, "Search", ["train.lr"]),
        ({"study_type": "factors", "factors": {"model.loss": ["bce"]}}, "Factors", ["model.loss"]),
        ({"study_type": "finalists", "searched": {"train.lr": {}}}, "Finalists", ["seed", "train.lr"]),
        ({"study_type": "splits", "factors": {"data.split_method": []}}, "Splits", ["data.split_method"]),
    ],
)
def test_each_type_of_study_brings_views_of_what_it_asks(plan, third, shown):
    own = Header(
        key="x/study", name="x", experiment="x", role="study", params=RunConfig().flat(),
        tags={names.STUDY: "x", names.PLAN: json.dumps(plan)},
    )  # fmt: skip
    found = named(own)
    assert list(found) == ["Leaderboard", "Curves", third]
    for each in found.values():
        assert each["searchFilter"] == "tags.`seqclf.role` = 'trial'"
        assert (each["orderByKey"], each["orderByAsc"]) == ("metrics.`best/val_accuracy`", False)
        assert {f"params.`{name}`" for name in shown} <= set(each["selectedColumns"])
        sections = {section["uuid"] for section in each["compareRunSections"]}
        assert {chart["metricSectionId"] for chart in each["compareRunCharts"]} <= sections
        # A metric without a chart would get one from MLflow, before all others.
        assert {chart.get("metricKey") for chart in each["compareRunCharts"]} >= set(METRICS)
        # Every column is wide enough for its name.
        assert set(each["selectedColumns"]) <= set(each["columnOrder"]) == set(each["columnWidths"])
        assert all(8 * len(name.split("`")[1]) < each["columnWidths"][name] for name in each["selectedColumns"])
    assert "tags.`outcome`" in found["Leaderboard"]["selectedColumns"]
    assert found["Curves"]["runsHiddenMode"] == "FIRST_10_RUNS"
    for view in views(own):
        assert len(view.value(1)) < 5000  # MLflow takes no longer tag


def test_what_is_measured_once_is_shown_as_bars():
    for each in named(header("imdb/study")).values():
        for chart in each["compareRunCharts"]:
            if not chart["deleted"] and chart.get("metricKey", "").startswith(("best/", "test/")):
                assert chart["type"] == "BAR"


def test_an_experiment_shows_its_own_runs():
    own = Header(key="baseline/1", name="x", experiment="baseline", role="experiment", params=RunConfig().flat())
    assert {each["searchFilter"] for each in named(own).values()} == {"tags.`seqclf.role` = 'experiment'"}


def test_views_arrive_once_and_what_a_person_changed_or_removed_stays_so(paths):
    record_study(paths, trials=1)
    sync_once(paths.runs)
    client, experiment, _ = study(paths)
    before = {tag: value for tag, value in experiment.tags.items() if tag.startswith(names.VIEW)}
    assert len(before) == 3
    leaderboard, curves, third = sorted(before)
    mine = json.dumps({**json.loads(before[leaderboard]), "name": "Mine"})
    client.set_experiment_tag(experiment.experiment_id, leaderboard, mine)
    client.set_experiment_tag(experiment.experiment_id, names.VIEW + "own", before[curves])
    client.delete_experiment_tag(experiment.experiment_id, third)
    client.set_experiment_tag(experiment.experiment_id, names.DESCRIPTION, "My words")
    record_trial(paths, "imdb/0001")
    sync_once(paths.runs)
    tags = study(paths)[1].tags
    assert tags[leaderboard] == mine
    assert tags[curves] == before[curves]
    assert third not in tags
    assert tags[names.VIEW + "own"] == before[curves]
    assert tags[names.DESCRIPTION] == "My words"


def test_a_view_of_an_older_version_that_nobody_changed_is_brought_up_to_date(paths):
    from experiments.tracking.views import digest  # what an older version would have written

    record_study(paths, trials=1)
    sync_once(paths.runs)
    client, experiment, _ = study(paths)
    tag = min(tag for tag in experiment.tags if tag.startswith(names.VIEW))
    old = json.dumps({**json.loads(experiment.tags[tag]), "state": "deflate;older"})
    written = json.loads(experiment.tags[names.VIEWS_WRITTEN]) | {tag.removeprefix(names.VIEW): digest(old)}
    client.set_experiment_tag(experiment.experiment_id, tag, old)
    client.set_experiment_tag(experiment.experiment_id, names.VIEWS_WRITTEN, json.dumps(written))
    record_trial(paths, "imdb/0001")
    sync_once(paths.runs)
    assert study(paths)[1].tags[tag] == experiment.tags[tag]


def test_the_studys_own_run_says_what_came_out(paths):
    asked = header("imdb/study").model_copy(
        update={"tags": {names.STUDY: "imdb", names.QUESTION: "Which is best?"}}
    )
    with Recorder.open(paths.journal("imdb/study"), asked) as recorder:
        record_trial(paths, "imdb/0000", "pruned")
        record_trial(paths, "imdb/0001")
        sync_once(paths.runs)
        _, _, own = study(paths)
        # Of the complete run, and while the study still goes on.
        assert own.info.status == "RUNNING"
        assert own.data.metrics == {
            "best/val_accuracy": 0.75, "best/val_loss": 0.5, "test/accuracy": 0.7, "test/loss": 0.6,
        }  # fmt: skip
        assert own.data.tags[names.DESCRIPTION] == "Which is best?"
        recorder.close("complete")
    page = paths.page("imdb")
    page.parent.mkdir(parents=True)
    page.write_text("<p>page")
    page.with_name("report.md").write_text(
        "# imdb\n\nWhich is best?\n\nThe mean, by 0.3 points.\n\n## Leaderboard\n\n|"
    )
    sync_once(paths.runs)
    _, _, own = study(paths)
    assert own.data.tags[names.DESCRIPTION] == "Which is best?\n\nThe mean, by 0.3 points."
    [data] = own.inputs.dataset_inputs
    assert data.dataset.name == "imdb"
    sync_once(paths.runs)
    assert study(paths)[2].data.metrics == own.data.metrics


def test_a_run_has_one_data_set_and_a_pruned_one_is_no_failure(paths):
    record_study(paths, trials=3)
    sync_once(paths.runs)
    client, experiment, _ = study(paths)
    found = client.search_runs([experiment.experiment_id], "tags.outcome = 'pruned'")
    assert [run.info.status for run in found] == ["FINISHED"]
    for run in client.search_runs([experiment.experiment_id]):
        assert len(run.inputs.dataset_inputs) <= 1
    failed = client.search_runs([experiment.experiment_id], "attributes.status = 'FAILED'")
    assert [run.data.tags[names.OUTCOME] for run in failed] == ["failed"]


def test_links_open_charts_where_a_view_is_made_of_them():
    assert all("compareRunsMode=CHART" in link(key) for key in CHARTED)
    assert link("seqclf-1-leaderboard") == "&viewStateShareKey=seqclf-1-leaderboard"
