//! The `crypto_pan` stage as a plugin.

ringmill_sdk::export_plugin!(address_map ringmill_crypto_pan::CryptoPan);
