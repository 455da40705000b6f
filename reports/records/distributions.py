"""What a search drew its settings from, by SQL from Optuna's database: Optuna itself takes a second to import."""

from __future__ import annotations

import json

from sqlalchemy import create_engine, text

from reports.records.database import for_reading, has_table, readable

_DISTRIBUTIONS = text(
    """
    SELECT DISTINCT p.param_name, p.distribution_json FROM trial_params p
    JOIN trials t ON t.trial_id = p.trial_id JOIN studies s ON s.study_id = t.study_id
    WHERE s.study_name = :study
    """
)


def searched_settings(url: str, study: str) -> dict[str, bool]:
    """Return the settings that the trials of a study drew, and of each whether on a logarithmic scale.

    Args:
        url: of Optuna's storage.
        study: name of the study; one that is not there has no settings.

    Raises:
        UserError: if the database cannot be read.
    """
    with readable(url):
        if not has_table(url, "trial_params"):
            return {}
        plain, options = for_reading(url)
        engine = create_engine(plain, **options)
        try:
            with engine.connect() as connection:
                rows = connection.execute(_DISTRIBUTIONS, {"study": study}).all()
        finally:
            engine.dispose()
    found: dict[str, bool] = {}
    for name, distribution in rows:
        drawn = json.loads(distribution)["attributes"]
        found[name] = found.get(name, False) or bool(drawn.get("log", False))
    return found
