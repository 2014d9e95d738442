"""Opens every Parquet file below a folder and reads it whole; prints how many there are."""

import sys
from pathlib import Path

import pyarrow.parquet

files = sorted(Path(sys.argv[1]).rglob("*.parquet"))
for file in files:
    table = pyarrow.parquet.read_table(file)
    assert table.num_rows > 0, f"{file} is empty"
print(len(files))
