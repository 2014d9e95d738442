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
    /// More of its properties.
    properties: Vec<String>,
}

impl Broker {
    /// Starts one on free ports. None, and a line that says so, where it is not installed.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(|_, _| Vec::new())
    }

    /// The same with these properties, of the broker's port and the controller's.
    pub(crate) fn start_with(properties: impl FnOnce(u16, u16) -> Vec<String>) -> Option<Self> {
        let service =
            Service::new("Apache Kafka", "kafka/broker", "RINGMILL_KAFKA_JARS", |jars| {
                fs::read_dir(jars).map_or(0, Iterator::count) > 0
            })?;
        let [port, controller] = free_ports();
        let mut properties = properties(port, controller);
        properties.push(format!("num.partitions={PARTITIONS}"));
        let broker = Self { service, port, controller, properties };
        broker.again();
        Some(broker)
    }

    /// One that those who come by this address of ours are sent to there.
    pub(crate) fn start_on(address: &str) -> Option<Self> {
        Self::start_with(|port, controller| {
            let [own, other] = ["0.0.0.0", address].map(|at| format!("PLAINTEXT://{at}:{port}"));
            vec![
                format!("listeners={own},CONTROLLER://127.0.0.1:{controller}"),
                format!("advertised.listeners={other}"),
            ]
        })
    }

    pub(crate) fn address(&self) -> String {
        self.at("127.0.0.1")
    }

    /// Its address, reached by this one.
    pub(crate) fn at(&self, address: &str) -> String {
        format!("{address}:{}", self.port)
    }

    /// Starts it again, with all that it had.
    pub(crate) fn again(&self) {
        let [port, controller] = [self.port, self.controller].map(|port| port.to_string());
        let properties = self.properties.iter().map(String::as_str);
        self.service
            .start(&[&*port, &*controller].into_iter().chain(properties).collect::<Vec<_>>());
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
