"""The Parquet files and the JSON Lines of a run have the same record ids, each as often."""

import sys
from pathlib import Path

import duckdb

folder = Path(sys.argv[1])
files = f"read_parquet('{folder}/http_*/**/*.parquet', union_by_name = true)"
lines = (
    f"read_json('{folder}/out.jsonl', format = 'newline_delimited', columns = {{record_id: 'UUID'}})"
)
in_files = f"SELECT lower(hex(record_id)) AS id, count(*) AS n FROM {files} GROUP BY 1"
in_lines = f"SELECT replace(record_id::VARCHAR, '-', '') AS id, count(*) AS n FROM {lines} GROUP BY 1"
only_in_files, only_in_lines = (
    duckdb.sql(f"SELECT count(*) FROM ({a} EXCEPT ({b}))").fetchall()[0][0]
    for a, b in ((in_files, in_lines), (in_lines, in_files))
)
assert (only_in_files, only_in_lines) == (0, 0), "ids, with how often each is there"
rows, ids = duckdb.sql(f"SELECT sum(n)::BIGINT, count(*) FROM ({in_files})").fetchall()[0]
assert rows == int(sys.argv[2]), f"{rows} rows"
print(f"DuckDB {duckdb.__version__}: {rows} rows with {ids} ids, the same in both")
