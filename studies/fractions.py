"""Fractions of two-level factors: eight cells a block for four to seven factors, folded over by the next block.

Three factors take all their combinations; each further one has the level that the product of some of these gives
(Box, Hunter & Hunter, Statistics for Experimenters, 2nd ed., table 6.14). In one block main effects are mixed with
interactions of two factors. The next block runs the opposite levels throughout; over both, every main effect is
free of them (resolution IV), and interactions are told apart only from some others: their aliases.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqclf_core.errors import UserError

GENERATORS = {4: ("ABC",), 5: ("AB", "AC"), 6: ("AB", "AC", "BC"), 7: ("AB", "AC", "BC", "ABC")}
"""Number of factors -> products that give the levels of the factors behind the first three."""


def signs(count: int) -> NDArray[np.int64]:
    """Return the levels of a block as -1 and 1: (8, count); its fold-over has all signs reversed."""
    base = np.array(list(itertools.product((-1, 1), repeat=3)))
    columns = [base[:, at] for at in range(3)]
    columns += [np.prod([columns["ABC".index(letter)] for letter in word], axis=0) for word in GENERATORS[count]]
    return np.stack(columns, axis=1)


def cells(factors: Mapping[str, Sequence[Any]]) -> list[tuple[tuple[Any, ...], ...]]:
    """Return the cells of an even and of an odd block, each a level per factor.

    Raises:
        UserError: if a factor has more than two levels, or there are too few or too many factors.
    """
    for name, levels in factors.items():
        if len(levels) != 2:
            raise UserError(
                f"a fraction takes factors of two levels; {name} has {len(levels)}. DESIGN=full takes any"
            )
    if len(factors) not in GENERATORS:
        raise UserError(
            f"a fraction takes 4 to 7 factors; {len(factors)} were given. DESIGN=full takes any number"
        )
    block = signs(len(factors))
    return [
        tuple(
            tuple(levels[int(sign > 0)] for levels, sign in zip(factors.values(), row, strict=True))
            for row in signed
        )
        for signed in (block, -block)
    ]


def aliases(factors: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return each effect -> the effects that it cannot be told from, over a block and its fold-over.

    Main effects and interactions of two factors are looked at; a main effect has no alias among them. Of
    interactions that share one column the first names them all.
    """
    block = signs(len(factors))
    both = np.concatenate([block, -block])
    columns = {name: both[:, at] for at, name in enumerate(factors)}
    for one, other in itertools.combinations(factors, 2):
        columns[f"{one} x {other}"] = columns[one] * columns[other]
    found: dict[str, tuple[str, ...]] = {}
    taken: set[str] = set()
    for name, column in columns.items():
        if name not in taken:
            same = [other for other, its in columns.items() if other != name and abs(column @ its) == len(both)]
            taken.update(same)
            found[name] = tuple(same)
    return found
