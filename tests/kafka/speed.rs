//! How fast the sink is beside a bare client that has its messages ready.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
    sync::Mutex,
    time::{Duration, Instant},
};

use arrow_array::{
    RecordBatch,
    cast::AsArray as _,
    types::{TimestampNanosecondType, UInt64Type},
};
use rdkafka::{
    ClientConfig,
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer as _},
};
use ringmill::{Engine, config, sdk};
use ringmill_bench::{
    cpu::{CpuTime, median},
    workload::{Limit, Mix, generate},
};
use ringmill_kafka::Kafka;
use sdk::{
    Factory, json, parse_config,
    prelude::{Host, NoOptions, Result, Sink},
    schema,
    testing::TestHost,
};

use crate::{broker::Broker, spill};

/// What the engine leaves unacknowledged at most, in bytes of memory: then it flushes.
const WINDOW: usize = 32 << 20;
const ROUNDS: usize = 9;
/// Records before the clock starts, about: a connection takes as long to be made as many of them.
const WARM: usize = 20_000;

static BATCHES: Mutex<Vec<RecordBatch>> = Mutex::new(Vec::new());

/// Keeps what comes.
struct Keep;

impl Sink for Keep {
    const NAME: &'static str = "keep";
    type Config = NoOptions;

    fn new(_: NoOptions, _: &Host) -> Result<Self> {
        Ok(Self)
    }

    fn write(&mut self, records: &RecordBatch) -> Result {
        BATCHES.lock().unwrap().push(records.clone());
        Ok(())
    }
}

