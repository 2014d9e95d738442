"""Prints what a Parquet file says of itself under `ringmill.manifest`, by the library named."""

import sys

library, path = sys.argv[1:]
if library == "pyarrow":
    import pyarrow.parquet

    print(pyarrow.parquet.read_metadata(path).metadata[b"ringmill.manifest"].decode())
else:
    import duckdb

    query = "SELECT value FROM parquet_kv_metadata(?) WHERE key = 'ringmill.manifest'"
    ((value,),) = duckdb.execute(query, [path]).fetchall()
    print(value.decode())
