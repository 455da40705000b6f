"""What all commands share at their door: how a user's mistake, a validation error and Ctrl-C end."""

import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from pydantic import ValidationError

from seqclf_core.errors import UserError, is_disk_full

INTERRUPTED = 130


def run_command(main: Callable[[], int | None]) -> NoReturn:
    """Call ``main`` and exit with its status; a mistake or a full disk is a message and status 2, no traceback."""
    try:
        sys.exit(main())
    except ValidationError as error:
        print(f"error: {explain(error)}", file=sys.stderr)
        sys.exit(2)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        sys.exit(1)  # whoever read the output, such as `head`, has gone
    except Exception as error:
        if not is_disk_full(error):
            raise
        print(
            f"error: the disk takes no more ({error}). Make room and run the same command again.", file=sys.stderr
        )
        sys.exit(2)


def explain(error: ValidationError) -> str:
    """Say which settings are wrong: name, what was given, what was expected."""
    return "; ".join(
        f"{'.'.join(str(step) for step in each['loc'])} = {each['input']!r}: {each['msg']}"
        for each in error.errors()
    )


def named_settings(arguments: Sequence[str]) -> frozenset[str]:
    """Return the dotted names of the settings that a command line names, whatever their values.

    >>> sorted(named_settings(["imdb", "--model.hidden-dim", "64", "--seed=3"]))
    ['model.hidden_dim', 'seed']
    """
    flags = (each[2:].split("=", 1)[0] for each in arguments if each.startswith("--"))
    return frozenset(flag.replace("-", "_") for flag in flags)
