"""Databases on a server: their addresses are understood, and what is wrong with them is told in a line.

No message here repeats an address or what a parser said of it: either may hold a password.
"""

from __future__ import annotations

from sqlalchemy import URL, create_engine, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from seqclf_core.errors import UserError

CONNECT_SECONDS = 10
"""Seconds within which a database server must accept a connection."""
INSTALL = ".venv/bin/python -m pip install -r requirements-team.lock"


def database_url(uri: str) -> str:
    """Return a database's address as SQLAlchemy writes it.

    >>> database_url("postgres://ann@db.example.org/optuna")
    'postgresql://ann@db.example.org/optuna'
    """
    for written in ("postgres://", "postgresql+psycopg2://"):
        if uri.startswith(written):
            return "postgresql://" + uri.removeprefix(written)
    return uri


def is_server(uri: str) -> bool:
    """Whether an address is of a database on a server: no file, and no MLflow over HTTP."""
    return uri.partition("://")[0].partition("+")[0] in ("postgres", "postgresql", "mysql", "mariadb", "mssql")


def check_database(whose: str, uri: str) -> None:
    """Connect to a database on a server once, unless the address is of something else.

    Args:
        whose: the name of the database's user in messages, such as "Optuna".
        uri: its address.

    Raises:
        UserError: if it cannot be used; says in a line what to do.
    """
    if not is_server(uri):
        return
    try:
        url = make_url(database_url(uri))
    except (ArgumentError, ValueError):
        # Without its cause: that quotes what it could not read, which may be a part of the password.
        raise UserError(
            f"{whose}'s address cannot be read: expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with "
            "@, /, : and % in a password written as %40, %2F, %3A and %25"
        ) from None
    try:
        arguments = {"connect_timeout": CONNECT_SECONDS} if url.get_backend_name() == "postgresql" else {}
        engine = create_engine(url, connect_args=arguments)
        with engine.connect():
            pass
        engine.dispose()
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise UserError(f"{whose}'s database needs a driver that is not installed ({error}): {INSTALL}") from error
    except (SQLAlchemyError, OSError) as error:
        raise UserError(f"{whose}'s database cannot be used: {_explained(url, error)}") from error


def _explained(url: URL, error: Exception) -> str:
    """Say what is wrong with a database by what its server or driver said."""
    said = " ".join(str(getattr(error, "orig", None) or error).split())
    where = f"{url.host or 'localhost'}:{url.port or 5432}"
    if "password authentication failed" in said or "no password supplied" in said or "role" in said:
        where_from = "" if url.password else ", which is looked for in ~/.pgpass and $PGPASSWORD"
        return (
            f"the server at {where} does not let user {url.username!r} in: look at the user's name and "
            f"password{where_from}"
        )
    if "does not exist" in said:
        return f"the server at {where} has no database {url.database!r}: make it (createdb {url.database})"
    if "refused" in said or "timeout" in said or "timed out" in said or "No such file" in said:
        return f"nothing answers at {where}: start the server there, or look at host and port"
    if "resolve" in said or "not known" in said:
        return f"there is no host {url.host!r}: look at the address"
    secret = url.password or ""
    return said.replace(str(secret), "***")[:300] if secret else said[:300]
