"""How long a study still takes, by the work that is left: tokens to train on, weighed by what a token costs.

A token's cost follows from the widths of the model; what one unit of cost takes on this machine is measured by the
evaluations of the study itself, so nothing has to be timed before it starts. What slows a machine is mostly
passing, so that the latest evaluations and all of them are asked, and the faster answer is believed.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from seqclf_core.config import RunConfig
from seqclf_core.data.cache import Corpus

FIXED_COST = 60_000.0
"""Floating-point operations per token that a token costs besides its products with the weights; fitted to measured
speeds of small and large models."""
PRUNED_SHARE = 0.6
"""Proportion of its work that a trial of a pruned search does on average, before the study has shown its own."""
WEIGHT = 4
"""Number of trials that this counts for; as many are never pruned, since there is nothing to compare them with."""
SIMULATED_RUNS = 1000
"""So many runs to come are laid out on the slots one by one; beyond them their sum is divided."""


@dataclass(frozen=True)
class Workload:
    """The texts of a study's base settings, as far as the work of a run depends on them."""

    lengths: NDArray[np.int64]
    """(N,) tokens of each training text."""

    @classmethod
    def of(cls, corpus: Corpus) -> Workload:
        """Return the workload of the runs on this data."""
        return cls(np.diff(corpus.train.offsets))

    def cost(self, config: RunConfig) -> float:
        """Return the work of a whole run, neither pruned nor stopped early, in units that only compare."""
        model, flat = config.model, config.flat()
        limit = flat.get("data.train_limit")
        texts = min(1.0, int(limit) / max(1, len(self.lengths))) if limit else 1.0
        tokens = float(np.minimum(self.lengths, config.data.max_length).sum()) * texts * config.train.epochs
        layers = model.num_layers * (2 if model.bidirectional else 1)
        return tokens * (FIXED_COST + 24.0 * layers * model.hidden_dim * (model.embed_dim + model.hidden_dim))


@dataclass
class _Run:
    cost: float
    share: float = 0.0
    """Proportion of its evaluations that are done."""
    seconds: float = 0.0
    """Seconds of work up to the last one."""


@dataclass
class TimeLeft:
    """What has been seen of a study's runs so far. It has state: it learns from every evaluation."""

    slots: int
    prunes: bool = False
    """Whether the study prunes trials."""
    usual: float | None = None
    """Average cost of a run that may be drawn; it counts for ``WEIGHT`` runs."""
    _running: dict[str, _Run] = field(default_factory=dict)
    _ended: list[_Run] = field(default_factory=list)
    _recent_seconds: float = 0.0
    _recent_work: float = 0.0
    """Of the evaluations so far, each counted the less the more work was done after it."""

    def start(self, key: str, cost: float) -> None:
        """Note that a run has started, or goes on."""
        self._running.setdefault(key, _Run(cost))

    def evaluated(self, key: str, share: float, seconds: float) -> None:
        """Note an evaluation.

        Args:
            key: of the run.
            share: proportion of its evaluations that are done.
            seconds: of work up to here.
        """
        run = self._running[key]
        work = (share - run.share) * run.cost
        if work > 0:
            fades = math.exp(-work / (self.slots * self._average_cost()))
            self._recent_seconds = self._recent_seconds * fades + seconds - run.seconds
            self._recent_work = self._recent_work * fades + work
        run.share, run.seconds = share, seconds

    def end(self, key: str) -> None:
        """Note that a run has ended, however it did."""
        run = self._running.pop(key, None)
        if run is not None and run.share > 0:
            self._ended.append(run)

    def left(self, to_come: int, known: Iterable[float] = ()) -> float | None:
        """Return the seconds until all is done; None before anything is known.

        Args:
            to_come: number of runs that have not started.
            known: their costs, where they are known beforehand; else they are taken to be like those seen.
        """
        rate = self._rate()
        if rate is None:
            return None
        slots = [self._rest(run, rate) for run in self._running.values()]
        everything = [*self._ended, *self._running.values()]
        weight = WEIGHT if self.usual else 0
        typical = (sum(run.cost for run in everything) + weight * (self.usual or 0.0)) / (len(everything) + weight)
        share = self._share()
        coming = list(known)[:to_come] or [typical] * to_come
        times = [cost * share * rate for cost in coming]
        return _laid_out(slots, times, self.slots)

    def _average_cost(self) -> float:
        costs = [run.cost for run in (*self._ended, *self._running.values())]
        return sum(costs) / len(costs)

    def _rate(self) -> float | None:
        """Return the seconds that a unit of work takes; None before anything is known."""
        seen = [run for run in (*self._ended, *self._running.values()) if run.share > 0 and run.seconds > 0]
        if not seen:
            return None
        overall = sum(run.seconds for run in seen) / sum(run.cost * run.share for run in seen)
        return min(overall, self._recent_seconds / self._recent_work)

    def _share(self) -> float:
        """Return the proportion of its work that a run to come will probably do."""
        shares = [run.share for run in self._ended[WEIGHT if self.prunes else 0 :]]
        usual = PRUNED_SHARE if self.prunes else 1.0
        return (usual * WEIGHT + sum(shares)) / (WEIGHT + len(shares))

    def _rest(self, run: _Run, rate: float) -> float:
        """Return the seconds that a running run probably still takes: as long as those that came as far as it."""
        further = [ended.share for ended in self._ended if ended.share > run.share]
        share = (sum(further) + 1.0) / (len(further) + 1)
        return max(0.0, share - run.share) * run.cost * rate


def _laid_out(busy: list[float], times: list[float], slots: int) -> float:
    """Return when the last of these runs ends, each started in the first slot that is free."""
    free = [*busy, *[0.0] * (slots - len(busy))] or [0.0]
    heapq.heapify(free)
    for seconds in times[:SIMULATED_RUNS]:
        heapq.heappush(free, heapq.heappop(free) + seconds)
    return max(free) + sum(times[SIMULATED_RUNS:]) / len(free)
