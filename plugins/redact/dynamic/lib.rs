//! The `redact` stage as a plugin.

ringmill_sdk::export_plugin!(stage ringmill_redact::Redact);
