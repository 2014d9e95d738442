//! librdkafka's producer, and what its answers mean for the records.
//!
//! It is polled by the thread that is in the sink's calls, and by no other: whatever it reports,
//! it reports between two of our lines.

use std::{
    collections::HashSet,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, ClientContext, Message as _,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
    message::{DeliveryResult, Header, OwnedHeaders, OwnedMessage},
    producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext},
};
use ringmill_sdk::{Error, Host, Result};

use crate::{log::Log, messages::Message};

/// How long it rests when nothing was reported. It is no time limit of a poll: those are rounded down
/// to milliseconds, and the rest of it spins.
const REST: Duration = Duration::from_millis(1);
/// How long no broker at all may be there until that is a failure.
const ALL_DOWN: Duration = Duration::from_secs(1);

/// librdkafka calls a message delivered, without an offset, when the broker answers that it had the
/// message's number before. It had not where the first requests for a topic that has just been made
/// are refused, because its leader is not ready, and a later one is taken: then the first are in
/// nobody's log. (Seen in one of fifty new topics, librdkafka 2.12.1 with Kafka 4.4.0.) So they are
/// sent again.
const NO_OFFSET: &str = "a broker calls a message a duplicate that it may not have";

/// A producer, with what it holds.
pub(crate) struct Producer {
    client: BaseProducer<Reports>,
    timeout: Duration,
    /// Messages that were given to it.
    sent: u64,
    /// Of each message since the last flush, where its rows end among the rows since then.
    ends: Vec<usize>,
    /// Topics that have taken one.
    topics: HashSet<String>,
}

/// What the brokers have answered.
pub(crate) struct Reports {
    log: Log,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Messages that were delivered or failed.
    reported: u64,
    /// What was refused since the last flush, and the first other failure.
    refused: Vec<Refusal>,
    failed: Option<String>,
    /// The latest trouble with a connection, and whether all brokers have one.
    trouble: String,
    all_down: bool,
}

/// A message that was refused.
#[derive(Debug)]
struct Refusal {
    /// Of the message, since the last flush.
    number: usize,
    why: String,
    /// Itself, where a broker has refused it with all that was in one request.
    message: Option<OwnedMessage>,
}

/// What a message's error says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// No broker will ever take it as it is.
    Refused,
    /// Somebody has to come back, or to be mended.
    Retry,
}

/// A lack of rights is mended by the operator, so the records wait for it.
pub(crate) fn verdict(code: RDKafkaErrorCode) -> Verdict {
    use RDKafkaErrorCode as Code;
    match code {
        Code::MessageSizeTooLarge
        | Code::MessageBatchTooLarge
        | Code::InvalidRecord
        | Code::InvalidDifferentRecord
        | Code::InvalidTimestamp
        | Code::UnsupportedForMessageFormat => Verdict::Refused,
        _ => Verdict::Retry,
    }
}

impl Producer {
    /// Connects when the first message is sent.
    pub(crate) fn new(config: &ClientConfig, timeout: Duration, host: &Host) -> Result<Self> {
        let reports = Reports { log: Log::new(host), state: Mutex::default() };
        let client = config.create_with_context(reports).map_err(Error::retry)?;
        Ok(Self { client, timeout, sent: 0, ends: Vec::new(), topics: HashSet::new() })
    }

    /// Gives it a message; waits while it has no room, as long as others leave it.
    pub(crate) fn send(&mut self, topic: &str, message: &Message<'_>) -> Result {
        self.give(topic, message)?;
        if !self.topics.contains(topic) {
            // The first of a topic goes alone, so that no later one can overtake it; see above.
            self.deliver()?;
            self.topics.insert(topic.to_owned());
        }
        Ok(())
    }

    fn give(&mut self, topic: &str, message: &Message<'_>) -> Result {
        let none = OwnedHeaders::new_with_capacity(message.headers().count());
        let headers = message
            .headers()
            .fold(none, |headers, (key, value)| headers.insert(Header { key, value: Some(value) }));
        let number = self.number(message);
        let mut record = BaseRecord::<[u8], [u8], usize>::with_opaque_to(topic, number)
            .payload(message.payload)
            .headers(headers);
        record.key = message.key;
        record.timestamp = message.time;
        self.put(record)
    }

    /// Sends what a broker has refused again, by itself: it may have been another message of the
    /// same request that was meant.
    fn send_alone(&mut self, number: usize, message: &OwnedMessage) -> Result {
        let mut record = BaseRecord::<[u8], [u8], usize>::with_opaque_to(message.topic(), number);
        record.payload = message.payload();
        record.key = message.key();
        record.timestamp = message.timestamp().to_millis();
        record.headers = message.headers().cloned();
        self.put(record)?;
        self.deliver()
    }

