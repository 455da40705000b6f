"""What a doctor finds, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from filelock import Timeout

from seqclf_core.errors import UserError
from seqclf_core.masking import mask


@dataclass(frozen=True)
class Finding:
    """Something that disagrees."""

    what: str
    """Description of the disagreement, with the remedy where only a person can apply it."""
    repair: Callable[[], object] | None = None
    """Repairs it, or raises a ``UserError``; None where only a person can decide."""


@dataclass
class Diagnosis:
    """What was found so far. It has state: counts."""

    fix: bool
    found: int = 0
    left: int = 0

    def go_through(self, findings: Iterable[Finding]) -> None:
        """Print the findings, and repair each where that was asked for."""
        for finding in list(findings):
            self.found += 1
            failure = self._repair(finding) if self.fix and finding.repair else ""
            repaired = self.fix and finding.repair is not None and not failure
            self.left += not repaired
            print(f"- {mask(finding.what)}{' (repaired)' if repaired else ''}", flush=True)
            if failure:
                print(f"  It cannot be repaired: {mask(failure)}", flush=True)

    def _repair(self, finding: Finding) -> str:
        assert finding.repair is not None
        try:
            finding.repair()
        except (UserError, OSError, Timeout) as error:
            return str(error)
        return ""
