-- Requests per host and minute from Kafka with Flink SQL: `sql-client.sh -f flink.sql`
--
-- Needs the jars flink-sql-connector-kafka and, because the sink's messages come in zstd unless it is
-- told otherwise, zstd-jni beside Flink's own.
--
-- Tried with Flink 2.3.0 (connector 5.0.0-2.2, the statements given to its Table API in one process)
-- and Apache Kafka 4.4.0: of 212 messages, each record twice, 103 requests, as many as there are ids.

-- How long an id is remembered: longer than a store may be away, or its records count twice.
SET 'table.exec.state.ttl' = '1 d';

CREATE TABLE http_request (
    record_id STRING,
    src_ip STRING,
    flow DECIMAL(20, 0),
    `method` STRING,
    host STRING,
    uri STRING,
    `time` TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL
) WITH (
    'connector' = 'kafka',
    'topic' = 'ringmill.http_request',
    'properties.bootstrap.servers' = '127.0.0.1:9092',
    'properties.group.id' = 'flink',
    'scan.startup.mode' = 'earliest-offset',
    'format' = 'json'
);

-- Of a record that came twice the first.
CREATE VIEW requests AS
SELECT record_id, src_ip, flow, `method`, host, uri, `time`
FROM (
    SELECT *, ROW_NUMBER() OVER (PARTITION BY record_id ORDER BY PROCTIME()) AS n
    FROM http_request
)
WHERE n = 1;

SELECT host, FLOOR(`time` TO MINUTE) AS `minute`, COUNT(*) AS requests
FROM requests
GROUP BY host, FLOOR(`time` TO MINUTE);
