//! `engine manifest FILE`

use std::path::Path;

use ringmill::manifest;

use super::{BAD_USAGE, complain, print};

pub(super) fn manifest(file: &Path) -> u8 {
    match manifest::read(file) {
        Ok(manifest) => print(&manifest.to_string()),
        Err(error) => {
            complain(&error.to_string());
            BAD_USAGE
        }
    }
}
