"""``seqclf verify``: make every published page again from its tables, and look up every number of the READMEs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seqclf_core.cli import parse


@dataclass(frozen=True)
class Options:
    """Verify that published pages say what their tables give, and READMEs no number that these do not have."""

    published: Path = Path("reports/imdb")
    """Folder of all that is published."""
    readme: Path = Path("README.md")
    """The README whose marked numbers are looked up, besides that in the folder."""
    site: Path | None = None
    """Folder to write the pages to as HTML; without it, nothing is written."""


def main(arguments: Sequence[str]) -> int:
    """Print every difference, a line each; status 1 where there is one.

    Raises:
        UserError: if nothing is published there, or a table cannot be read.
    """
    options = parse(Options, arguments, "verify")
    print(f"Making the pages of {options.published} again.", flush=True)
    from reports import publish
    from reports.records import published

    readmes = [path for path in (options.readme, options.published / "README.md") if path.is_file()]
    differences = publish.verify(options.published, readmes)
    for difference in differences:
        print(difference)
    if options.site is not None:
        publish.write_site(options.published, options.site)
    count = len(published.studies(options.published))
    if differences:
        print(f"Differences: {len(differences)}, in {options.published} with {count} studies.")
        return 1
    print(f"All pages of {count} studies in {options.published} are what their tables give.")
    return 0
