"""Requests from Kafka into Parquet with Spark, each once.

    spark-submit --packages org.apache.spark:spark-sql-kafka-0-10_2.13:4.3.0 \\
        spark.py 127.0.0.1:9092 ringmill.http_request requests/

Takes what is there and ends; run it again for what has come since.
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

brokers, topic, directory = sys.argv[1:]
spark = SparkSession.builder.appName("ringmill").getOrCreate()
messages = (
    spark.readStream.format("kafka")
    .option("kafka.bootstrap.servers", brokers)
    .option("subscribe", topic)
    .option("startingOffsets", "earliest")
    .load()
)
records = messages.select(
    F.col("timestamp").alias("at"), F.from_json(F.col("value").cast("string"), COLUMNS).alias("record")
).select("at", "record.*")
once = records.withWatermark("at", LATEST).dropDuplicatesWithinWatermark(["record_id"])
(
    once.writeStream.format("parquet")
    .option("path", directory)
    .option("checkpointLocation", f"{directory}/_checkpoint")
    .trigger(availableNow=True)
    .start()
    .awaitTermination()
)
