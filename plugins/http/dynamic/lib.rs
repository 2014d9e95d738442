//! The `http` stage as a plugin.

ringmill_sdk::export_plugin!(stage ringmill_http::Http);
