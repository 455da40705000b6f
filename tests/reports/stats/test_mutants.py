"""Known mistakes in the statistics are seen; `python -m tests.reports.stats.mutants` tries all of them."""

from tests.reports.stats.mutants import MUTANTS, ROOT, survival


def test_a_known_mistake_is_seen():
    assert not survival(MUTANTS["z for t"])


def test_every_mutant_still_changes_the_code():
    for mutant in MUTANTS.values():
        assert (ROOT / mutant.file).read_text(encoding="utf-8").count(mutant.right) == 1
