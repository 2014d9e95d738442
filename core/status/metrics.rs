//! The ledger in OpenMetrics' text format, version 1.0.0
//! (<https://prometheus.io/docs/specs/om/open_metrics_spec/>).
//!
//! Every figure of the ledger is one here, under the name of what it counts. Counters only grow
//! while the run goes on; what goes up and down is a gauge.

use std::{
    collections::BTreeMap,
    fmt::{Display, Write as _},
};

use super::{process::Process, snapshot::Snapshot};
use crate::{capture::live::RingReport, ledger::Ledger, sinks::SinkTally};

/// Writing to a String does not fail.
macro_rules! line {
    ($text:expr, $($arg:tt)*) => {{ let _ = writeln!($text, $($arg)*); }};
}

/// Names and values of labels.
type Labels<'a> = &'a [(&'a str, &'a dyn Display)];

/// All of it.
pub(super) fn text(snapshot: &Snapshot) -> String {
    let mut text = Text(String::with_capacity(32 << 10));
    text.run(snapshot);
    text.process(&snapshot.process);
    text.interfaces(&snapshot.ledger);
    text.rings(&snapshot.ledger.rings);
    text.inputs(snapshot);
    text.workers(snapshot);
    text.stages(&snapshot.ledger);
    text.sinks(snapshot);
    text.0.push_str("# EOF\n");
    text.0
}

struct Text(String);

/// One family of metrics, to which samples are added.
struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
    suffix: &'static str,
}

impl Family<'_> {
    fn add(&mut self, labels: Labels<'_>, value: impl Display) -> &mut Self {
        let Self { text, name, suffix } = self;
        text.push_str(name);
        text.push_str(suffix);
        let mut before = '{';
        for (label, value) in labels {
            text.push(before);
            text.push_str(label);
            text.push_str("=\"");
            for letter in value.to_string().chars() {
                match letter {
                    '\\' => text.push_str("\\\\"),
                    '"' => text.push_str("\\\""),
                    '\n' => text.push_str("\\n"),
                    other => text.push(other),
                }
            }
            text.push('"');
            before = ',';
        }
        line!(text, "{} {value}", if labels.is_empty() { "" } else { "}" });
        self
    }
}

