//! What is in the store, by its own query language.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use ureq::Agent;

pub(crate) struct Store {
    agent: Agent,
    url: String,
}

impl Store {
    pub(crate) fn new(url: &str) -> Self {
        let agent = Agent::config_builder().proxy(None).build().new_agent();
        Self { agent, url: url.to_owned() }
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        let mut answer = self.agent.get(format!("{}{path}", self.url)).call().unwrap();
        serde_json::from_slice(&answer.body_mut().read_to_vec().unwrap()).unwrap()
    }

    /// As POST.
    pub(crate) fn ask(&self, path: &str, body: &Value) -> Value {
        self.send(self.agent.post(format!("{}{path}", self.url)), body)
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> Value {
        self.send(self.agent.put(format!("{}{path}", self.url)), body)
    }

    fn send(
        &self,
        request: ureq::RequestBuilder<ureq::typestate::WithBody>,
        body: &Value,
    ) -> Value {
        let request = request.header("Content-Type", "application/json");
        let mut answer = request.send(body.to_string()).unwrap();
        let limit = 1 << 30;
        let bytes = answer.body_mut().with_config().limit(limit).read_to_vec().unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    pub(crate) fn delete(&self, index: &str) {
        self.agent.delete(format!("{}/{index}", self.url)).call().unwrap();
    }

    /// The number of documents that a query finds.
    pub(crate) fn count(&self, indices: &str, query: &Value) -> u64 {
        let answer = self.ask(&format!("/{indices}/_count"), &json!({"query": query}));
        answer["count"].as_u64().unwrap()
    }

    /// Makes all that was taken visible; then the ids of all documents, each with the number of
    /// documents that have it.
    pub(crate) fn ids(&self, indices: &str) -> BTreeMap<String, usize> {
        self.ask(&format!("/{indices}/_refresh"), &json!({}));
        let first = json!({"size": 10_000, "_source": false, "sort": ["_doc"]});
        let mut page = self.ask(&format!("/{indices}/_search?scroll=1m"), &first);
        let mut ids = BTreeMap::new();
        loop {
            let hits = page["hits"]["hits"].as_array().unwrap();
            if hits.is_empty() {
                return ids;
            }
            for hit in hits {
                *ids.entry(hit["_id"].as_str().unwrap().to_owned()).or_default() += 1;
            }
            let next = json!({"scroll": "1m", "scroll_id": page["_scroll_id"]});
            page = self.ask("/_search/scroll", &next);
        }
    }
}
