//! What librdkafka says, in the engine's log, and no more of it than somebody would read.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use rdkafka::config::RDKafkaLogLevel;
use ringmill_sdk::{Host, Level};

/// Lines in a period, beyond which they are only counted.
const MOST: u32 = 10;
const PERIOD: Duration = Duration::from_secs(60);

/// The way of librdkafka's lines to the engine's log. They name brokers, and nothing of a
/// message.
pub(crate) struct Log {
    host: Host,
    period: Mutex<Period>,
}

#[derive(Debug)]
struct Period {
    began: Instant,
    lines: u32,
}

impl Log {
    pub(crate) fn new(host: &Host) -> Self {
        let period = Mutex::new(Period { began: Instant::now(), lines: 0 });
        Self { host: host.clone(), period }
    }

    pub(crate) fn line(&self, level: RDKafkaLogLevel, text: &str) {
        let level = match level {
            // A broker that goes away is no error of the engine's: the delivery tells of it.
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                Level::ERROR
            }
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => Level::WARN,
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => Level::INFO,
            // Asked for by `debug`, and then all of it.
            RDKafkaLogLevel::Debug => return self.host.debug(text),
        };
        match self.admit(Instant::now()) {
            (true, 0) => self.host.log(level, text),
            (true, kept) => {
                self.host.log(level, format_args!("{text} ({kept} lines before it were left out)"));
            }
            (false, _) => {}
        }
    }

    /// Whether another line may be written, and how many were left out before it.
    fn admit(&self, now: Instant) -> (bool, u32) {
        let mut period = self.period.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left_out = 0;
        if now.saturating_duration_since(period.began) >= PERIOD {
            left_out = period.lines.saturating_sub(MOST);
            *period = Period { began: now, lines: 0 };
        }
        period.lines = period.lines.saturating_add(1);
        (period.lines <= MOST, left_out)
    }
}

#[cfg(test)]
mod tests {
    use ringmill_sdk::testing::TestHost;

    use super::*;

    #[test]
    fn of_many_lines_a_few_are_written_and_the_rest_counted() {
        let (host, _) = TestHost::new(None);
        let log = Log::new(&host);
        let now = Instant::now();
        let admitted = (0..1000).filter(|_| log.admit(now).0).count();
        assert_eq!(admitted, 10);
        assert_eq!(log.admit(now + PERIOD), (true, 990));
        assert_eq!(log.admit(now + PERIOD), (true, 0));
    }

    #[test]
    fn lines_come_with_a_level_of_the_engine() {
        let (host, test) = TestHost::new(None);
        let log = Log::new(&host);
        log.line(RDKafkaLogLevel::Error, "a");
        log.line(RDKafkaLogLevel::Notice, "b");
        log.line(RDKafkaLogLevel::Debug, "c");
        let lines = [(Level::WARN, "a"), (Level::INFO, "b"), (Level::DEBUG, "c")];
        assert_eq!(test.logs(), lines.map(|(level, text)| (level, text.to_owned())));
    }
}
