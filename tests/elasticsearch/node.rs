//! OpenSearch itself.

use std::ops::Deref;

use crate::service::{Service, free_ports};

pub(crate) struct Node {
    service: Service,
    port: u16,
}

impl Node {
    /// Starts one on a free port. None, and a line that says so, where it is not installed.
    pub(crate) fn start() -> Option<Self> {
        let service =
            Service::new("OpenSearch", "opensearch/node", "RINGMILL_OPENSEARCH_JARS", |jars| {
                jars.join("Launcher.class").exists()
            })?;
        let [port] = free_ports();
        let node = Self { service, port };
        node.again();
        Some(node)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Starts it again, with all that it had.
    pub(crate) fn again(&self) {
        self.service.start(&[&self.port.to_string()]);
    }
}

impl Deref for Node {
    type Target = Service;

    fn deref(&self) -> &Service {
        &self.service
    }
}
