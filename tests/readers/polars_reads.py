"""Reads the Parquet files with Polars and compares what it counts with the JSON Lines."""

import json
import sys
from collections import Counter
from pathlib import Path
from uuid import UUID

import polars

folder = Path(sys.argv[1])
lines = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
for record, column in (("http_request", "host"), ("http_response", "status_code")):
    table = polars.read_parquet(f"{folder}/{record}/**/*.parquet")
    assert isinstance(table.schema["time"], polars.Datetime), table.schema
    assert table.schema["time"].time_zone == "UTC", table.schema
    assert table.schema["time_ns"] == polars.Int64, table.schema
    assert table.schema["src_ip"] == polars.String, table.schema
    ours = [line for line in lines if line["record"] == record]
    assert table.height == len(ours) > 0, (table.height, len(ours))
    assert Counter(table[column]) == Counter(line.get(column) for line in ours)
    assert Counter(table["src_ip"]) == Counter(line["src_ip"] for line in ours)
    ids = sorted(str(UUID(bytes=value)) for value in table["record_id"])
    assert ids == sorted(line["record_id"] for line in ours)
    assert sorted(table["flow"]) == sorted(line["flow"] for line in ours)
    spread = table.filter(polars.col("time") > polars.datetime(2020, 1, 1, time_zone="UTC"))
    assert spread.height == table.height
    days = polars.scan_parquet(f"{folder}/{record}", hive_partitioning=True).collect()
    assert (days["day"] == days["time"].dt.date()).all(), days.schema
    assert (days["hour"] == days["time"].dt.hour()).all(), days.schema
print(f"Polars {polars.__version__}: {len(lines)} rows, same counts")
