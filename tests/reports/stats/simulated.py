"""Studies whose truth is known: blocks with seed noise, effects that vary, failures, ties and an interaction."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from reports.stats.contrasts import cells, family

FACTORS = {"model.pooling": ["last", "mean"], "model.loss": ["cross_entropy", "bce"]}
CELLS = cells(FACTORS)  # last ce, last bce, mean ce, mean bce
POOLING, LOSS, INTERACTION = family(FACTORS)


@dataclass(frozen=True)
class World:
    """How accuracies come about, in per cent."""

    pooling: float = 0.0
    loss: float = 0.0
    interaction: float = 0.0
    block_sd: float = 2.0  # what the shared settings do to all cells alike
    seed_sd: float = 0.5  # of one run
    by_rate: float = 0.0  # change of the loss effect per doubling of the learning rate
    failing: float = 0.0  # probability that a block's last-state runs stay at 50 %
    skew: bool = False
    step: float = 0.0  # accuracies are multiples of this: ties

    def draw(self, rng: np.random.Generator, sims: int, blocks: int) -> tuple[np.ndarray, np.ndarray]:
        """Return accuracies (sims, blocks, 4) and the logarithm (to 2) of learning rates (sims, blocks)."""
        rate = rng.uniform(-2, 2, size=(sims, blocks))
        shape = (sims, blocks, len(CELLS))
        noise = rng.exponential(self.seed_sd, shape) if self.skew else rng.normal(0, self.seed_sd, shape)
        if self.skew:
            noise[..., :2] = rng.normal(0, 0.1, noise[..., :2].shape)  # else the skews cancel in the difference
        mean = np.array([pooling == "mean" for pooling, _ in CELLS])
        bce = np.array([loss == "bce" for _, loss in CELLS])
        loss = self.loss + self.by_rate * rate[..., None]
        accuracy = 86 + rng.normal(0, self.block_sd, size=(sims, blocks, 1)) + noise
        accuracy += mean * self.pooling + bce * loss + self.interaction * (mean - 0.5) * (bce - 0.5)
        failed = rng.random((sims, blocks, 1)) < self.failing
        accuracy = np.where(failed & ~mean, 50 + rng.normal(0, 0.1, shape), accuracy)
        return (np.round(accuracy / self.step) * self.step if self.step else accuracy), rate


def runs_frame(accuracy: np.ndarray, rate: np.ndarray | None = None) -> pd.DataFrame:
    """Turn one simulated study, (blocks, 4) in per cent, into a frame of runs."""
    rows = [
        {
            "key": f"study/{block:03d}-{cell}",
            "block": block,
            "model.pooling": CELLS[cell][0],
            "model.loss": CELLS[cell][1],
            "train.lr": 0.002 * 2.0 ** (0 if rate is None else rate[block]),
            "test/accuracy": accuracy[block, cell] / 100,
            "best/val_accuracy": accuracy[block, cell] / 100,
        }
        for block in range(len(accuracy))
        for cell in range(len(CELLS))
    ]
    return pd.DataFrame(rows)


def study(blocks: int, seed: int = 0, **world: float) -> pd.DataFrame:
    """Return the runs of one simulated study."""
    accuracy, rate = World(**world).draw(np.random.default_rng(seed), 1, blocks)
    return runs_frame(accuracy[0], rate[0])


def reviews(
    rng: np.random.Generator, blocks: int, movies: int, effect: float, shared_sd: float = 0.15
) -> tuple[np.ndarray, np.ndarray]:
    """Return contrasts per block and review (blocks, N), in points, and the movie of each review.

    Movies, reviews, blocks and chance each add their part; the first two are the same in every block.
    """
    of = np.repeat(np.arange(movies), rng.integers(1, 10, size=movies))
    movie = rng.normal(0, shared_sd, movies)[of] + rng.normal(0, shared_sd, len(of))
    block = rng.normal(0, 0.02, (blocks, 1))
    both = rng.normal(0, 0.1, (blocks, movies))[:, of] + rng.normal(0, 0.3, (blocks, len(of)))
    return effect + 100 * (movie + block + both), of