impl Text {
    fn family(
        &mut self,
        name: &'static str,
        (kind, suffix): (&'static str, &'static str),
        help: &str,
    ) -> Family<'_> {
        let text = &mut self.0;
        line!(text, "# TYPE {name} {kind}");
        let units = ["bytes", "seconds", "ratio"];
        if let Some(unit) = units.iter().find(|unit| name.ends_with(&format!("_{unit}"))) {
            line!(text, "# UNIT {name} {unit}");
        }
        line!(text, "# HELP {name} {help}");
        Family { text, name, suffix }
    }

    fn counter(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, ("counter", "_total"), help)
    }

    fn gauge(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, ("gauge", ""), help)
    }

    fn run(&mut self, snapshot: &Snapshot) {
        let ledger = &snapshot.ledger;
        self.family("ringmill_build", ("info", "_info"), "The engine.")
            .add(&[("version", &snapshot.version)], 1);
        self.gauge("ringmill_start_time_seconds", "When the run began, since 1970.")
            .add(&[], snapshot.started as f64 / 1e3);
        self.gauge("ringmill_running", "1 while the run goes on.")
            .add(&[], u8::from(!snapshot.ended));
        self.gauge("ringmill_stopped", "1 if the run was ended before its inputs were.")
            .add(&[], u8::from(ledger.stopped));
        self.gauge("ringmill_imbalances", "Sums of the ledger that do not come out.")
            .add(&[], ledger.imbalances.len());
        self.gauge("ringmill_failures", "What went wrong in a run that has ended.")
            .add(&[], snapshot.failures.len());
        self.gauge("ringmill_chain_packets", "Packets that a stage works on just now.")
            .add(&[], snapshot.totals.in_chain);
        self.counter("ringmill_heads", "Heads of HTTP messages that were found.")
            .add(&[], snapshot.totals.heads);
        self.counter("ringmill_rows", "Rows that left the chain.").add(&[], ledger.rows);
        let reloads = &ledger.reloads;
        self.counter("ringmill_reloads", "Times that the config was read again and taken.")
            .add(&[], reloads.done);
        self.counter("ringmill_reloads_refused", "Times that what it said was refused.")
            .add(&[], reloads.refused);
        self.gauge("ringmill_reload_longest_pause_seconds", "The longest that a worker waited.")
            .add(&[], seconds(reloads.longest_pause));
        if let Some(at) = reloads.last {
            self.gauge("ringmill_last_reload_time_seconds", "When the last was, since 1970.")
                .add(&[], at as f64 / 1e9);
        }
    }

    /// Under the names that Prometheus' own libraries give them.
    fn process(&mut self, process: &Process) {
        let gauges: [(&str, &str, u64); 5] = [
            (
                "process_resident_memory_bytes",
                "Memory that it holds, rings and mapped files included.",
                process.resident_bytes,
            ),
            ("process_virtual_memory_bytes", "Its address space.", process.virtual_bytes),
            ("process_open_fds", "Files that it has open.", process.open_files),
            ("process_threads", "Its threads.", process.threads),
            (
                "ringmill_own_memory_bytes",
                "Memory of its own, stages and sinks included, without rings and files.",
                process.own_bytes,
            ),
        ];
        for (name, help, value) in gauges {
            self.gauge(name, help).add(&[], value);
        }
    }

    fn interfaces(&mut self, ledger: &Ledger) {
        let all = &ledger.interfaces;
        let mut family = self.counter(
            "ringmill_interface_received_packets",
            "Packets that the network card took from the wire.",
        );
        for interface in all {
            family.add(&[("interface", &interface.name)], interface.nic_received);
        }
        let mut family = self.counter(
            "ringmill_interface_dropped_packets",
            "Packets that the network card dropped, by the driver's own names.",
        );
        for interface in all {
            for (reason, count) in &interface.nic_dropped {
                family.add(&[("interface", &interface.name), ("reason", reason)], count);
            }
        }
        let mut family = self.gauge(
            "ringmill_interface_worst_second_dropped_packets",
            "The most packets that the network card dropped in one second.",
        );
        for interface in all {
            family.add(&[("interface", &interface.name)], interface.nic_worst_second);
        }
        let mut family = self.counter(
            "ringmill_interface_interruptions",
            "Times that the interface was down or away.",
        );
        for interface in all {
            family.add(&[("interface", &interface.name)], interface.interruptions);
        }
        let mut family = self
            .counter("ringmill_interface_absent_seconds", "Time for which it was down or away.");
        for interface in all {
            family.add(&[("interface", &interface.name)], interface.absent_ms as f64 / 1e3);
        }
    }

    /// An interface that comes back has new rings: those of one place are one here.
    fn rings(&mut self, rings: &[RingReport]) {
        let place = |ring: &RingReport| {
            (
                ring.interface.clone(),
                ring.worker,
                ring.queue.map(|n| n.to_string()).unwrap_or_default(),
            )
        };
        let mut all: BTreeMap<_, Vec<&RingReport>> = BTreeMap::new();
        for ring in rings {
            all.entry(place(ring)).or_default().push(ring);
        }
        type Figure = fn(&RingReport) -> u64;
        let counters: [(&str, &str, Figure); 5] = [
            ("ringmill_ring_received_packets", "Packets put into the ring.", |ring| ring.received),
            ("ringmill_ring_taken_packets", "Packets taken out of it.", |ring| ring.taken),
            ("ringmill_ring_filtered_packets", "Packets that the filter kept out.", |ring| {
                ring.filtered
            }),
            ("ringmill_ring_left_packets", "Packets left in it by a failure.", |ring| {
                ring.not_taken
            }),
            ("ringmill_ring_counted_seconds", "Time that was counted.", |ring| ring.seconds),
        ];
        for (name, help, figure) in counters {
            let mut family = self.counter(name, help);
            for ((interface, worker, queue), rings) in &all {
                let sum: u64 = rings.iter().map(|ring| figure(ring)).sum();
                family.add(&[("interface", interface), ("worker", worker), ("queue", queue)], sum);
            }
        }
        let gauges: [(&str, &str, Figure); 2] = [
            (
                "ringmill_ring_worst_second_received_packets",
                "The most packets received in one second.",
                |ring| ring.most_received,
            ),
            (
                "ringmill_ring_worst_second_dropped_packets",
                "The most packets dropped in one second.",
                |ring| ring.most_dropped,
            ),
        ];
        for (name, help, figure) in gauges {
            let mut family = self.gauge(name, help);
            for ((interface, worker, queue), rings) in &all {
                let most = rings.iter().map(|ring| figure(ring)).max().unwrap_or_default();
                family.add(&[("interface", interface), ("worker", worker), ("queue", queue)], most);
            }
        }
        let mut family = self
            .counter("ringmill_ring_dropped_packets", "Packets that found no place in the ring.");
        for ((interface, worker, queue), rings) in &all {
            let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
            for (reason, count) in rings.iter().flat_map(|ring| &ring.dropped) {
                *reasons.entry(reason).or_default() += count;
            }
            for (reason, count) in reasons {
                let ring = [("interface", interface as _), ("worker", worker as _)];
                let [a, b] = ring;
                family.add(&[a, b, ("queue", queue), ("reason", &reason)], count);
            }
        }
        let mut family = self.gauge("ringmill_ring_fill_ratio", "How much of it holds packets.");
        for ((interface, worker, queue), rings) in &all {
            if let Some(percent) = rings.last().and_then(|ring| ring.fill_percent) {
                let fill = f64::from(percent) / 100.0;
                family.add(&[("interface", interface), ("worker", worker), ("queue", queue)], fill);
            }
        }
        let mut family = self
            .gauge("ringmill_ring_uncounted", "1 if the kernel does not say all of its counts.");
        for ((interface, worker, queue), rings) in &all {
            let uncounted = rings.iter().any(|ring| ring.error.is_some());
            let labels: Labels<'_> =
                &[("interface", interface), ("worker", worker), ("queue", queue)];
            family.add(labels, u8::from(uncounted));
        }
    }

    /// Capture files are counted when all have been read.
    fn inputs(&mut self, snapshot: &Snapshot) {
        let inputs = &snapshot.ledger.inputs;
        if let Some(read) = &snapshot.read {
            self.counter("ringmill_read_bytes", "Bytes read of all inputs.").add(&[], read.bytes);
            if let Some(total) = read.total {
                self.gauge("ringmill_inputs_bytes", "Bytes of all inputs.").add(&[], total);
            }
        }
        let sum = |figure: fn(&crate::capture::InputReport) -> u64| -> u64 {
            inputs.iter().map(figure).sum()
        };
        self.counter("ringmill_input_packets", "Packets found in the inputs.")
            .add(&[], sum(|input| input.packets));
        self.counter("ringmill_input_filtered_packets", "Packets that the filter kept out.")
            .add(&[], sum(|input| input.filtered));
        self.counter("ringmill_input_tail_bytes", "Bytes at their ends that gave no packet.")
            .add(&[], sum(|input| input.tail_bytes));
        self.counter("ringmill_inputs_complete", "Inputs that were read to their end.")
            .add(&[], sum(|input| input.complete.into()));
        self.counter("ringmill_inputs_failed", "Inputs that could not be read.")
            .add(&[], sum(|input| input.failed.into()));
        let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
        for (reason, count) in inputs.iter().flat_map(|input| &input.unreadable) {
            *reasons.entry(reason).or_default() += count;
        }
        let mut family =
            self.counter("ringmill_input_unreadable_packets", "Packets that could not be read.");
        for (reason, count) in reasons {
            family.add(&[("reason", &reason)], count);
        }
    }

    fn workers(&mut self, snapshot: &Snapshot) {
        let workers = &snapshot.ledger.workers;
        let mut family = self.counter("ringmill_received_packets", "Packets received.");
        for (number, worker) in workers.iter().enumerate() {
            family.add(&[("worker", &number)], worker.received);
        }
        let mut family = self.counter("ringmill_received_bytes", "Their bytes on the wire.");
        for (number, worker) in workers.iter().enumerate() {
            family.add(&[("worker", &number)], worker.bytes);
        }
        let mut family = self.counter("ringmill_passed_packets", "Packets that passed all stages.");
        for (number, worker) in workers.iter().enumerate() {
            family.add(&[("worker", &number)], worker.passed);
        }
        let mut family = self.counter("ringmill_dropped_packets", "Packets that a stage dropped.");
        for (number, worker) in workers.iter().enumerate() {
            for (stage, reasons) in &worker.dropped {
                for (reason, count) in reasons {
                    let labels: Labels<'_> =
                        &[("worker", &number), ("stage", stage), ("reason", reason)];
                    family.add(labels, count);
                }
            }
        }
        let mut family =
            self.counter("ringmill_worker_polls", "Times that the source was asked for packets.");
        for (number, worker) in workers.iter().enumerate() {
            family.add(&[("worker", &number)], worker.polls);
        }
        let mut family =
            self.counter("ringmill_worker_busy_polls", "Times of these that it had some.");
        for (number, worker) in workers.iter().enumerate() {
            family.add(&[("worker", &number)], worker.busy_polls);
        }
        let mut family =
            self.counter("ringmill_worker_cpu_seconds", "Time that its thread ran on a core.");
        for (number, load) in snapshot.workers.iter().enumerate() {
            if let Some(seconds) = load.cpu_seconds {
                family.add(&[("worker", &number)], seconds);
            }
        }
        let mut family =
            self.gauge("ringmill_worker_still_seconds", "Time since it finished a batch.");
        for (number, load) in snapshot.workers.iter().enumerate() {
            family.add(&[("worker", &number)], load.still_seconds);
        }
        let mut family =
            self.gauge("ringmill_worker_stuck", "1 while the stage does not give it back.");
        for (number, load) in snapshot.workers.iter().enumerate() {
            let stage = load.stuck.as_deref().unwrap_or_default();
            let labels: Labels<'_> = &[("worker", &number), ("stage", &stage)];
            family.add(labels, u8::from(load.stuck.is_some()));
        }
    }

    fn stages(&mut self, ledger: &Ledger) {
        let stages = &ledger.stages;
        let mut family = self.counter("ringmill_stage_rows_in", "Rows that the stage was given.");
        for stage in stages {
            family.add(&[("stage", &stage.stage)], stage.rows_in);
        }
        let mut family = self.counter("ringmill_stage_rows_out", "Rows that it emitted.");
        for stage in stages {
            family.add(&[("stage", &stage.stage)], stage.rows_out);
        }
        let mut family = self.counter("ringmill_stage_rows_failed", "Rows that were lost in it.");
        for stage in stages {
            family.add(&[("stage", &stage.stage)], stage.rows_failed);
        }
        let mut family = self.counter("ringmill_stage_events", "What the stage itself counts.");
        for stage in stages {
            for (event, count) in &stage.counters {
                family.add(&[("stage", &stage.stage), ("event", event)], count);
            }
        }
        let mut family =
            self.counter("ringmill_stage_sampled_packets", "Packets for which it was timed.");
        for stage in stages {
            family.add(&[("stage", &stage.stage)], stage.cost.sampled_packets);
        }
        let mut family = self.counter("ringmill_stage_sampled_seconds", "Time it took for these.");
        for stage in stages {
            family.add(&[("stage", &stage.stage)], seconds(stage.cost.sampled_ns));
        }
        let mut family =
            self.counter("ringmill_stage_records_seconds", "Time it took for records.");
        for stage in stages {
            family.add(&[("stage", &stage.stage)], seconds(stage.cost.records_ns));
        }
        let mut family =
            self.counter("ringmill_stage_ticks_seconds", "Time of its calls once a second.");
        for stage in stages {
            family.add(&[("stage", &stage.stage)], seconds(stage.cost.ticks_ns));
        }
        let mut family =
            self.gauge("ringmill_stage_packet_cost_seconds", "Time it takes for a packet.");
        for stage in stages {
            family.add(&[("stage", &stage.stage)], stage.cost.ns_per_packet / 1e9);
        }
        let mut family =
            self.gauge("ringmill_stage_failed", "1 if it has failed, in one worker at least.");
        for stage in stages {
            family.add(&[("stage", &stage.stage)], u8::from(stage.error.is_some()));
        }
        let mut family =
            self.gauge("ringmill_stage_bypassed_workers", "Workers that go on without it.");
        for stage in stages {
            family.add(&[("stage", &stage.stage)], stage.bypassed);
        }
    }

    /// What sinks of one label have counted, before and after a reload, is one here; what goes up
    /// and down is that of the one which runs.
    fn sinks(&mut self, snapshot: &Snapshot) {
        let mut sinks: Vec<SinkTally> = Vec::new();
        for sink in &snapshot.ledger.sinks {
            match sinks.iter_mut().find(|known| known.sink == sink.sink) {
                Some(known) => known.add(sink),
                None => sinks.push(sink.clone()),
            }
        }
        let sinks = &sinks;
        type Figure = fn(&SinkTally) -> u64;
        let counters: [(&str, &str, Figure); 6] = [
            ("ringmill_sink_rows", "Rows that left the chain for it.", |s| s.rows),
            ("ringmill_sink_recovered_rows", "Rows that earlier runs left spilled.", |s| {
                s.recovered
            }),
            ("ringmill_sink_acknowledged_rows", "Rows that it made safe.", |s| s.acknowledged),
            ("ringmill_sink_through_spill_rows", "Rows of this run that were spilled.", |s| {
                s.through_spill
            }),
            ("ringmill_sink_retries", "Calls that failed and were made again.", |s| s.retries),
            ("ringmill_sink_circuit_opened", "Times that it counted as away.", |s| {
                s.circuit_opened
            }),
        ];
        for (name, help, figure) in counters {
            let mut family = self.counter(name, help);
            for sink in sinks {
                family.add(&[("sink", &sink.sink)], figure(sink));
            }
        }
        let mut family = self.counter("ringmill_sink_dropped_rows", "Rows it did not get or keep.");
        for sink in sinks {
            for (reason, count) in &sink.dropped {
                family.add(&[("sink", &sink.sink), ("reason", reason)], count);
            }
        }
        let mut family = self.counter("ringmill_sink_dead_lettered_rows", "Rows put aside.");
        for sink in sinks {
            for (reason, count) in &sink.dead_lettered {
                family.add(&[("sink", &sink.sink), ("reason", reason)], count);
            }
        }
        let mut family = self.counter("ringmill_sink_events", "What the sink itself counts.");
        for sink in sinks {
            for (event, count) in &sink.counters {
                family.add(&[("sink", &sink.sink), ("event", event)], count);
            }
        }
        let now = snapshot.ledger.sinks.iter().zip(&snapshot.sinks);
        let loads = || now.clone().filter(|(sink, _)| sink.ended.is_none());
        let mut family =
            self.gauge("ringmill_sink_spilled_rows", "Rows that lie in its spill log.");
        for (sink, _) in loads() {
            family.add(&[("sink", &sink.sink)], sink.spilled);
        }
        let mut family = self.gauge("ringmill_sink_failed", "1 if it was given up for this run.");
        for (sink, _) in loads() {
            family.add(&[("sink", &sink.sink)], u8::from(sink.error.is_some()));
        }
        let mut family = self.gauge("ringmill_sink_pending_rows", "Rows on their way to it.");
        for (sink, load) in loads() {
            family.add(&[("sink", &sink.sink)], load.pending);
        }
        let mut family = self.gauge("ringmill_sink_queue_batches", "Batches in its queue.");
        for (sink, load) in loads() {
            family.add(&[("sink", &sink.sink)], load.queued);
        }
        let mut family = self.gauge("ringmill_sink_queue_limit_batches", "Batches it holds.");
        for (sink, load) in loads() {
            family.add(&[("sink", &sink.sink)], load.queue);
        }
        let mut family = self.gauge("ringmill_sink_away", "1 while it counts as away.");
        for (sink, load) in loads() {
            family.add(&[("sink", &sink.sink)], u8::from(load.away));
        }
    }
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}
