"""A tag, a metric, a file or folder under RUNS is named in one place: nobody else writes its name out."""

import re
import tokenize
from pathlib import Path

import pytest

from experiments.tracking import names
from experiments.tracking.paths import RunPaths

ROOT = Path(__file__).parents[3]
PRODUCT = [
    path
    for folder in ("seqclf_core", "experiments", "studies", "reports")
    for path in (ROOT / folder).rglob("*.py")
]
OWNERS = {ROOT / "experiments" / "tracking" / name for name in ("names.py", "paths.py")}
UNDER_RUNS = re.compile(r"(?:optuna|mlflow|stores|champion|sync|workers|delivery)\.(?:db|json|log|lock)")


def literals(path):
    """Yield (line, text) of the strings in a module that are not docstrings."""
    with tokenize.open(path) as file:
        for token in tokenize.generate_tokens(file.readline):
            if token.type == tokenize.STRING and not token.string.startswith('"""'):
                yield token.start[0], token.string.strip("frb").strip("\"'")
            elif token.type == getattr(tokenize, "FSTRING_MIDDLE", None):
                yield token.start[0], token.string


def written_out(fits):
    return [
        f"{path.relative_to(ROOT)}:{line}: {text}"
        for path in PRODUCT
        if path not in OWNERS
        for line, text in literals(path)
        if fits(text)
    ]


def test_nobody_else_writes_out_the_name_of_a_tag():
    ours = re.compile(r"seqclf\.[a-z_]+|code\.commit")
    mlflows = {value for value in vars(names).values() if str(value).startswith(names.MLFLOW)} - {names.MLFLOW}
    assert not written_out(lambda text: ours.search(text) or any(tag in text for tag in mlflows))


def test_nobody_else_names_a_file_under_runs():
    assert not written_out(UNDER_RUNS.fullmatch)
    assert not written_out(lambda text: text.startswith("sqlite:///") and "runs/" not in text)


def test_no_two_paths_are_the_same(tmp_path):
    paths = RunPaths(tmp_path)
    found = [
        getattr(paths, name)
        for name, value in vars(RunPaths).items()
        if isinstance(value, property) and isinstance(getattr(paths, name), Path)
    ]
    assert len(found) > 10
    assert len(set(found)) == len(found)
    assert all(path.parent == tmp_path for path in found)


@pytest.mark.parametrize("name", sorted(name for name in vars(names) if name.isupper()))
def test_no_name_is_given_twice(name):
    value = getattr(names, name)
    assert value
    assert sum(other == value for key, other in vars(names).items() if key.isupper()) == 1
