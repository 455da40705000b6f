"""The name of every tag and metric in MLflow, each written once: those that write and those that read import it.

It imports nothing, so that reports, which read without MLflow, can use it too.
"""

from __future__ import annotations

PREFIX = "seqclf."
"""All tags that only this project gives a meaning to begin with it."""

# What a run is and whose.
KEY = "seqclf.key"
"""The run's key, ``<study or experiment>/<id>``: the name of its journal and of its folder under RUNS."""
UID = "seqclf.uid"
"""Random digits of the study or experiment that the run belongs to: two of one name are told apart by it."""
ROLE = "seqclf.role"
"""``study`` (a parent run), ``trial``, ``experiment`` or ``tagger``."""
STUDY = "seqclf.study"
TRIAL = "seqclf.trial"
"""The number of a trial in its study."""
PLANNED = "seqclf.planned"
"""The name of a trial that was planned beforehand, unique in its study."""
PLAN = "seqclf.plan"
"""What the study set out to do, as JSON; on the study's own run."""
QUESTION = "seqclf.question"
COMMAND = "seqclf.command"
"""What a person types to get the same."""
DATA_SCOPE = "seqclf.data_scope"
"""``whole``, ``limited`` or ``synthetic``."""
CHANGED = "seqclf.changed"
"""Settings that differ from those of the study's file."""

# How a run ended.
OUTCOME = "outcome"
"""``complete``, ``pruned`` or ``failed``; without prefix, since people filter by it in MLflow's search."""
ENDED = "seqclf.ended"
"""Why a complete run stopped training: ``completed``, ``early_stop`` or ``diverged``."""
REASON = "seqclf.reason"
"""Why a run failed."""

# What a run ran on.
DEVICE = "device"
PRECISION = "precision"
USED = "used."
"""Begins tags about the data that a run used: ``used.digest``, ``used.train`` (texts in that split)."""
PARAMETERS = "used.parameters"
"""How many numbers the model learns."""
COMMIT = "code.commit"
VERSIONS = "versions."
"""Begins tags with versions of libraries: ``versions.torch``."""

# Studies with a fixed list of trials.
BLOCK = "seqclf.block"
"""The number of the block of shared settings that a trial belongs to."""
VARIED = "seqclf.varied"
"""What alone varies in a run of a study of variance: ``init``, ``order``, ``dropout``, ``split``, ``settings``."""
FINALIST = "seqclf.finalist"
"""Which settings a finalist's run repeats: the key of the search's trial."""
RANK = "seqclf.rank"
SEARCH_VALUE = "seqclf.search_value"
TAGGER = "seqclf.tagger"
"""Digest of the tagger's weights that every trial starts from."""

# What has been sent to MLflow.
ENSEMBLE = "seqclf.ensemble"
"""Members of a registered ensemble and their weights, as JSON; on the version."""
MODEL_DIGEST = "seqclf.digest"
"""Digest of the model folder of a registered version; on the version."""
SYNCED = "seqclf.synced"
"""How many entries of its journal a run in MLflow has."""
REPORT = "seqclf.report"
"""Digest of the report page among the files of a study's own run."""

# MLflow's own.
MLFLOW = "mlflow."
"""Begins all tags that MLflow gives a meaning to."""
PARENT = "mlflow.parentRunId"
DESCRIPTION = "mlflow.note.content"
"""Markdown that MLflow shows at the top of a run or experiment."""
COLOR = "mlflow.runColor"
USER = "mlflow.user"
SOURCE_NAME = "mlflow.source.name"
SOURCE_TYPE = "mlflow.source.type"
SOURCE_COMMIT = "mlflow.source.git.commit"
DATASET_CONTEXT = "mlflow.data.context"
EXPERIMENT_KIND = "mlflow.experimentKind"
VIEWS_WRITTEN = "seqclf.views"
"""On an experiment, as JSON: which views were put there and the digest of each: a changed one is known by it."""
VIEW = "mlflow.sharedViewState."
"""Begins an experiment's tags that hold named views."""

# Metrics; a step is the number of training examples seen.
TRAIN_LOSS, TRAIN_ACCURACY = "train/loss", "train/accuracy"
VAL_LOSS, VAL_ACCURACY = "val/loss", "val/accuracy"
"""Of the last evaluation."""
BEST_VAL_LOSS, BEST_VAL_ACCURACY = "best/val_loss", "best/val_accuracy"
"""Of the kept weights; runs are ranked by these."""
TEST_LOSS, TEST_ACCURACY = "test/loss", "test/accuracy"
TOKENS_PER_SECOND = "tokens_per_second"
SECONDS = "seconds"
"""Seconds of work up to an evaluation."""
TOTAL_SECONDS = "total_seconds"
"""Seconds of work of the whole run, its test score included."""
