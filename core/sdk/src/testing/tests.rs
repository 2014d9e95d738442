//! Each rule is broken once, and the kit says which.

use std::{panic, sync::Arc};

use super::*;
use crate::{
    Batch, Class, Counter, Error, Host, NoOptions, Output, Packet, Reason, Result, Sink, Stage,
    arrow_array::RecordBatch,
    arrow_schema::{DataType, Schema, SchemaRef},
    map_v4,
    schema::{self, Kind},
};

const GET: &str = "GET / HTTP/1.1\r\n\r\n";

#[test]
fn frames_have_the_layers_that_were_asked_for() {
    // frame, IP version, protocol, VLAN tag, ports, payload, class
    let v4 = || Frame::tcp("10.0.0.1:1234", "10.0.0.2:80").payload(GET);
    let cases = [
        (v4().build(), 4, 6, 0, (1234, 80), GET, Class::HTTP_REQUEST),
        (v4().vlan(0x2005).build(), 4, 6, 0x2005, (1234, 80), GET, Class::HTTP_REQUEST),
        (v4().tag(0x88a8, 7).vlan(5).build(), 4, 6, 7, (1234, 80), GET, Class::HTTP_REQUEST),
        (tcp("[2001:db8::1]:9", "[2001:db8::2]:80", ""), 6, 6, 0, (9, 80), "", Class::NONE),
        (
            tcp("[::1]:9", "[::2]:80", "HTTP/1.1 2"),
            6,
            6,
            0,
            (9, 80),
            "HTTP/1.1 2",
            Class::HTTP_RESPONSE,
        ),
        (
            tcp("1.2.3.4:9", "1.2.3.5:8", "\x16\x03\x01"),
            4,
            6,
            0,
            (9, 8),
            "\x16\x03\x01",
            Class::TLS,
        ),
        (udp("1.2.3.4:5", "1.2.3.5:53", GET), 4, 17, 0, (5, 53), GET, Class::OTHER),
        (udp("[::1]:5", "[::2]:53", "abc"), 6, 17, 0, (5, 53), "abc", Class::OTHER),
    ];
    for (frame, version, protocol, vlan, ports, payload, class) in cases {
        let name = frame.escape_ascii();
        let packet = decoded(&frame, START);
        assert_eq!(packet.ip_version(), version, "{name}");
        assert_eq!(packet.protocol(), protocol, "{name}");
        assert_eq!(packet.vlan(), vlan, "{name}");
        assert_eq!(packet.ports(), ports, "{name}");
        assert_eq!(packet.payload(), payload.as_bytes(), "{name}");
        assert_eq!(packet.class(), class, "{name}");
        assert!(!packet.is_truncated(), "{name}");
    }
}

#[test]
fn a_cut_frame_is_truncated_and_both_directions_hash_alike() {
    let there = tcp("10.0.0.1:1234", "10.0.0.2:80", GET);
    let back = tcp("10.0.0.2:80", "10.0.0.1:1234", "");
    let other = tcp("10.0.0.2:81", "10.0.0.1:1234", "");
    let cut = decoded(&there[..there.len() - 3], START);
    assert!(cut.is_truncated());
    assert_eq!(cut.payload(), &GET.as_bytes()[..GET.len() - 3]);
    assert_eq!(cut.addresses(), (map_v4([10, 0, 0, 1]), map_v4([10, 0, 0, 2])));
    assert_eq!(cut.flow_hash(), decoded(&back, START).flow_hash());
    assert_ne!(cut.flow_hash(), decoded(&other, START).flow_hash());
    assert_eq!(decoded(b"too short", START).layers(), crate::Layers::default());
}