/// A message as the bare client has it.
struct Ready {
    topic: String,
    key: String,
    time: i64,
    headers: [(&'static str, String); 3],
    payload: Vec<u8>,
}

#[test]
#[ignore = "measures; run it alone, with --release and --nocapture"]
fn the_sink_beside_a_bare_client() {
    let Some(broker) = Broker::start() else { return };
    let directory = tempfile::tempdir().unwrap();
    let capture = directory.path().join("heavy.pcap");
    let mut out = BufWriter::new(File::create(&capture).unwrap());
    generate(Mix::Heavy, Limit::Packets(400_000), 1, &mut out).unwrap();
    out.flush().unwrap();
    let batches = batches(&[capture]);
    let ready = ready(&batches);
    let bytes: usize = ready.iter().map(|message| message.payload.len()).sum();
    println!("{} records, {:.0} bytes each", ready.len(), bytes as f64 / ready.len() as f64);
    let address = broker.address();
    // The topics are made, and the broker is warm.
    bare(&address, &ready);
    let (mut bares, mut sinks) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        // In turns, and who begins, too: the machine is not the same for long.
        if round % 2 == 0 {
            bares.push(bare(&address, &ready));
            sinks.push(sink(&address, &batches));
        } else {
            sinks.push(sink(&address, &batches));
            bares.push(bare(&address, &ready));
        }
    }
    let share = median(bares.iter().zip(&sinks).map(|(bare, sink)| bare[0] / sink[0]));
    let timed = (ready.len() - WARM) as f64;
    for (name, costs) in [("bare client", &bares), ("sink", &sinks)] {
        println!(
            "{name}: {:.0} records/s, {:.2} us of CPU time each; seconds {:.2?}",
            timed / median(costs.iter().map(|cost| cost[0])),
            1e6 * median(costs.iter().map(|cost| cost[1])) / timed,
            costs.iter().map(|cost| cost[0]).collect::<Vec<_>>()
        );
    }
    println!("the sink has {:.0} % of the speed", 100.0 * share);
    assert!(cfg!(debug_assertions) || share >= 0.8, "less than 80 % of a bare client");
}

/// The records in these captures, as they come to a sink.
pub(crate) fn batches(captures: &[PathBuf]) -> Vec<RecordBatch> {
    let text = format!(
        "[engine]\nworkers = 1\n[capture]\nfrom = \"file\"\nfiles = {captures:?}\n\
         [[stage]]\nuse = \"decode\"\n[[stage]]\nuse = \"classify\"\n[[stage]]\nuse = \"http\"\n\
         [[stage]]\nuse = \"user_agent\"\n[[stage]]\nuse = \"redact\"\n\
         [[stage]]\nuse = \"crypto_pan\"\nkey = \"ephemeral\"\n[[sink]]\nuse = \"keep\"\n"
    );
    let config = config::parse(Path::new("(in the test)"), text).unwrap();
    let engine = Engine::with(config, &[Factory::sink::<Keep>()]).unwrap();
    assert!(engine.run(|_| ()).unwrap().is_good());
    std::mem::take(&mut *BATCHES.lock().unwrap())
}

fn ready(batches: &[RecordBatch]) -> Vec<Ready> {
    let mut writer = json::Writer::default();
    let mut all = Vec::new();
    for records in batches {
        let record = schema::record_name(records.schema_ref()).to_owned();
        let manifest = records.schema_ref().metadata()["ringmill.manifest_id"].clone();
        let ids = spill::ids(records);
        let flows = records.column_by_name("flow").unwrap().as_primitive::<UInt64Type>();
        let times = records.column_by_name("time").unwrap();
        let times = times.as_primitive::<TimestampNanosecondType>();
        let rows = writer.rows(records).unwrap();
        for (row, id) in ids.into_iter().enumerate() {
            let mut payload = Vec::new();
            rows.append(row, &mut payload);
            all.push(Ready {
                topic: format!("speed.{record}"),
                key: flows.value(row).to_string(),
                time: times.value(row) / 1_000_000,
                headers: [
                    ("manifest", manifest.clone()),
                    ("record", record.clone()),
                    ("record_id", id),
                ],
                payload,
            });
        }
    }
    all
}

/// Seconds, and CPU seconds of all threads of this process.
fn cost(body: impl FnOnce()) -> [f64; 2] {
    let (cpu, clock) = (CpuTime::of_this_process().unwrap(), Instant::now());
    body();
    let cpu = CpuTime::of_this_process().unwrap().since(cpu).total();
    [clock.elapsed(), cpu].map(|time| time.as_secs_f64())
}

fn bare(brokers: &str, ready: &[Ready]) -> [f64; 2] {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("enable.idempotence", "true");
    config.set("compression.type", "zstd");
    let producer: BaseProducer = config.create().unwrap();
    send(&producer, &ready[..WARM]);
    cost(|| send(&producer, &ready[WARM..]))
}

fn send(producer: &BaseProducer, ready: &[Ready]) {
    for (n, message) in ready.iter().enumerate() {
        let headers = message.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value) })
        });
        let mut record = BaseRecord::to(&message.topic)
            .key(&message.key)
            .payload(&message.payload)
            .timestamp(message.time)
            .headers(headers);
        while let Err((error, back)) = producer.send(record) {
            assert_eq!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull));
            record = back;
            producer.poll(Duration::ZERO);
        }
        if n % 1000 == 0 {
            producer.poll(Duration::ZERO);
        }
    }
    while producer.in_flight_count() > 0 {
        producer.poll(Duration::ZERO);
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// As the engine calls it.
fn sink(brokers: &str, batches: &[RecordBatch]) -> [f64; 2] {
    let options = format!("brokers = {brokers:?}\ntopic_prefix = \"speed\"");
    let (host, _) = TestHost::new(None);
    let mut sink = Kafka::new(parse_config(&options).unwrap(), &host).unwrap();
    let (mut batches, mut warm) = (batches.iter(), 0);
    while warm < WARM {
        let records = batches.next().unwrap();
        sink.write(records).unwrap();
        warm += records.num_rows();
    }
    sink.flush().unwrap();
    cost(|| {
        let mut unflushed = 0;
        for records in batches {
            sink.write(records).unwrap();
            unflushed += records.get_array_memory_size();
            if unflushed >= WINDOW {
                sink.flush().unwrap();
                unflushed = 0;
            }
        }
        sink.flush().unwrap();
    })
}
