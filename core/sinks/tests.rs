//! A delivery under a sink that does anything, in any order, on a clock of its own.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use arrow_array::{RecordBatch, UInt64Array, cast::AsArray as _, types::UInt64Type};
use proptest::prelude::*;
use ringmill_sdk::{Error, ErrorKind, schema};

use super::{
    SinkTally,
    backlog::{Backlog, Window},
    circuit::Circuit,
    dead::DeadLetters,
    delivery::{Delivery, Request, Step, Terms},
    spill::{Limits, Spill},
};

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// A batch of so many rows comes.
    Batch(u8),
    /// The sink is called, if it has to be, and answers so.
    Call(Answer),
    /// Time passes.
    Wait(u16),
    /// The sink hangs.
    Hang,
}

/// What the sink says.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Good,
    Bad(ErrorKind),
    /// Each so many-th row is refused by its number, if it is a flush.
    Named(u8),
}

fn event() -> impl Strategy<Value = Event> {
    let good = Just(Event::Call(Answer::Good));
    let kinds = [ErrorKind::Retry, ErrorKind::Refused, ErrorKind::Failed, ErrorKind::Panicked];
    let bad = prop::sample::select(kinds.to_vec()).prop_map(|kind| Event::Call(Answer::Bad(kind)));
    let named = (1..5_u8).prop_map(|step| Event::Call(Answer::Named(step)));
    prop_oneof![
        6 => (1..9_u8).prop_map(Event::Batch),
        6 => good,
        2 => bad,
        1 => named,
        2 => (0..1500_u16).prop_map(Event::Wait),
        1 => Just(Event::Hang),
    ]
}

/// Which sink it is.
#[derive(Clone, Copy, Debug)]
struct Kind {
    store: bool,
    spills: bool,
    replay: bool,
    drop_oldest: bool,
    small: bool,
}

fn kind() -> impl Strategy<Value = Kind> {
    any::<[bool; 5]>().prop_map(|[store, spills, replay, drop_oldest, small]| Kind {
        store: store || spills,
        spills,
        replay,
        drop_oldest,
        small,
    })
}

fn batch(first: u64, rows: u64) -> RecordBatch {
    let field = schema::field("n", arrow_schema::DataType::UInt64, schema::Kind::Number);
    let column = UInt64Array::from_iter_values(first..first + rows);
    RecordBatch::try_new(schema::record("numbers", vec![field]), vec![Arc::new(column)])
        .expect("the column is of the schema")
}

struct Run {
    delivery: Delivery,
    now: Instant,
    accepted: u64,
    /// Since the last flush, and for good.
    taken: Vec<u64>,
    /// Since the last flush or failure.
    latest: Vec<u64>,
    safe: Vec<u64>,
}

impl Run {
    fn new(kind: Kind, directory: &Path, first: u64) -> Self {
        let bytes = if kind.small { 6000 } else { 1 << 30 };
        let limits = Limits { bytes, drop_oldest: kind.drop_oldest };
        let spill = kind.spills.then(|| Spill::open(directory, limits).expect("it can be used"));
        let dead = kind.spills.then(|| DeadLetters::new(directory.join("dead"), bytes));
        let batches = if kind.store { 3 } else { 1 };
        let window = Window { batches, bytes: 1 << 20, may_identify: false };
        let flush_after = Duration::from_secs(1);
        let terms = Terms { store: kind.store, eager: true, flush_after, replay: kind.replay };
        let circuit = Circuit::new(2, Duration::from_secs(2));
        let backlog = Backlog::new("x".to_owned(), window, spill, dead);
        let now = Instant::now();
        let delivery = Delivery::new(terms, circuit, backlog, now);
        Self {
            delivery,
            now,
            accepted: first,
            taken: Vec::new(),
            latest: Vec::new(),
            safe: Vec::new(),
        }
    }

    fn batch(&mut self, rows: u64) {
        if self.delivery.has_room() {
            self.delivery.accept(batch(self.accepted, rows), self.now);
            self.accepted += rows;
        }
    }

