//! The `keyed_hash` stage as a plugin.

ringmill_sdk::export_plugin!(address_map ringmill_keyed_hash::KeyedHash);
