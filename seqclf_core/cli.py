"""What all commands share: how arguments are parsed, and how a mistake, a full disk and Ctrl-C end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import NoReturn, TypeVar

import tyro
from pydantic import ValidationError

from seqclf_core.errors import UserError, is_disk_full, machine_refusal
from seqclf_core.masking import mask

INTERRUPTED = 130
"""Exit status after Ctrl-C, as a shell expects it."""

Options = TypeVar("Options")


def parse(
    options: type[Options], arguments: Sequence[str], command: str, default: Options | None = None
) -> Options:
    """Read a command's arguments into its options.

    Args:
        options: a dataclass; each field's docstring is its line in ``--help``.
        arguments: what stands behind the command's name.
        command: the command's name, as it was typed: ``study imdb``.
        default: values of the options that are not given.

    Raises:
        SystemExit: after ``--help``, or where an option is unknown or its value does not fit.
        pydantic.ValidationError: if a setting's value is out of its range.
    """
    if default is None:
        return tyro.cli(options, prog=f"seqclf {command}", args=arguments)
    return tyro.cli(options, prog=f"seqclf {command}", args=arguments, default=default)


def run_command(main: Callable[[], int | None]) -> NoReturn:
    """Call ``main`` and exit with its status; a mistake, or what the machine refuses, is one line and status 2."""
    try:
        sys.exit(main())
    except ValidationError as error:
        _fail(explain(error))
    except UserError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        sys.exit(1)  # whoever read the output, such as `head`, has gone
    except Exception as error:
        if is_disk_full(error):
            room = "Make room (`df -h` and `df -i` say of what) and run the same command again."
            _fail(f"the disk is full ({error}). {room}")
        refusal = machine_refusal(error)
        if refusal is None:
            raise
        _fail(refusal)


def _fail(message: str) -> NoReturn:
    print(f"error: {mask(message)}", file=sys.stderr)
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
