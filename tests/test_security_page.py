"""SECURITY.md names the test of each item, and these tests are there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
NAMED = re.findall(r"`((?:[\w/]+/)?test_\w+\.py)(?:::(\w+))?`", (ROOT / "SECURITY.md").read_text())


def test_every_test_that_it_names_exists():
    assert len(NAMED) > 15
    for file, name in NAMED:
        content = (ROOT / "tests" / file).read_text()
        assert f"def {name or 'test_'}" in content, (file, name)
