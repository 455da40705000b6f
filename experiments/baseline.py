"""How good is one LSTM classifier with the known good settings? The run to compare your own ideas with.

make experiment NAME=baseline
make experiment NAME=baseline ARGS="--model.pooling mean --seed 1"
"""

from __future__ import annotations

from experiments.experiment import Experiment
from seqclf_core.config import RunConfig
from seqclf_core.run import run

EXPERIMENT = Experiment(
    purpose="How good is one LSTM classifier with the known good settings?",
    base=RunConfig(),
    stream=run,
)
