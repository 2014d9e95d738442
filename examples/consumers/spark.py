"""Requests from Kafka into Parquet with Spark, each once.

    spark-submit --packages org.apache.spark:spark-sql-kafka-0-10_2.13:4.3.0 \\
        spark.py 127.0.0.1:9092 ringmill.http_request requests/

Takes what is there and ends; run it again for what has come since.

`records` was tried as a stream with Spark 4.3.0 over the 212 messages of a topic, each record
twice, and left 103, as many as there are ids. The messages came from files: the package above
could not be had.
"""

import sys

from pyspark.sql import SparkSession, functions as F

# Longer than a store may be away: what comes later than this behind the newest is left out.
LATEST = "1 day"

COLUMNS = """
    record_id STRING, time TIMESTAMP, src_ip STRING, dst_ip STRING, src_port INT, dst_port INT,
    flow DECIMAL(20, 0), method STRING, host STRING, uri STRING, referer STRING,
    extras MAP<STRING, STRING>
"""


def records(messages):
    """The records in messages of Kafka, each once."""
    record = F.from_json(F.col("value").cast("string"), COLUMNS).alias("record")
    all_of_them = messages.select(F.col("timestamp").alias("at"), record).select("at", "record.*")
    return all_of_them.withWatermark("at", LATEST).dropDuplicatesWithinWatermark(["record_id"])


def main(brokers, topic, directory):
    spark = SparkSession.builder.appName("ringmill").getOrCreate()
    messages = (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", brokers)
        .option("subscribe", topic)
        .option("startingOffsets", "earliest")
        .load()
    )
    (
        records(messages)
        .writeStream.format("parquet")
        .option("path", directory)
        .option("checkpointLocation", f"{directory}/_checkpoint")
        .trigger(availableNow=True)
        .start()
        .awaitTermination()
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
