//! The `decode` stage as a plugin.

ringmill_sdk::export_plugin!(stage ringmill_decode::Decode);
