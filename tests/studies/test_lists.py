"""Lists: complete blocks, fresh seeds, each trial once, and questions that make no sense refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.distributions import IntDistribution
from optuna.trial import FrozenTrial

from experiments.serving.choosing import choose
from experiments.tracking.journal import Happened, read
from experiments.tracking.sync import sync_once
from reports import frames
from seqclf_core.config import RunConfig
from seqclf_core.errors import UserError
from seqclf_core.events import Finished
from studies import factors, finalists, splits
from studies.engine.cleanup import trial_rank_key
from studies.engine.inline import Inline
from studies.engine.storage import REPEATS
from studies.study import Study
from tests.studies.engine.stepping import OpenScheduler, journals_agree, outcomes, run_all

ROOT = Path(__file__).parents[2]


def blocks_of(study: Study, small: RunConfig) -> Study:
    """Make a declared list as small as the other tests' runs."""
    changes = {name: value for name, value in small.flat().items() if name not in study.space()}
    return study.with_base(study.base.override({**changes, "train.epochs": 1}), frozenset())


def test_every_cell_of_a_block_shares_all_but_the_factors() -> None:
    study = factors.build_study(factors.Params(blocks=5))
    assert study.total == len(study.planned) == 20
    blocks: dict[str, list[dict[str, object]]] = {}
    for each in study.planned:
        blocks.setdefault(each.tags["seqclf.block"], []).append(dict(each.settings))
    shared = {
        tuple(v for k, v in cell.items() if k in factors.SHARED) for cells in blocks.values() for cell in cells
    }
    assert len(shared) == len(blocks) == 5
    for cells in blocks.values():
        assert len({(cell["model.pooling"], cell["model.loss"]) for cell in cells}) == 4
    for each in study.planned:
        assert study.base.override(each.settings).train.on_divergence == "score"


def test_a_block_is_a_pure_function_of_seed_and_number() -> None:
    few, many = (factors.build_study(factors.Params(blocks=count)).planned for count in (2, 9))
    assert many[: len(few)] == few


