"""This project, or an older version of it that lies in the working folder: training steps, or evaluation.

PYTHON seqclf.py REVIEWS.npz EMBED HIDDEN BATCH train|evaluation KERNEL SOURCE CACHE
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import numpy as np
import torch
from round import answer, arguments, seconds_of

from tests import bench_steps

_, sizes = arguments()
what, kernel, source, cache = sys.argv[5:9]
torch.manual_seed(0)
torch.set_num_threads(1)
reviews, config = bench_steps.reviews_like_imdb(source or None, Path(cache))
config = config.override(
    {"model.embed_dim": sizes.embed, "model.hidden_dim": sizes.hidden, "train.batch_size": sizes.batch}
)
make = bench_steps.our_step if what == "train" else bench_steps.our_evaluation
if "bf16" in inspect.signature(make).parameters:  # an older version, which had one kernel
    step = make(reviews, config, bench_steps.use_bf16("auto", bench_steps.CPU))
else:
    step = make(reviews, config, kernel=kernel)
batches = bench_steps.training_order(reviews.lengths, sizes.batch, 0, 0)
count, done = (2048 if what == "train" else 4096) // sizes.batch, 0


def one_round() -> float:
    global done
    chosen = [batches[(done + at) % len(batches)] for at in range(count)]
    done += count
    seconds = seconds_of(lambda: [step(batch) for batch in chosen])
    return float(sum(np.asarray(reviews.lengths)[batch].sum() for batch in chosen)) / seconds


answer(one_round)
