//! `engine man`: manual pages, made of what the command line knows of itself.

use std::io;

use clap::Command;
use clap_mangen::Man;

use super::{BAD_USAGE, complain, print};

/// What stands in no option, in the macros of man(7).
const MORE: &str = r#".SH "EXIT STATUS"
0 when the run was done and its ledger balances, 1 when it failed, 2 for bad usage, a bad config or
a machine that it cannot run on.
.SH SIGNALS
.TP
SIGINT, SIGTERM
The first ends the run with all that was taken by then; the second ends the process. A stage that
does not come back is named after five seconds, and the process ends with status 1.
.TP
SIGHUP
Takes the config anew.
.SH ENVIRONMENT
.TP
RUST_LOG
What is logged: error, warn, info (where not set), debug, or info,ringmill=debug.
.TP
NOTIFY_SOCKET, WATCHDOG_USEC, JOURNAL_STREAM
Set by systemd(1), see sd_notify(3) and systemd.exec(5).
.SH FILES
.TP
/etc/ringmill/*.toml
Configs; campus.toml explains every key.
.TP
/var/lib/ringmill
What the example configs write to.
.SH "SEE ALSO"
pcap-filter(7), systemd.service(5), setcap(8), ethtool(8)
"#;

/// The page of the engine, or of one of its commands.
pub(super) fn man(mut engine: Command, command: Option<&str>) -> u8 {
    engine.build();
    let Some(name) = command else {
        let page = page(engine).map(|page| page + MORE);
        return finish(page);
    };
    match engine.find_subcommand(name) {
        Some(found) => {
            let found = found.clone().disable_help_flag(true);
            finish(page(found))
        }
        None => {
            complain(&format!("`engine` has no command `{name}`; `engine --help` lists them"));
            BAD_USAGE
        }
    }
}

fn page(command: Command) -> io::Result<String> {
    let mut page = Vec::new();
    Man::new(command).section("1").render(&mut page)?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

fn finish(page: io::Result<String>) -> u8 {
    match page {
        Ok(page) => print(&page),
        Err(error) => {
            complain(&format!("the page cannot be made: {error}"));
            super::FAILED
        }
    }
}