#[test]
fn rows_come_back_as_they_went_in() {
    let schema = schema::record(
        "sample",
        vec![
            schema::time("time"),
            schema::address("client"),
            schema::text("host", Kind::Header),
            schema::map("extra", Kind::Header),
            schema::field("status", DataType::UInt16, Kind::Number),
            schema::field("ok", DataType::Boolean, Kind::Text),
        ],
    );
    let table: &[&[&str]] = &[
        &["17", "192.0.2.1", "example.org", "a=b, c=d=e", "200", "true"],
        &["-3", "2001:db8::1", "", "", "", ""],
    ];
    let rows = rows(&[records(&schema, table), records(&schema, &[])]);
    assert_eq!(rows.len(), table.len());
    for (row, cells) in rows.iter().zip(table) {
        let names = schema.fields().iter().map(|field| field.name().clone());
        let pairs = names.zip(cells.iter().map(|cell| (*cell).to_owned()));
        assert_eq!(*row, pairs.filter(|(_, cell)| !cell.is_empty()).collect::<Row>());
    }
}

#[test]
fn the_host_remembers() {
    let (host, test) = TestHost::new(Some(3));
    assert_eq!(host.worker(), Some(3));
    host.counter("a").add(2);
    host.counter("a").add(3);
    let _ = host.counter("b");
    assert_eq!(test.counters(), [("a".to_owned(), 5), ("b".to_owned(), 0)].into());
    assert_eq!(host.reason("late"), host.reason("late"));
    let early = host.reason("early");
    let mut packet = Packet::ethernet(b"", START);
    packet.drop(early);
    assert_eq!(test.reason_name(packet.verdict()).as_deref(), Some("early"));
    assert_eq!((test.reason_name(0), test.reason_name(3)), (None, None));
    assert_eq!(host.ephemeral_key("x"), TestHost::new(None).0.ephemeral_key("x"));
    assert_ne!(host.ephemeral_key("x"), host.ephemeral_key("y"));
    host.warn("careful");
    host.suggest("try this");
    assert_eq!(test.logs()[0].1, "careful");
    assert_eq!(test.suggestions(), ["try this"]);
}

#[test]
fn a_sink_gets_every_batch_and_its_errors_come_back() {
    struct Refuses(Counter);
    impl Sink for Refuses {
        const NAME: &'static str = "refuses";
        type Config = NoOptions;
        fn new(_: NoOptions, host: &Host) -> Result<Self> {
            assert_eq!(host.worker(), None, "a sink has no worker");
            Ok(Self(host.counter("rows")))
        }
        fn write(&mut self, records: &RecordBatch) -> Result {
            self.0.add(records.num_rows() as u64);
            if self.0.value() > 2 { Err(Error::new("full")) } else { Ok(()) }
        }
    }
    let schema = schema::record("r", vec![schema::text("a", Kind::Text)]);
    let batch = records(&schema, &[&["x"], &["y"]]);
    let ran = run_sink::<Refuses>("", std::slice::from_ref(&batch)).unwrap();
    assert_eq!(ran.counters["rows"], 2);
    assert_eq!(run_sink::<Refuses>("", &[batch.clone(), batch]).unwrap_err().message(), "full");
    let unknown = run_sink::<Refuses>("colour = 1", &[]).unwrap_err();
    assert!(unknown.message().contains("colour"), "{unknown}");
}

/// How [`Sloppy`] breaks a rule.
#[derive(Clone, Copy, PartialEq)]
enum Sin {
    None,
    CountsBatches,
    EmitsPerBatch,
    DropsFirstOfBatch,
    HidesSchema,
    NeedsLayers,
    NeedsPackets,
    EmitsTwice,
    Unmarks,
    ForgetsKind,
}

struct Sloppy<const SIN: usize> {
    seen: Counter,
    first: Reason,
    schema: SchemaRef,
    rows: usize,
}

