"""Whatever stands on a study's command line or in FACTORS gives a study, or one clear message and no traceback."""

import contextlib
import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from seqclf_core.cli import explain
from seqclf_core.config import RunConfig
from seqclf_core.errors import UserError
from studies.commands.study import options_of, study_of
from studies.engine.ownership import owned
from studies.factors import parse_factors

KNOWN = RunConfig().flat()
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
# What arrives in arguments: any text without NUL; bytes that are no UTF-8 come as lone surrogates.
TEXTS = st.text(st.characters(exclude_characters="\0"), max_size=30)
VALUES = st.one_of(
    TEXTS,
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(
        ["", "nan", "inf", "-1", "0", "None", "True", "1e400", "9" * 5000, "{}", "[]", "--", "auto", "x" * 5000]
    ),
)
FLAGS = st.sampled_from(
    [name.replace("_", "-") for name in KNOWN]
    + ["trials", "workers", "name", "hang-seconds", "storage", "study-seed"]
)
LEVELS = st.one_of(
    TEXTS, st.sampled_from(["1", "01", "1.0", "64", "last", "mean", "true", "True", "None", "1e400"])
)
FACTORS = st.lists(
    st.one_of(
        TEXTS, st.builds("{}={}".format, st.sampled_from(list(KNOWN)), st.lists(LEVELS, max_size=4).map(",".join))
    ),
    max_size=3,
).map(" ".join)


@QUICK
@given(pairs=st.lists(st.tuples(FLAGS, VALUES), max_size=3), study=st.sampled_from(["imdb", "factors"]))
def test_a_command_line_is_understood_or_refused(pairs: list[tuple[str, str]], study: str) -> None:
    arguments = [study, *(f"--{flag}={value}" for flag, value in pairs)]
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            module, options = options_of(arguments)
            declared = study_of(arguments, module, options, seed=0, storage="")
        except (UserError, ValidationError, SystemExit) as error:
            told = explain(error) if isinstance(error, ValidationError) else str(error)
            assert told or said.getvalue()
            return
    assert declared.total >= 1
    assert declared.base.override({}) == declared.base
    assert options.workers is None or options.workers >= 1


@given(name=TEXTS)
@QUICK
def test_a_name_is_a_folder_under_runs_or_refused(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    from experiments.tracking.paths import RunPaths

    home = tmp_path_factory.mktemp("home")  # other tests write beside it
    runs = home / "above" / "runs"
    runs.mkdir(parents=True)
    before = set(home.rglob("*"))
    try:
        with owned(RunPaths(runs), name):
            pass
    except UserError:
        assert set(home.rglob("*")) == before
    else:
        assert all(path.is_relative_to(runs) for path in set(home.rglob("*")) - before)


@given(text=FACTORS)
@settings(max_examples=200, deadline=None)
def test_factors_are_different_levels_of_real_settings_or_refused(text: str) -> None:
    try:
        factors = parse_factors(text)
    except UserError:
        return
    assert factors
    for name, levels in factors.items():
        assert len(set(levels)) == len(levels) >= 2
        for level in levels:
            assert RunConfig().override({name: level}).flat()[name] == level
