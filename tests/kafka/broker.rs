//! Apache Kafka itself.

#![allow(dead_code, reason = "every test file uses a part of this")]

use std::{fs, ops::Deref};

use crate::service::{Service, free_ports};

/// Partitions of each topic.
pub(crate) const PARTITIONS: i32 = 3;

pub(crate) struct Broker {
    service: Service,
    port: u16,
    controller: u16,
}

impl Broker {
    /// Starts one on free ports. None, and a line that says so, where it is not installed.
    pub(crate) fn start() -> Option<Self> {
        let service =
            Service::new("Apache Kafka", "kafka/broker", "RINGMILL_KAFKA_JARS", |jars| {
                fs::read_dir(jars).map_or(0, Iterator::count) > 0
            })?;
        let [port, controller] = free_ports();
        let broker = Self { service, port, controller };
        broker.again();
        Some(broker)
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Starts it again, with all that it had.
    pub(crate) fn again(&self) {
        let [port, controller] = [self.port, self.controller].map(|port| port.to_string());
        self.service.start(&[&port, &controller, &format!("num.partitions={PARTITIONS}")]);
    }

    /// One of Kafka's own programs.
    pub(crate) fn tool(&self, class: &str, arguments: &[&str]) -> String {
        let address = self.address();
        let common = ["tool", class, "--bootstrap-server", &address];
        let output = self.service.script(&[&common, arguments].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Deref for Broker {
    type Target = Service;

    fn deref(&self) -> &Service {
        &self.service
    }
}
