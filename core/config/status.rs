//! `[status]`: where the status page listens, and who may read it.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::diagnostic::ConfigError;
use super::reader::{self, Table};

/// `[status]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Where the page, its data and the metrics are served. Only this machine reaches it, or
    /// there is a token.
    pub listen: SocketAddr,
    /// The file with the token that every request has to bring; relative to the current
    /// directory.
    pub token_file: Option<PathBuf>,
}

pub(super) fn status(top: &Table<'_>) -> Result<Option<Status>, ConfigError> {
    let Some(table) = top.table("status")? else { return Ok(None) };
    table.only(reader::STATUS)?;
    let Some(entry) = table.entry("listen") else {
        return Err(table
            .error("`listen` is missing in [status]; it says where the status page is")
            .note("for example: listen = \"127.0.0.1:9650\""));
    };
    let Ok(listen) = entry.text()?.parse::<SocketAddr>() else {
        let message = format!("`listen` must be an address with a port; this is {}", entry.raw());
        return Err(entry
            .error(message)
            .note("for example: listen = \"127.0.0.1:9650\", or \"[::1]:9650\""));
    };
    let token_file = match table.entry("token_file") {
        Some(entry) => Some(PathBuf::from(entry.text()?)),
        None => None,
    };
    if token_file.is_none() && !listen.ip().is_loopback() {
        return Err(entry
            .error("`listen` is reachable from other machines, so [status] needs `token_file`")
            .note(
                "make one: (umask 077; head -c 32 /dev/urandom | base64 | tr -dc a-zA-Z0-9 > \
                 status.token); or listen on 127.0.0.1",
            ));
    }
    Ok(Some(Status { listen, token_file }))
}