    fn put(&mut self, mut record: BaseRecord<'_, [u8], [u8], usize>) -> Result {
        let mut patience = None;
        loop {
            let (error, back) = match self.client.send(record) {
                Ok(()) => {
                    self.sent += 1;
                    return Ok(());
                }
                Err(error) => error,
            };
            let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
            if code != RDKafkaErrorCode::QueueFull {
                let (number, why) = (back.delivery_opaque, Reports::text(code, back.topic));
                match verdict(code) {
                    Verdict::Refused => {
                        self.state().refused.push(Refusal { number, why, message: None });
                        return Ok(());
                    }
                    Verdict::Retry => return Err(Error::retry(why)),
                }
            }
            record = back;
            let new = || Patience::new(self.timeout, self.reported());
            self.wait(patience.get_or_insert_with(new))?;
        }
    }

    /// Puts a message aside that need not be sent to be refused.
    pub(crate) fn refuse(&mut self, message: &Message<'_>, why: String) {
        let number = self.number(message);
        self.state().refused.push(Refusal { number, why, message: None });
    }

    /// The number of the next message since the last flush.
    fn number(&mut self, message: &Message<'_>) -> usize {
        self.ends.push(self.ends.last().unwrap_or(&0) + message.rows);
        self.ends.len() - 1
    }

    /// Takes what was reported meanwhile.
    pub(crate) fn look(&mut self) -> Result {
        self.client.poll(Duration::ZERO);
        Ok(())
    }

    /// Waits until everything is delivered.
    pub(crate) fn flush(&mut self) -> Result {
        self.deliver()?;
        let refused = mem::take(&mut self.state().refused);
        for refusal in refused {
            match &refusal.message {
                Some(message) => self.send_alone(refusal.number, message)?,
                None => self.state().refused.push(refusal),
            }
        }
        let ends = mem::take(&mut self.ends);
        let refused = mem::take(&mut self.state().refused);
        let mut rows = Vec::with_capacity(refused.len());
        for Refusal { number, why, .. } in refused {
            let begin = number.checked_sub(1).and_then(|before| ends.get(before)).unwrap_or(&0);
            // Of a message with several rows the others may be taken, if they come alone.
            if ends.get(number).is_none_or(|end| end - begin != 1) {
                return Err(Error::refused(why));
            }
            rows.push((*begin, why));
        }
        if rows.is_empty() { Ok(()) } else { Err(Error::refused_rows(rows)) }
    }

    fn deliver(&mut self) -> Result {
        let mut patience = Patience::new(self.timeout, self.reported());
        while self.reported() < self.sent {
            self.wait(&mut patience)?;
        }
        // Also what was reported before, to `look` or while there was no room.
        self.failure()
    }

    /// For the next reports, a moment.
    fn wait(&self, patience: &mut Patience) -> Result {
        let before = self.reported();
        self.client.poll(Duration::ZERO);
        self.failure()?;
        if self.reported() == before {
            thread::sleep(REST);
        }
        let (state, now) = (self.state(), Instant::now());
        patience.check(state.reported, state.all_down, now).map_err(|since| {
            let trouble = match state.trouble.as_str() {
                "" => String::new(),
                trouble => format!("; {trouble}"),
            };
            Error::retry(format!(
                "the brokers have taken nothing for {:.0} s{trouble}",
                since.as_secs_f64()
            ))
        })
    }

    fn failure(&self) -> Result {
        self.state().failed.take().map_or(Ok(()), |why| Err(Error::retry(why)))
    }

    fn reported(&self) -> u64 {
        self.state().reported
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.client.context().state()
    }
}

/// How long the brokers may say nothing.
#[derive(Debug)]
struct Patience {
    timeout: Duration,
    reported: u64,
    since: Instant,
}

impl Patience {
    fn new(timeout: Duration, reported: u64) -> Self {
        Self { timeout, reported, since: Instant::now() }
    }

    /// # Errors
    /// For how long nothing was reported, when that is too long.
    fn check(&mut self, reported: u64, all_down: bool, now: Instant) -> Result<(), Duration> {
        if reported != self.reported {
            (self.reported, self.since) = (reported, now);
        }
        let waited = now.saturating_duration_since(self.since);
        let enough = if all_down { self.timeout.min(ALL_DOWN) } else { self.timeout };
        if waited >= enough { Err(waited) } else { Ok(()) }
    }
}

