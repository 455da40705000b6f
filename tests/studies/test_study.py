"""What a study may be resumed with, and what naming a searched setting does."""

from dataclasses import replace

import pytest
from optuna.distributions import IntDistribution, json_to_distribution
from optuna.trial import Trial

from seqclf_core.config import RunConfig
from seqclf_core.errors import UserError
from studies import imdb
from studies.study import Study
from tests.studies.engine.stepping import OpenScheduler


def test_the_shipped_study_starts_with_its_base_and_fits_the_config() -> None:
    study = imdb.build_study(imdb.Params())
    start = study.planned[0].settings
    assert study.space().keys() == start.keys() <= RunConfig().flat().keys()
    assert study.base.override(start) == study.base


def test_searched_sizes_are_multiples_of_the_machines_vectors() -> None:
    """Of 16: other widths are computed as if they were the next one, and every shape costs memory."""
    space = imdb.build_study(imdb.Params()).space()
    for name in ("model.embed_dim", "model.hidden_dim", "train.batch_size"):
        drawn = json_to_distribution(space[name])
        assert isinstance(drawn, IntDistribution)
        assert not drawn.log
        assert not any(value % 16 for value in (drawn.low, drawn.high, drawn.step))


def test_naming_a_searched_setting_fixes_it(study: Study) -> None:
    base = study.base.override({"model.pooling": "max"})
    fixed = study.with_base(base, frozenset({"model.pooling", "train.epochs"}))
    assert fixed.fixed == {"model.pooling"}
    assert fixed.space().keys() == {"train.lr"}
    assert [each.settings for each in fixed.planned] == [{"train.lr": 0.02}]


def test_a_fixed_setting_steers_what_is_drawn_under_a_condition(study: Study) -> None:
    def sample(trial: Trial) -> None:
        if trial.suggest_categorical("model.pooling", ["last", "mean"]) == "mean":
            trial.suggest_int("model.hidden_dim", 4, 8)

    study = replace(study, sample=sample, planned=())
    base = study.base.override({"model.pooling": "mean"})
    assert study.with_base(base, frozenset({"model.pooling"})).space().keys() == {"model.hidden_dim"}


def test_nothing_left_to_search_is_refused(study: Study) -> None:
    with pytest.raises(UserError, match="nothing is left to search"):
        study.with_base(study.base, frozenset({"model.pooling", "train.lr"}))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"train.epochs": 2}, "train.epochs was 1, is 2"),
        ({"data.limit": 80}, "data_scope was whole, is limited"),
        ({"data.split_seed": 5}, "data.split_seed was 0, is 5"),
    ],
)
def test_other_settings_or_data_are_refused(
    open_scheduler: OpenScheduler, study: Study, changes: dict[str, object], told: str
) -> None:
    open_scheduler(study)
    with pytest.raises(UserError, match=f"(?s){told}.*another NAME"):
        open_scheduler(replace(study, base=study.base.override(changes)))


def test_another_search_space_is_refused(open_scheduler: OpenScheduler, study: Study) -> None:
    open_scheduler(study)
    with pytest.raises(UserError, match=r"model\.pooling was .*, is absent"):
        open_scheduler(study.with_base(study.base, frozenset({"model.pooling"})))


def test_two_studies_share_a_database(open_scheduler: OpenScheduler) -> None:
    first, second = open_scheduler(name="one"), open_scheduler(name="two")
    assert first.optuna.study_name != second.optuna.study_name
    assert len(first.optuna.trials) == len(second.optuna.trials) == 1
