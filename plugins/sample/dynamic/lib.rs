//! The `sample` stage as a plugin.

ringmill_sdk::export_plugin!(stage ringmill_sample::Sample);