    /// One call of the sink, if one is due; gives whether all is over.
    fn call(&mut self, answer: Answer, closing: bool) -> bool {
        let request = match self.delivery.next(self.now, true, closing) {
            Step::Over => return true,
            Step::Wait(until) => {
                assert!(until > self.now, "it would spin");
                self.now = self.now.max(until.min(self.now + Duration::from_secs(1)));
                return false;
            }
            Step::Do(request) => request,
        };
        let result = match (&request, answer) {
            (_, Answer::Bad(kind)) => Err(Error::of(kind, "", "because")),
            (Request::Flush, Answer::Named(step)) if !self.latest.is_empty() => {
                let rows = (0..self.latest.len()).step_by(step.into());
                Err(Error::refused_rows(rows.map(|row| (row, "because".to_owned())).collect()))
            }
            _ => Ok(()),
        };
        match (&request, &result) {
            (Request::Write(records), Ok(())) => {
                let numbers = records.column(0).as_primitive::<UInt64Type>().values();
                self.taken.extend(numbers);
                self.latest.extend(numbers);
            }
            (Request::Flush, Ok(())) => {
                self.safe.append(&mut self.taken);
                self.latest.clear();
            }
            (Request::Flush, Err(error)) if !error.rows().is_empty() => {
                let refused = |row: &usize| error.rows().iter().any(|(named, _)| named == row);
                let latest = std::mem::take(&mut self.latest).into_iter().enumerate();
                self.safe.extend(latest.filter(|(row, _)| !refused(row)).map(|(_, n)| n));
                self.taken.clear();
            }
            (Request::Write(_), Err(error)) if error.kind() == ErrorKind::Refused => {}
            (_, Err(_)) => self.latest.clear(),
            _ => {}
        }
        self.delivery.done(request.call(), result, self.now);
        false
    }

    fn end(mut self, good: bool) -> (SinkTally, u64, Vec<u64>) {
        self.delivery.hurry(self.now);
        let mut calls = 0;
        let answer = if good { Answer::Good } else { Answer::Bad(ErrorKind::Retry) };
        while calls < 5000 && !self.call(answer, true) {
            calls += 1;
            if !good && calls == 20 {
                self.delivery.give_up(false, self.now);
            }
        }
        assert!(calls < 5000, "it does not end");
        (self.delivery.close(), self.accepted, self.safe)
    }
}

fn balances(tally: &SinkTally, rows: u64) {
    let gone = tally.acknowledged + tally.spilled + tally.dropped() + tally.dead_lettered();
    assert_eq!(rows + tally.recovered, gone, "{tally:#?}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The books balance whatever happens; what is spilled at the end of one run arrives in the
    /// next; no more is acknowledged than was safe; each row comes in order, the first time.
    #[test]
    fn every_row_is_accounted_for(
        kind in kind(),
        events in prop::collection::vec(event(), 0..120),
        good in any::<bool>(),
    ) {
        let directory = tempfile::tempdir().expect("a directory");
        let mut run = Run::new(kind, directory.path(), 0);
        for event in events {
            match event {
                Event::Batch(rows) => run.batch(rows.into()),
                Event::Call(answer) => drop(run.call(answer, false)),
                Event::Wait(ms) => run.now += Duration::from_millis(ms.into()),
                Event::Hang => {
                    let call = Request::Flush.call();
                    run.delivery.hangs(call, Duration::from_secs(10), run.now);
                }
            }
        }
        let (tally, accepted, mut safe) = run.end(good);
        balances(&tally, accepted);
        prop_assert!(safe.len() as u64 >= tally.acknowledged, "{:?} {tally:#?}", safe.len());
        prop_assert!(!good || !kind.store || tally.spilled == 0, "{tally:#?}");
        if kind.spills {
            let (again, _, rest) = Run::new(kind, directory.path(), 0).end(true);
            balances(&again, 0);
            prop_assert_eq!(again.recovered >= tally.spilled, true, "{:#?} {:#?}", tally, again);
            prop_assert_eq!(again.acknowledged, again.recovered);
            safe.extend(rest);
        }
        let mut seen = vec![false; usize::try_from(accepted).expect("it is small")];
        let mut firsts = Vec::new();
        for n in safe {
            let at = usize::try_from(n).expect("it is small");
            if !std::mem::replace(&mut seen[at], true) {
                firsts.push(n);
            }
        }
        // A dead letter may arrive after all, if its batch is read once more by the next run.
        prop_assert!(firsts.is_sorted() || tally.dead_lettered() > 0, "{:?}", firsts);
        let lost = tally.dropped() + tally.dead_lettered();
        prop_assert!(firsts.len() as u64 + lost >= accepted, "{} of {accepted}, {tally:#?}", firsts.len());
    }
}
