//! The `user_agent` stage as a plugin.

ringmill_sdk::export_plugin!(stage ringmill_user_agent::UserAgent);