def test_draws_fill_their_ranges_evenly() -> None:
    drawn = [factors.draw_block({"n": IntDistribution(1, 4)}, 0, block)["n"] for block in range(4000)]
    assert np.bincount(drawn)[1:] / 4000 == pytest.approx([0.25] * 4, abs=0.03)
    logs = [np.log(factors.draw_block(factors.SHARED, 0, block)["train.lr"]) for block in range(2000)]
    assert np.mean(logs) == pytest.approx(np.mean(np.log([5e-4, 1e-2])), abs=0.05)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("model.poling=last,mean", "no factor 'model.poling'"),
        ("model.pooling=last,first", "its levels are: last, mean, max"),
        ("model.pooling=last", "two or more"),
        ("model.pooling=last,last", "different"),
        ("model.hidden_dim=64,-1", "'-1' is no level"),
        (" ", "no factor was given"),
        ("model.pooling=last,mean model.pooling=max,mean", "twice"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(text: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        factors.build_study(factors.Params(factors=text))


def test_another_factor_needs_no_code() -> None:
    study = factors.build_study(factors.Params(blocks=1, factors="model.hidden_dim=16,32 model.pooling=max,mean"))
    assert {each.settings["model.hidden_dim"] for each in study.planned} == {16, 32}
    assert "model.hidden_dim" in study.space()


def test_a_list_that_is_interrupted_ends_with_each_cell_once(
    open_scheduler: OpenScheduler, small: RunConfig
) -> None:
    study = blocks_of(factors.build_study(factors.Params(blocks=2, factors="model.pooling=last,mean")), small)
    for steps in (3, 9):
        run_all(open_scheduler(study, total=study.total), most=steps)
    owner = open_scheduler(study, total=study.total)
    run_all(owner)
    assert outcomes(owner) == ["COMPLETE"] * 4
    assert journals_agree(owner)
    cells = {(t.params["seed"], t.params["model.pooling"]) for t in owner.optuna.trials}
    assert len(cells) == 4
    headers = [read(owner.paths.journal(f"test/{number:04d}"))[0] for number in range(4)]
    assert sorted(header.header.tags["seqclf.block"] for header in headers) == ["0", "0", "1", "1"]  # type: ignore[union-attr]

    more = blocks_of(factors.build_study(factors.Params(blocks=3, factors="model.pooling=last,mean")), small)
    owner = open_scheduler(more, total=more.total)
    run_all(owner)
    assert outcomes(owner) == ["COMPLETE"] * 6


def test_a_failed_cell_is_planned_again_but_not_for_ever(open_scheduler: OpenScheduler, small: RunConfig) -> None:
    study = blocks_of(factors.build_study(factors.Params(blocks=1, factors="model.pooling=last,mean")), small)
    study = replace(study, base=study.base.override({"model.init_from": "no such folder"}))
    owner = open_scheduler(study, total=2)
    run_all(owner)
    assert outcomes(owner) == ["FAIL"] * 6


def test_settings_that_a_list_sets_itself_cannot_be_named() -> None:
    study = factors.build_study(factors.Params(blocks=1))
    with pytest.raises(UserError, match=r"train\.lr cannot be named"):
        study.with_base(study.base, frozenset({"train.lr"}))


def test_finalists_are_the_best_by_validation_on_fresh_seeds(open_scheduler: OpenScheduler, study: Study) -> None:
    search = open_scheduler(study, name="search", total=3)
    run_all(search)
    uri = search.paths.optuna_uri
    declared = finalists.build_study(finalists.Params(of="search", best=2, seeds=2), 0, uri)
    ranked = sorted(search.optuna.trials, key=lambda t: (-(t.value or 0), t.number))[:2]
    assert [each.tags["seqclf.finalist"] for each in declared.planned] == [
        f"search/{trial.number:04d}" for _ in range(2) for trial in ranked
    ]
    for each, trial in zip(declared.planned, ranked * 2, strict=True):
        config = declared.base.override(each.settings)
        own = {"seed": each.settings["seed"], "data.source": "auto", "train.on_divergence": "score"}
        expected = study.base.override({**trial.params, **own})
        assert config == expected
    assert len({each.settings["seed"] for each in declared.planned}) == 2
    owner = open_scheduler(declared.with_base(study.base, frozenset()), name="final", total=4)
    run_all(owner)
    assert outcomes(owner) == ["COMPLETE"] * 4

    # The best seed of each keeps its weights, so that there is a model of whichever is the best on average.
    by_settings: dict[str, list[FrozenTrial]] = {each.repeats: [] for each in declared.planned}
    for trial in owner.optuna.trials:
        by_settings[trial.user_attrs[REPEATS]].append(trial)
    best = {min(trials, key=trial_rank_key).number for trials in by_settings.values()}
    kept = {int(path.parent.name) for path in owner.paths.work("final").glob("*/model")}
    assert len(best) == 2
    assert kept == best
    choice = choose(owner.paths, "final")
    assert choice.finalist
    means = {each: np.mean([t.value for t in trials]) for each, trials in by_settings.items()}
    assert choice.finalist.settings == max(means, key=lambda each: means[each])
    assert int(choice.model.key.split("/")[1]) in best


def test_a_finalist_that_diverges_counts_and_is_not_run_again(open_scheduler: OpenScheduler, study: Study) -> None:
    search = open_scheduler(study, name="search", total=1)
    run_all(search)
    declared = finalists.build_study(finalists.Params(of="search", best=1, seeds=2), 0, search.paths.optuna_uri)
    declared = declared.with_base(
        study.base.override({"train.on_divergence": declared.base.train.on_divergence}), frozenset()
    )
    inline = Inline()
    owner = open_scheduler(declared, name="final", total=2, executor=inline)
    with owner.recording():
        owner.step()
        stream: Any = inline._stream
        weights = stream.gi_frame.f_locals["trainer"].model.head.bias.data
        weights.fill_(float("nan"))  # as an optimizer leaves them that has gone too far
        while owner.step():
            pass
    assert outcomes(owner) == ["COMPLETE"] * 2
    events = [entry.event for entry in read(owner.paths.journal("final/0000")) if isinstance(entry, Happened)]
    assert isinstance(events[-1], Finished)
    assert events[-1].reason == "diverged"
    assert owner.optuna.trials[0].value == events[-1].metrics["best/val_accuracy"]


def test_finalists_begun_under_another_rule_for_divergence_are_not_mixed(
    open_scheduler: OpenScheduler, study: Study
) -> None:
    search = open_scheduler(study, name="search", total=1)
    run_all(search)
    declared = finalists.build_study(finalists.Params(of="search", best=1, seeds=1), 0, search.paths.optuna_uri)
    open_scheduler(declared.with_base(study.base, frozenset()), name="final", total=1)  # as before: a failure
    scored = declared.with_base(study.base.override({"train.on_divergence": "score"}), frozenset())
    with pytest.raises(UserError, match=r"train\.on_divergence was fail, is score"):
        open_scheduler(scored, name="final", total=1)


def test_finalists_of_a_published_search_are_those_of_the_search_itself(
    open_scheduler: OpenScheduler, study: Study, tmp_path: Path
) -> None:
    search = open_scheduler(study, name="search", total=3)
    run_all(search)
    question = finalists.Params(of="search", best=2, seeds=2)
    own = finalists.build_study(question, 0, search.paths.optuna_uri)
    sync_once(search.paths.runs)
    frames.runs(frames.Stores.under(search.paths.runs)).to_csv(tmp_path / "runs.csv", index=False)
    published = finalists.build_study(replace(question, of=str(tmp_path)), 0, "sqlite:///not read")
    assert published.plan.of_data == own.plan.of_data
    for one, other in zip(own.planned, published.planned, strict=True):
        assert (one.name, one.tags) == (other.name, other.tags)
        base = published.base.override({"model.init_from": own.base.model.init_from})
        assert own.base.override(one.settings) == base.override(other.settings)
    owner = open_scheduler(published.with_base(study.base, frozenset()), name="final", total=4)
    run_all(owner)
    assert outcomes(owner) == ["COMPLETE"] * 4


def test_the_search_published_here_has_its_finalists() -> None:
    study = finalists.build_study(finalists.Params(of=str(ROOT / "reports" / "imdb" / "imdb")))
    assert study.total == 15
    chosen = [(each.tags["seqclf.finalist"], each.tags["seqclf.search_value"]) for each in study.planned[:3]]
    assert [key for key, _ in chosen] == ["imdb/0000", "imdb/0014", "imdb/0008"]
    assert sorted(map(float, dict(chosen).values()), reverse=True) == [float(value) for _, value in chosen]


@pytest.mark.parametrize(
    "text", ["", "a,b\n1,2\n", "outcome,role,key,val/accuracy,train.lr,digest\ncomplete,trial,x,1,high,0\n"]
)
def test_what_is_no_published_search_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_text(text)
    with pytest.raises(UserError, match=r"runs of a published search|0 complete trials"):
        finalists.build_study(finalists.Params(of=str(tmp_path)))


def test_finalists_of_nothing_are_refused(open_scheduler: OpenScheduler, study: Study) -> None:
    owner = open_scheduler(study, name="search", total=1)
    with pytest.raises(UserError, match=r"no search 'other'.*There are: search"):
        finalists.build_study(finalists.Params(of="other"), 0, owner.paths.optuna_uri)
    with pytest.raises(UserError, match="0 complete trials"):
        finalists.build_study(finalists.Params(of="search"), 0, owner.paths.optuna_uri)


def test_kinds_of_split_are_compared_on_the_same_settings_and_other_parts_in_every_block() -> None:
    study = splits.build_study(splits.Params(blocks=4))
    assert study.total == 12
    blocks = [study.planned[at : at + 3] for at in range(0, 12, 3)]
    for cells in blocks:
        assert [cell.settings["data.split_method"] for cell in cells] == ["group", "random", "contiguous"]
        shared = [{k: v for k, v in cell.settings.items() if k != "data.split_method"} for cell in cells]
        assert shared[0] == shared[1] == shared[2]
    assert len({cells[0].settings["data.split_seed"] for cells in blocks}) == 4
