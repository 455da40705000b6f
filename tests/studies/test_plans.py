"""What a study set out to do is written once, with uid and seed: in Optuna, the journal, and read back whole."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from experiments.tracking import journal, names
from experiments.tracking.plan import StudyPlan
from seqclf_core.config import RunConfig
from seqclf_core.errors import UserError
from studies import factors, fractions, imdb, labels, splits, variance
from studies.engine.storage import PLAN, stored_seed
from studies.study import Study
from tests.studies.engine.stepping import OpenScheduler, run_all

SIX = "a=1,2 b=1,2 c=1,2 d=1,2 e=1,2 f=1,2"


def test_the_plan_in_the_journal_is_the_one_in_optuna(open_scheduler: OpenScheduler, study: Study) -> None:
    owner = open_scheduler(replace(study, seed=7), total=2)
    run_all(owner)
    header = journal.opened(journal.read(owner.paths.journal("test/study"))).header
    plan = StudyPlan.from_tags(header.tags)
    assert plan is not None
    assert plan == StudyPlan.model_validate_json(owner.optuna.user_attrs[PLAN]) == owner.plan
    assert (plan.seed, plan.total, plan.study_type, plan.question) == (7, 2, "search", study.question)
    assert plan.searched.keys() == {"train.lr", "model.pooling"}
    for number in range(2):
        trial = journal.opened(journal.read(owner.paths.journal(f"test/{number:04d}"))).header
        assert trial.tags[names.UID] == trial.uid == plan.uid
    again = open_scheduler(replace(study, seed=7), total=3)
    assert again.plan == plan  # as it was planned at first


def test_every_study_has_a_uid_of_its_own_and_its_seed_is_part_of_it(
    open_scheduler: OpenScheduler, study: Study
) -> None:
    one, other = (open_scheduler(replace(study, seed=3), name=name) for name in ("one", "other"))
    assert one.plan.uid != other.plan.uid
    assert stored_seed(one.optuna._storage._backend, "one") == 3  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="the study's seed was 3, is 4"):
        open_scheduler(replace(study, seed=4), name="one")


def test_another_seed_is_a_replication_and_more_blocks_an_extension() -> None:
    few, many, other = (
        [(each.name, each.settings) for each in factors.build_study(factors.Params(blocks=blocks), seed).planned]
        for blocks, seed in ((3, 5), (6, 5), (3, 6))
    )
    assert many[: len(few)] == few
    assert [name for name, _ in other] == [name for name, _ in few]
    assert all(mine["train.lr"] != theirs["train.lr"] for (_, mine), (_, theirs) in zip(few, other, strict=True))


def test_the_split_is_drawn_anew_in_every_block_and_shared_within_it() -> None:
    study = factors.build_study(factors.Params(blocks=5))
    by_block: dict[str, set[object]] = {}
    for each in study.planned:
        by_block.setdefault(each.tags[names.BLOCK], set()).add(each.settings["data.split_seed"])
    assert [len(seeds) for seeds in by_block.values()] == [1] * 5
    assert len(set.union(*by_block.values())) == 5


def test_simple_effects_are_declared_with_the_study() -> None:
    plan = factors.build_study(factors.Params(blocks=1, margin=0.5)).plan
    assert (plan.margin, plan.outcome, plan.design) == (0.5, "test/accuracy", "full")
    assert [each.name for each in plan.declared] == [
        "model.pooling: mean - last",
        "model.loss: cross_entropy - bce",
        "model.pooling: mean - last, at model.loss=bce",
        "model.pooling: mean - last, at model.loss=cross_entropy",
        "model.loss: cross_entropy - bce, at model.pooling=last",
        "model.loss: cross_entropy - bce, at model.pooling=mean",
    ]


@pytest.mark.parametrize("count", [4, 5, 6, 7])
def test_a_fraction_and_its_fold_over_free_main_effects_of_interactions(count: int) -> None:
    block = fractions.signs(count)
    both = np.concatenate([block, -block])
    assert len(block) == 8
    assert len(np.unique(block, axis=0)) == 8
    effects = both.T @ both
    assert (effects == np.diag([16] * count)).all()  # main effects are clear of each other
    for one in range(count):
        for other in range(one):
            assert (both.T @ (both[:, one] * both[:, other]) == 0).all()
    letters = [chr(ord("A") + at) for at in range(count)]
    assert all(not fractions.aliases(letters)[letter] for letter in letters)


def test_the_aliases_of_six_factors_are_those_of_the_book() -> None:
    found = {name: set(same) for name, same in fractions.aliases(list("ABCDEF")).items() if " x " in name}
    assert found == {
        "A x B": {"E x F"}, "A x C": {"D x F"}, "A x D": {"C x F"}, "A x E": {"B x F"},
        "A x F": {"B x E", "C x D"}, "B x C": {"D x E"}, "B x D": {"C x E"},
    }  # fmt: skip


def test_twelve_blocks_of_eight_ask_six_questions() -> None:
    study = factors.build_study(factors.Params(design="fraction"))
    assert (study.total, study.plan.blocks, len(study.plan.factors)) == (96, 12, 6)
    for name, levels in study.plan.factors.items():
        assert Counter(each.settings[name] for each in study.planned) == dict.fromkeys(levels, 48)
    first, second = ([dict(each.settings) for each in study.planned[at : at + 8]] for at in (0, 8))
    flipped = [[study.plan.factors[name].index(cell[name]) for name in study.plan.factors] for cell in first]
    opposite = [[1 - study.plan.factors[name].index(cell[name]) for name in study.plan.factors] for cell in second]
    assert flipped == opposite
    assert StudyPlan.model_validate_json(study.plan.model_dump_json()) == study.plan


@pytest.mark.parametrize(
    ("params", "told"),
    [
        (factors.Params(design="fraction", blocks=3), "odd number"),
        (factors.Params(design="fraction", factors="model.pooling=last,mean"), "4 to 7 factors"),
        (factors.Params(design="fraction", factors=factors.FRACTION.replace("last,", "last,max,")), "two levels"),
    ],
)
def test_a_fraction_that_makes_no_sense_is_refused(params: factors.Params, told: str) -> None:
    with pytest.raises(UserError, match=told):
        factors.build_study(params)


def test_each_source_of_chance_varies_alone() -> None:
    study = variance.build_study(variance.Params(seeds=4), seed=1)
    assert study.total == 20
    common = Counter(json.dumps(dict(each.settings), sort_keys=True) for each in study.planned)
    assert len(common) == 20
    for source in variance.SOURCES:
        runs = [dict(each.settings) for each in study.planned if each.tags[names.VARIED] == source]
        varying = {name for name in runs[0] if len({str(run[name]) for run in runs}) > 1}
        assert varying == set(variance.SETTINGS if source == "settings" else [variance.SEED_OF[source]])
    for each in study.planned:
        assert study.base.override(each.settings)


@pytest.mark.skipif("data.train_limit" not in RunConfig().flat(), reason="needs data.train_limit")
def test_labels_are_drawn_by_seed_and_shared_by_both_starts() -> None:
    study = labels.build_study(labels.Params(seeds=2, sizes="500,all"), seed=1)
    assert [each.settings["data.train_limit"] for each in study.planned] == [500, None] * 2
    texts = [each.settings["data.train_limit_seed"] for each in study.planned]
    assert texts[0] == texts[1] != texts[2] == texts[3]
    for each in study.planned:
        assert study.base.override(each.settings).data.train_limit == each.settings["data.train_limit"]


@pytest.mark.parametrize("text", ["", "1", "500,500", "some", "500,-3"])
def test_sizes_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(UserError):
        labels.parse_sizes(text)


def test_splits_say_what_they_compare() -> None:
    plan = splits.build_study(splits.Params(blocks=2)).plan
    assert plan.study_type == "splits"
    assert plan.factors == {"data.split_method": ("group", "random", "contiguous")}


def test_what_a_search_starts_with_follows_from_its_sample(study: Study) -> None:
    start = imdb.build_study(imdb.Params()).planned[0].settings
    assert start == {name: imdb.BASE.flat()[name] for name in imdb.build_study(imdb.Params()).space()}
