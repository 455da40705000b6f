"""Small files of reviews that several tests write and read."""

import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq

from seqclf_core.config import DataConfig
from seqclf_core.data.reviews import load_reviews

ROWS = [
    {"text": f'review {number}, "quoted"\nand on another line', "label": number % 2, "movie": f"tt{number // 3}"}
    for number in range(30)
]


def write(file, rows):
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), file)
    elif file.suffix == ".csv":
        with file.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)
    else:
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def folder(path, train=ROWS, test=ROWS[:10], suffix=".csv"):
    write(path / f"train{suffix}", train)
    write(path / f"test{suffix}", test)
    return path


def load(source, **settings):
    return load_reviews(DataConfig(source=str(source), **settings))
