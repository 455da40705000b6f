"""Where text comes from: any source -> validated training and test texts. The one door for data.

Every source hands its columns over as it found them; ``validation`` decides what is fit for use. What is wrong is
named: file, line, row, and what to do.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from seqclf_core.config import ReviewsConfig
from seqclf_core.data.folders import WHOLE, Folder
from seqclf_core.data.readers import RawTable
from seqclf_core.data.sources import name_of, open_source, resolve
from seqclf_core.data.validation import LABELS, check_groups, check_labels, check_texts, label_values, listed
from seqclf_core.errors import DataError

TEXT_COLUMNS = ("text", "review", "sentence")
"""Names by which ``data.text_column=auto`` finds the column of texts; case does not matter."""
LABEL_COLUMNS = ("label", "sentiment")
"""Names by which ``data.label_column=auto`` finds the column of labels; case does not matter."""
GROUP_COLUMNS = ("movie", "group")
"""Names by which ``data.group_column=auto`` finds the column of groups; case does not matter."""
HELD_OUT = 5
"""Divisor of the number of texts: a source without a test split gives one text in this many to it."""

_SKIP = "Correct the row, or leave bad rows out with --data.on-bad-row skip."


@dataclass(frozen=True)
class Reviews:
    """Training and test texts, all of them fit for use."""

    train: pa.Table
    """Columns ``text`` (large_string), ``label`` (int64, 0 negative, 1 positive), ``row`` (int64, counted from 0
    in the source's own split, bad rows included) and, where there are groups, ``group`` (large_string). Texts of
    a validation split of the source's own stand at the end, and their rows are counted on."""
    test: pa.Table
    own_val: int
    """Number of texts at the end of ``train`` that are the source's own validation split; 0 where it has none."""
    source: str
    """Source of the texts in messages to the user: a path, hub name or 'synthetic (seed 0)'."""
    synthetic: bool
    group_column: str | None
    """The source's name for the groups, such as ``movie``."""
    skipped: int
    """Bad rows that were left out."""
    digest: str
    """SHA-256 over the texts, labels and groups of both, in their order."""
    data_set: str
    """SHA-256 over every text and label of the source, in any order, those that a limit leaves out included."""
    notes: tuple[str, ...]
    """Sentences for the user on how the texts were read."""

    def identity(self) -> list[object]:
        """Return what tells these texts, and what is told about them, from others; it can be written as JSON."""
        rows = [hashlib.sha256(table["row"].to_numpy().tobytes()).hexdigest() for table in (self.train, self.test)]
        told = [self.source, self.synthetic, self.group_column, self.skipped, self.own_val, list(self.notes)]
        return [self.digest, self.data_set, rows, *told]


def load_reviews(config: ReviewsConfig) -> Reviews:
    """Read, validate and, with ``data.limit``, thin out the texts of a source.

    Args:
        config: which source, and how to read it.

    Raises:
        DataError: if the texts cannot be used; names the file and row where there is one.
    """
    config = config.model_copy(update={"source": resolve(config.source)})
    name = name_of(config)
    raw = open_source(config)
    reader = Reader(config, raw)
    train = reader.read(raw.splits.get("train") or raw.splits[WHOLE])
    val = reader.own_validation(raw.splits.get("validation", []), train)
    own_val = 0
    if val is not None:
        own_val = val.num_rows
        train = pa.concat_tables([train, val], promote_options="none")
    if tests := raw.splits.get("test"):
        test = reader.read(tests, is_test=True)
    else:
        train, test = _hold_out(train, own_val, config, name)
        reader.notes.append(f"There is no test split: {test.num_rows:,} texts, a fifth, are held out as such")
        together = f", by {reader.group_column}" if "group" in train.column_names else ""
        name = f"{name} (no test split: a fifth held out as such{together}, seed {config.split_seed})"
    for split, table in (("train", train), ("test", test)):
        negative, positive = _counts(table)
        if not negative or not positive:
            bad = f" ({reader.skipped} bad rows were skipped)" if reader.skipped else ""
            raise DataError(
                f"{name}: the {split} split has {negative} negative and {positive} positive texts{bad}; "
                "both labels are needed."
            )
    data_set = _data_set(train, test)
    if config.limit is not None:
        ends = {"test": (test, config.limit), "train": (train.slice(0, train.num_rows - own_val), config.limit)}
        limited = {
            split: _thin_out(table, limit, [config.split_seed, number], f"{name}: the {split} split", "limit")
            for number, (split, (table, limit)) in enumerate(ends.items())
        }
        train = pa.concat_tables([limited["train"], train.slice(train.num_rows - own_val)])
        test = limited["test"]
    return Reviews(
        train=train,
        test=test,
        own_val=own_val,
        source=name,
        synthetic=config.source == "synthetic",
        group_column=reader.group_column if "group" in train.column_names else None,
        skipped=reader.skipped,
        digest=_digest(train, test),
        data_set=data_set,
        notes=(*raw.notes, *reader.notes),
    )


def unlabelled_texts(config: ReviewsConfig) -> tuple[pa.LargeStringArray, int]:
    """Read the texts without labels of a source, where it has some; and count the bad ones that were skipped.

    They are the split ``unsupervised`` of the hub's data, files or folders of that name (columns as in the
    training file; labels are not looked at), and ``train/unsup`` of the original archive. With ``data.limit`` at
    most so many, drawn by the seed of the split. They are read anew at every call.

    Raises:
        DataError: if they cannot be read or, unless bad rows are to be skipped, a text is bad; names file and row.
    """
    config = config.model_copy(update={"source": resolve(config.source)})
    raw = open_source(config, unlabelled=True)
    reader = Reader(config, raw)
    tables = raw.splits.get("unsupervised", [])
    texts = (
        reader.read(tables, labelled=False)["text"].combine_chunks() if tables else pa.array([], pa.large_string())
    )
    if config.limit is not None and len(texts) > config.limit:
        chosen = np.random.default_rng(config.split_seed).choice(len(texts), config.limit, replace=False)
        texts = texts.take(pa.array(np.sort(chosen)))
    return texts, reader.skipped


class Reader:
    """Reads the tables of splits, and keeps what is to be told about them."""

    def __init__(self, config: ReviewsConfig, raw: Folder) -> None:
        self.config = config
        self.skipped = 0
        self.notes: list[str] = []
        self.values = label_values(config.labels)
        self.class_names = raw.class_names
        if config.group_column in ("text", "label"):
            raise DataError(
                f"--data.group-column {config.group_column}: the {config.group_column} is not a group."
            )
        self.group_column: str | None = None if config.group_column in ("auto", "none") else config.group_column

    def read(self, tables: Sequence[RawTable], *, labelled: bool = True, is_test: bool = False) -> pa.Table:
        """Validate the tables of one split, and put them one behind the other.

        Returns:
            ``text``, ``row`` and, unless asked not to, ``label``; ``group`` where there is a group column.

        Raises:
            DataError: if a column is missing or, unless bad rows are to be skipped, a row is bad.
        """
        if self.config.group_column == "auto" and labelled and not is_test:
            self.group_column = next((name for name in GROUP_COLUMNS if name in tables[0].columns), None)
        found, rows = [], 0
        for table in tables:
            columns, problems = self._columns(table, labelled, is_test)
            if problems and self.config.on_bad_row == "stop":
                row = min(problems)
                raise DataError(f"{table.place(row)}: {problems[row]}. {_SKIP}")
            self.skipped += len(problems)
            good = (
                np.setdiff1d(np.arange(table.num_rows), list(problems)) if problems else np.arange(table.num_rows)
            )
            one = pa.table({**columns, "row": np.arange(rows, rows + table.num_rows)})
            found.append(one.take(good) if problems else one)
            rows += table.num_rows
        if not all("group" in table.column_names for table in found):
            found = [table.drop_columns("group") if "group" in table.column_names else table for table in found]
        return pa.concat_tables(found)

    def own_validation(self, tables: Sequence[RawTable], train: pa.Table) -> pa.Table | None:
        """Read the source's own validation split, where it is to be used; its rows are counted on."""
        method = self.config.split_method
        if not tables:
            if method == "given":
                raise DataError(
                    "data.split_method is 'given', but there is no validation file beside the training file."
                )
            return None
        if method not in ("auto", "given"):
            self.notes.append(
                f"{tables[0].name}: not used, since the validation split is drawn (data.split_method {method})"
            )
            return None
        val = self.read(tables, is_test=True)
        negative, positive = _counts(val)
        if not negative or not positive:
            raise DataError(
                f"{tables[0].name}: it has {negative} negative and {positive} positive texts; both are needed."
            )
        self.notes.append(f"{tables[0].name}: used as the validation split; none is drawn from the training split")
        offset = (pc.max(train["row"]).as_py() or 0) + 1
        val = val.set_column(val.column_names.index("row"), "row", pc.add(val["row"], offset))
        if "group" in train.column_names and "group" not in val.column_names:
            raise DataError(
                f"{tables[0].name}: there is no column {self.group_column!r}, as the training file has. "
                "Add --data.group-column none."
            )
        return val.select(train.column_names)

    def _columns(
        self, table: RawTable, labelled: bool, is_test: bool
    ) -> tuple[dict[str, pa.Array], dict[int, str]]:
        """Return a table's validated columns, and the rows that are bad with what is wrong with each."""
        problems = dict(table.problems)
        columns = {"text": check_texts(table.column(self._name(table, "text", labelled, is_test)), problems)}
        if not labelled:
            return columns, problems
        name = self._name(table, "label", labelled, is_test)
        names = table.class_names or self.class_names
        columns["label"] = check_labels(table.column(name), name, problems, names, self.values)
        group = self.group_column
        if group and (group in table.columns or not is_test):
            if group not in table.columns:
                raise DataError(
                    f"{table.name}: there is no column {group!r}; its columns are {listed(table.columns)}. "
                    "Name another --data.group-column, or none."
                )
            # Only a split by group depends on every row's group.
            needed = not is_test and self.config.split_method in ("auto", "group")
            bad = problems if needed else dict(problems)
            before = len(bad)
            groups = check_groups(table.column(group), group, bad)
            if needed or len(bad) == before:
                columns["group"] = groups
            else:
                self.notes.append(
                    f"{table.name}: the column {group!r} is not used: {len(bad) - before} cells are no group"
                )
        return columns, problems

    def _name(self, table: RawTable, role: str, labelled: bool, is_test: bool) -> str:
        """Return the name of a table's column of texts or labels."""
        given, usual = (
            (self.config.text_column, TEXT_COLUMNS)
            if role == "text"
            else (self.config.label_column, LABEL_COLUMNS)
        )
        names = usual if given == "auto" else (given,)
        lowered = [column.strip().lower() for column in table.columns] if given == "auto" else list(table.columns)
        for name in names:
            if lowered.count(name) > 1:
                raise DataError(f"{table.name}: it has the column {name!r} twice.")
            if name in lowered:
                return table.columns[lowered.index(name)]
        raise DataError(
            f"{table.name}: there is no column {names[0]!r}; its columns are {listed(table.columns)}. "
            + self._advice(table, role, labelled, is_test)
        )

    def _advice(self, table: RawTable, role: str, labelled: bool, is_test: bool) -> str:
        """Say which flag to add where a column is missing."""
        known = {*LABELS, *self.values}
        if any(name.strip().lower() in known for name in table.columns):
            longest = max(table.columns, key=len)
            guess = ",".join(
                "label" if name.strip().lower() in known else "text" if name == longest else f"column{n}"
                for n, name in enumerate(table.columns)
            )
            return f"If its first line is a text already, and no names of columns, add --data.columns {guess}"
        if is_test and role == "label":
            return "Texts without labels test nothing: move the file away, and a fifth of the others is held out."
        lowered = {column.strip().lower(): column for column in table.columns}
        taken = {
            next((lowered[name] for name in usual if name in lowered), None)
            for usual in (TEXT_COLUMNS, LABEL_COLUMNS)
        }
        rest = [column for column in table.columns if column not in taken]
        if not rest:
            return f"Add a column of {role}s"
        flags = [f"--data.{role}-column {shlex.quote(rest[0]) if len(rest) == 1 else 'NAME'}"]
        if (
            role == "text"
            and labelled
            and self.config.label_column == "auto"
            and not lowered.keys() & {*LABEL_COLUMNS}
        ):
            flags.append("--data.label-column NAME")
        return f"Say which one it is: add {' '.join(flags)}"


def _hold_out(table: pa.Table, own_val: int, config: ReviewsConfig, name: str) -> tuple[pa.Table, pa.Table]:
    """Split off a test split: stratified by label and, where there are groups, with each group on one side."""
    rest = table.slice(table.num_rows - own_val)
    table = table.slice(0, table.num_rows - own_val)
    labels = table["label"].to_numpy()
    groups = table["group"].to_numpy() if "group" in table.column_names else None
    few_groups = groups is not None and len(np.unique(groups)) < HELD_OUT
    if few_groups and config.split_method not in ("auto", "group"):
        groups, few_groups = None, False  # nothing is to be drawn by group
    if min(_counts(table)) < HELD_OUT or few_groups:
        raise DataError(
            f"{name}: there is no test split, and too little to hold one out; expected at least {HELD_OUT} "
            f"texts of each label and {HELD_OUT} groups where there are any. Add a test file, or more texts"
            f"{', or --data.group-column none' if few_groups else ''}."
        )
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold  # noqa: PLC0415 - a second, rarely

    folds = StratifiedKFold if groups is None else StratifiedGroupKFold
    splitter = folds(n_splits=HELD_OUT, shuffle=True, random_state=config.split_seed)
    train, test = next(splitter.split(labels, labels, groups))
    return pa.concat_tables([table.take(train), rest]), table.take(test)


def _counts(table: pa.Table) -> tuple[int, int]:
    """Return how many texts are negative and how many positive."""
    positive = pc.sum(table["label"]).as_py() or 0
    return table.num_rows - positive, positive


def _thin_out(table: pa.Table, limit: int, seed: list[int], name: str, setting: str) -> pa.Table:
    """Take this many texts at random, half of each label, in their old order."""
    return table.take(draw_balanced(table["label"].to_numpy(), limit, seed, name, setting))


def draw_balanced(
    labels: NDArray[np.int64], limit: int, seed: list[int], name: str, setting: str
) -> NDArray[np.int64]:
    """Draw positions of so many texts, half of each label, in ascending order.

    Raises:
        DataError: if there are too few.
    """
    wanted = (limit - limit // 2, limit // 2)
    counts = np.bincount(labels, minlength=2).tolist()
    if any(count < want for count, want in zip(counts, wanted, strict=True)):
        raise DataError(
            f"{name} has {counts[0]} negative and {counts[1]} positive texts; --data.{setting} {limit} asks for "
            f"{wanted[0]} and {wanted[1]}. At most {2 * min(counts)} can be asked for."
        )
    random = np.random.default_rng(seed)
    chosen = [
        random.choice(np.flatnonzero(labels == label), want, replace=False) for label, want in enumerate(wanted)
    ]
    return np.sort(np.concatenate(chosen))


def _data_set(*tables: pa.Table) -> str:
    """Return the SHA-256 over texts and labels in any order: a data set is one, however it is divided."""
    known = sorted(
        hashlib.sha256(b"%d" % label + text.encode()).digest()
        for table in tables
        for text, label in zip(table["text"].to_pylist(), table["label"].to_pylist(), strict=True)
    )
    return hashlib.sha256(b"".join(known)).hexdigest()


def _digest(*tables: pa.Table) -> str:
    """Return the SHA-256 over what is used; lengths tell where one text ends and the next begins."""
    digest = hashlib.sha256()
    for table in tables:
        digest.update(table["label"].to_numpy().astype("<i8").tobytes())
        for column in ("text", "group"):
            if column in table.column_names:
                digest.update(pc.binary_length(table[column]).to_numpy().astype("<i8").tobytes())
                for chunk in table[column].chunks:
                    offsets = np.frombuffer(chunk.buffers()[1], np.int64)[
                        chunk.offset : chunk.offset + len(chunk) + 1
                    ]
                    digest.update(memoryview(chunk.buffers()[2] or b"")[offsets[0] : offsets[-1]])
        digest.update(b"%d" % table.num_rows)
    return digest.hexdigest()
