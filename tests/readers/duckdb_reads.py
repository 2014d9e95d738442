"""Reads the Parquet files with DuckDB and compares every value with the JSON Lines."""

import json
import sys
from datetime import datetime, timezone
from pathlib import Path
from uuid import UUID

import duckdb

folder = Path(sys.argv[1])
lines = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
compared = 0
for record in ("http_request", "http_response"):
    table = f"read_parquet('{folder}/{record}/**/*.parquet')"
    # The directories of the hours are columns besides, which hide none of the file's.
    wrong = duckdb.sql(
        f"SELECT count(*) FROM (SELECT day, hour, make_timestamp(epoch_us(time)) AS utc FROM {table}) "
        "WHERE day <> utc::DATE OR hour <> hour(utc)"
    ).fetchall()[0][0]
    assert wrong == 0, f"{wrong} rows lie in the directory of another hour"
    table = f"read_parquet('{folder}/{record}/**/*.parquet', hive_partitioning = false)"
    types = dict(duckdb.sql(f"DESCRIBE SELECT * FROM {table}").project("column_name, column_type").fetchall())
    # What a query needs without a cast.
    assert types["time"] == "TIMESTAMP WITH TIME ZONE", types
    assert types["time_ns"] == "BIGINT", types
    assert types["src_ip"] == types["dst_ip"] == "VARCHAR", types
    assert types["src_port"] in ("USMALLINT", "INTEGER"), types
    assert types["extras"] == "MAP(VARCHAR, VARCHAR)", types
    assert types["record_id"] == "BLOB", types
    names = [name for name in types if name != "time"]
    rows = duckdb.sql(f"SELECT {', '.join(names)} FROM {table}").fetchall()
    theirs = sorted(
        json.dumps(
            {n: str(UUID(bytes=v)) if n == "record_id" else v for n, v in zip(names, row) if v is not None},
            sort_keys=True,
        )
        for row in rows
    )
    # One row is found by what JSON Lines, Kafka and the log call it.
    name = next(line["record_id"] for line in lines if line["record"] == record)
    found = f"SELECT count(*) FROM {table} WHERE record_id = unhex(replace('{name}', '-', ''))"
    assert duckdb.sql(found).fetchall()[0][0] == 1, name
    ours = []
    for line in lines:
        if line["record"] == record:
            line = {name: value for name, value in line.items() if name != "record"}
            whole, fraction = line.pop("time").rstrip("Z").split(".")
            seconds = datetime.fromisoformat(whole).replace(tzinfo=timezone.utc).timestamp()
            line["time_ns"] = int(seconds) * 1_000_000_000 + int(fraction)
            ours.append(json.dumps(line, sort_keys=True))
    ours.sort()
    assert theirs == ours, [pair for pair in zip(theirs, ours) if pair[0] != pair[1]][:2]
    micros = duckdb.sql(
        f"SELECT count(*) FROM {table} WHERE epoch_us(time) <> time_ns // 1000"
    ).fetchall()[0][0]
    assert micros == 0, f"{micros} times differ from time_ns"
    hour = duckdb.sql(
        f"SELECT count(*) FROM {table} WHERE time BETWEEN '2020-01-01' AND '2100-01-01'"
    ).fetchall()[0][0]
    assert hour == len(rows), "a time range without a cast"
    compared += len(rows)
print(f"DuckDB {duckdb.__version__}: {compared} rows equal")
