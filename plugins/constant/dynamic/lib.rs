//! The `constant` stage as a plugin.

ringmill_sdk::export_plugin!(address_map ringmill_constant::Constant);
