"""RUNS remembers where its stores are, when they are elsewhere: ``stores.json``, which holds no passwords.

Whatever records says which stores it uses; every other command then looks there, and makes no second store beside
them. Passwords come from where drivers and MLflow look for them (``~/.pgpass``, ``$PGPASSWORD``,
``$MLFLOW_TRACKING_USERNAME``, ``$MLFLOW_TRACKING_PASSWORD``), or with a whole address in the environment.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from experiments.tracking.servers import database_url
from seqclf_core.errors import UserError
from seqclf_core.files import atomic_write
from seqclf_core.masking import is_secret, mask


@dataclass(frozen=True)
class Remembered:
    """Addresses without passwords; None where the store is the one under RUNS."""

    storage: str | None = None
    """Address of Optuna's database."""
    tracking_uri: str | None = None
    """Address of MLflow's tracking server or database."""
    artifacts: str | None = None
    """Place of the runs' files: a folder under RUNS, or ``mlflow-artifacts:/`` where MLflow's server knows it."""


def recall(file: Path) -> Remembered:
    """Return what a file says of the stores; nothing where there is none.

    Raises:
        UserError: if it cannot be read.
    """
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        known = {name: found.get(name) for name in asdict(Remembered())}
        if not all(value is None or isinstance(value, str) for value in known.values()):
            raise ValueError("an address is no text")
        return Remembered(**known)
    except FileNotFoundError:
        return Remembered()
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(
            f"{file} cannot be read ({error}): it says where Optuna's database and MLflow are. Restore it, or "
            "remove it and name them once more: SEQCLF_OPTUNA_URI=... MLFLOW_TRACKING_URI=..."
        ) from error


def remember(file: Path, known: Remembered, **addresses: str | None) -> Remembered:
    """Write down where stores are, as far as that is new.

    Args:
        file: ``stores.json``; it is removed where all stores are under RUNS.
        known: what it says now.
        addresses: of those that are recorded in now; None is the store under RUNS.
    """
    plain = {name: address and without_password(address) for name, address in addresses.items()}
    changed = {name: address for name, address in plain.items() if not same(getattr(known, name), address)}
    if not changed:
        return known
    new = replace(known, **changed)
    if new == Remembered():
        file.unlink(missing_ok=True)
    else:
        shown = {name: address for name, address in asdict(new).items() if address}
        atomic_write(file, json.dumps(shown, indent=2) + "\n")
    return new


def same(one: str | None, other: str | None) -> bool:
    """Whether two addresses lead to one store, whoever asks there."""
    return one == other or (one is not None and other is not None and _place(one) == _place(other))


def _place(address: str) -> str:
    """Return an address without who asks there."""
    scheme, separator, rest = without_password(address).partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}".rstrip("/")


def without_password(address: str) -> str:
    """Return an address with nothing secret in it; of a database it still names the user.

    >>> without_password("postgres://ann:secret@db.example.org/optuna")
    'postgresql://ann@db.example.org/optuna'
    >>> without_password("https://ann:secret@mlflow.example.org/")
    'https://mlflow.example.org/'
    """
    try:
        if address.startswith(("http://", "https://")):
            parts = urlsplit(address)
            query = urlencode([pair for pair in parse_qsl(parts.query) if not _is_secret(pair[0])])
            return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, query, ""))
        url = make_url(database_url(address))
    except (ArgumentError, ValueError):
        return mask(address)  # what it is nobody knows, nor what in it is secret
    if url.get_backend_name() == "sqlite" and url.database:
        url = url.set(database=str(Path(url.database).absolute()))
    open_to_all = {name: value for name, value in url.query.items() if not _is_secret(name)}
    return url.set(query=open_to_all)._replace(password=None).render_as_string(hide_password=False)


def _is_secret(name: str) -> bool:
    return is_secret(name) or name.lower().endswith("password")


@cache
def say_once(text: str) -> None:
    """Say something on standard error, once in this process."""
    print(text, file=sys.stderr, flush=True)
