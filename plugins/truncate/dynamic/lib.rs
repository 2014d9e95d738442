//! The `truncate` stage as a plugin.

ringmill_sdk::export_plugin!(address_map ringmill_truncate::Truncate);
