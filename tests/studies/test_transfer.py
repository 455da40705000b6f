"""A search that starts with a tagger: its widths, its weights, and what is refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from seqclf_core.config import RunConfig
from seqclf_core.errors import UserError
from seqclf_core.next_word import TAGGER, train_language_model
from studies import finalists, transfer
from tests.studies.engine.stepping import OpenScheduler, outcomes, run_all


@pytest.fixture
def tagger(small: RunConfig, tmp_path: Path, cache: Path) -> Path:
    list(train_language_model(small.override({"train.epochs": 1}), tmp_path, cache))
    return tmp_path / TAGGER


def test_every_trial_starts_with_the_tagger_and_so_does_every_finalist(
    tagger: Path, small: RunConfig, open_scheduler: OpenScheduler
) -> None:
    declared = transfer.build_study(transfer.Params(trials=2, tagger=str(tagger)))
    assert declared.base.model.init_from == str(tagger)
    assert (declared.base.model.embed_dim, declared.base.model.hidden_dim) == (8, 8)
    assert not {"model.embed_dim", "model.hidden_dim", "model.num_layers"} & declared.space().keys()
    assert declared.notes["seqclf.tagger"][:16] in declared.subject  # other weights there are another study

    changes = {"data.source": small.data.source, "train.epochs": 1}
    study = declared.with_base(declared.base.override(changes), frozenset())
    owner = open_scheduler(study, name="transfer", total=2)
    run_all(owner)
    assert outcomes(owner) == ["COMPLETE"] * 2
    with pytest.raises(UserError, match="Choose another NAME"):
        open_scheduler(replace(study, subject="a tagger with other weights"), name="transfer", total=2)
    again = finalists.build_study(finalists.Params(of="transfer", best=1, seeds=2), 0, owner.paths.optuna_uri)
    assert again.base.model.init_from == str(tagger)
    assert again.base.model.hidden_dim == 8
    without = again.with_base(again.base.override({"model.init_from": None}), frozenset({"model.init_from"}))
    assert without.notes["seqclf.changed"] == "model.init_from"  # no longer to be compared with the search
    elsewhere = again.with_base(again.base.override({"data.source": "hub"}), frozenset({"data.source"}))
    assert "seqclf.changed" not in elsewhere.notes


@pytest.mark.parametrize(
    ("name", "told"), [("", "make experiment NAME=next_word"), ("nowhere", "no model folder")]
)
def test_without_a_tagger_it_says_how_to_make_one(name: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=told):
        transfer.build_study(transfer.Params(tagger=name and str(tmp_path / name)))


def test_a_relative_folder_means_the_same_from_everywhere(
    tagger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert transfer.build_study(transfer.Params(tagger="tagger")).base.model.init_from == str(tagger)
