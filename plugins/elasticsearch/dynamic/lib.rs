//! The `elasticsearch` sink as a plugin.

ringmill_sdk::export_plugin!(sink ringmill_elasticsearch::Elasticsearch);