impl Reports {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn text(code: RDKafkaErrorCode, topic: &str) -> String {
        let todo = match code {
            RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed => "; grant the user write access to it",
            RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition => {
                "; create it, or let the brokers (`auto.create.topics.enable`)"
            }
            RDKafkaErrorCode::MessageSizeTooLarge => {
                "; `message.max.bytes` of the sink's `librdkafka` and of the topic say how large \
                 a message may be"
            }
            _ => "",
        };
        format!("topic `{topic}`: {code}{todo}")
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.log.line(level, &format!("librdkafka: {facility}: {message}"));
    }

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        let mut state = self.state();
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AllBrokersDown) => state.all_down = true,
            Some(RDKafkaErrorCode::Fatal) => state.failed = Some(reason.to_owned()),
            _ => reason.clone_into(&mut state.trouble),
        }
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        let mut state = self.state();
        state.reported += 1;
        let (error, message) = match result {
            Ok(message) if message.offset() >= 0 => {
                state.all_down = false;
                state.trouble.clear();
                return;
            }
            Ok(message) => {
                let topic = message.topic();
                state.failed.get_or_insert_with(|| format!("topic `{topic}`: {NO_OFFSET}"));
                return;
            }
            Err(failed) => failed,
        };
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
        let text = Self::text(code, message.topic());
        match verdict(code) {
            Verdict::Refused => {
                let message = Some(message.detach());
                state.refused.push(Refusal { number, why: text, message });
            }
            Verdict::Retry => state.failed = state.failed.take().or(Some(text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use ringmill_sdk::{ErrorKind, testing::TestHost};

    use super::*;

    fn refusal(number: usize, why: &str) -> Refusal {
        Refusal { number, why: why.to_owned(), message: None }
    }

    /// Whoever takes a report need not be who waits for it.
    #[test]
    fn a_flush_tells_of_what_failed_before_it() {
        let (host, _) = TestHost::new(None);
        let mut producer = Producer::new(&ClientConfig::new(), REST, &host).unwrap();
        assert_eq!(producer.flush(), Ok(()));
        producer.state().failed = Some("lost".to_owned());
        assert_eq!(producer.flush().unwrap_err().kind(), ErrorKind::Retry);
        producer.ends = vec![1, 2, 3];
        producer.state().refused = vec![refusal(2, "too large"), refusal(0, "too old")];
        let error = producer.flush().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert_eq!(error.rows(), [(2, "too large".to_owned()), (0, "too old".to_owned())]);
        assert_eq!(producer.flush(), Ok(()));
        // One of several rows: nobody knows which of them is meant.
        producer.ends = vec![1, 101, 102];
        producer.state().refused = vec![refusal(0, "too old"), refusal(1, "too large")];
        let error = producer.flush().unwrap_err();
        assert_eq!((error.kind(), error.rows()), (ErrorKind::Refused, &[][..]));
        assert_eq!(producer.flush(), Ok(()));
    }

    #[test]
    fn only_what_no_broker_will_take_is_refused() {
        use RDKafkaErrorCode as Code;
        let cases = [
            (Code::MessageSizeTooLarge, Verdict::Refused),
            (Code::InvalidRecord, Verdict::Refused),
            (Code::InvalidDifferentRecord, Verdict::Refused),
            (Code::InvalidTimestamp, Verdict::Refused),
            (Code::MessageTimedOut, Verdict::Retry),
            (Code::UnknownTopic, Verdict::Retry),
            (Code::TopicAuthorizationFailed, Verdict::Retry),
            (Code::SaslAuthenticationFailed, Verdict::Retry),
            (Code::NotEnoughReplicas, Verdict::Retry),
            (Code::PolicyViolation, Verdict::Retry),
            (Code::InvalidMessage, Verdict::Retry),
            (Code::Fatal, Verdict::Retry),
        ];
        for (code, expected) in cases {
            assert_eq!(verdict(code), expected, "{code:?}");
        }
    }

    #[test]
    fn patience_ends_with_the_timeout_or_a_second_after_the_last_broker() {
        let timeout = Duration::from_secs(30);
        let seconds = Duration::from_secs;
        let cases = [
            // Reported, all down, after, whether it goes on.
            (0, false, seconds(29), true),
            (0, false, seconds(30), false),
            (1, false, seconds(30), true),
            (0, true, Duration::from_millis(999), true),
            (0, true, seconds(1), false),
            (1, true, seconds(30), true),
        ];
        for (reported, all_down, after, goes_on) in cases {
            let mut patience = Patience::new(timeout, 0);
            let now = patience.since + after;
            let result = patience.check(reported, all_down, now);
            assert_eq!(result.is_ok(), goes_on, "{reported} {all_down} {after:?}");
        }
    }
}
