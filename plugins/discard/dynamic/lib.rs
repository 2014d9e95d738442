//! The `discard` sink as a plugin.

ringmill_sdk::export_plugin!(sink ringmill_discard::Discard);