const SINS: [(Sin, &str); 10] = [
    (Sin::None, ""),
    (Sin::CountsBatches, "batches of 1 and of 256 must give the same counters"),
    (Sin::EmitsPerBatch, "batches of 1 and of 256 must give the same rows"),
    (Sin::DropsFirstOfBatch, "batches of 1 and of 256 must give the same verdicts"),
    (Sin::HidesSchema, "emitted a schema that schemas() does not name"),
    (Sin::NeedsLayers, "packets that no stage has decoded must be fine: panicked"),
    (Sin::NeedsPackets, "a batch without packets must be fine: panicked"),
    (Sin::EmitsTwice, "emitted after its first finish()"),
    (Sin::Unmarks, "`mapped` lost its mark `sample`"),
    (Sin::ForgetsKind, "`raw` was of kind `address` and is no longer"),
];

impl<const SIN: usize> Sloppy<SIN> {
    const SIN: Sin = SINS[SIN].0;

    fn emit(&self, rows: usize, out: &mut Output<'_>) -> Result {
        out.emit(records(&self.schema, &vec![["x"].as_slice(); rows]))
    }
}

impl<const SIN: usize> Stage for Sloppy<SIN> {
    const NAME: &'static str = "sloppy";
    type Config = NoOptions;

    fn new(_: NoOptions, host: &Host) -> Result<Self> {
        let schema = schema::record("sloppy", vec![schema::text("a", Kind::Text)]);
        Ok(Self { seen: host.counter("seen"), first: host.reason("first"), schema, rows: 0 })
    }

    fn schemas(&self) -> Vec<SchemaRef> {
        let hidden = Self::SIN == Sin::HidesSchema;
        if hidden { Vec::new() } else { vec![Arc::clone(&self.schema)] }
    }

    fn packets(&mut self, batch: &mut Batch<'_>, out: &mut Output<'_>) -> Result {
        match Self::SIN {
            Sin::CountsBatches => self.seen.add(1),
            Sin::EmitsPerBatch => self.emit(1, out)?,
            Sin::DropsFirstOfBatch => batch.live().take(1).for_each(|p| p.drop(self.first)),
            Sin::NeedsLayers => batch.live().for_each(|p| assert_ne!(p.ip_version(), 0)),
            Sin::NeedsPackets => assert!(!batch.all().is_empty()),
            _ => {}
        }
        self.rows += batch.all().len();
        Ok(())
    }

    fn records(&mut self, records: RecordBatch, out: &mut Output<'_>) -> Result {
        let schema = records.schema();
        let fields = schema.fields().iter().map(|field| {
            let mut metadata = field.metadata().clone();
            match Self::SIN {
                Sin::Unmarks => drop(metadata.remove(schema::ANONYMIZED)),
                Sin::ForgetsKind => drop(metadata.remove(schema::KIND)),
                _ => {}
            }
            field.as_ref().clone().with_metadata(metadata)
        });
        let schema =
            Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone());
        out.emit(RecordBatch::try_new(Arc::new(schema), records.columns().to_vec())?)
    }

    fn finish(&mut self, out: &mut Output<'_>) -> Result {
        if self.rows > 0 {
            self.emit(self.rows, out)?;
        }
        if Self::SIN != Sin::EmitsTwice {
            self.rows = 0;
        }
        Ok(())
    }
}

#[test]
fn each_broken_rule_is_named() {
    fn says<const SIN: usize>() {
        let frames = vec![tcp("10.0.0.1:1234", "10.0.0.2:80", GET); 20];
        let result = panic::catch_unwind(|| check_rules::<Sloppy<SIN>>("", &frames));
        let said = match result {
            Ok(()) => String::new(),
            Err(payload) => payload.downcast_ref::<String>().expect("a sentence").clone(),
        };
        let expected = SINS[SIN].1;
        assert!(said.contains(expected), "expected {expected:?}, not {said:?}");
        assert_eq!(said.is_empty(), expected.is_empty(), "{said}");
    }
    says::<0>();
    says::<1>();
    says::<2>();
    says::<3>();
    says::<4>();
    says::<5>();
    says::<6>();
    says::<7>();
    says::<8>();
    says::<9>();
}
