//! An engine with two stages for tests, as a process of its own: this test program, run again.

use std::{
    collections::BTreeMap,
    env, fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{self, Command},
    sync::Arc,
    thread,
    time::Duration,
};

use ringmill::{Engine, config};
use ringmill_sdk::{Factory, prelude::*};
use serde_json::{Value, json};

use crate::net::Net;

/// Where the process finds its config: its arguments are for the test runner.
const CONFIG: &str = "RINGMILL_TEST_CONFIG";

options! {
    /// Options of `[[stage]] use = "slow"`.
    pub(crate) struct Pause {
        /// Microseconds that a packet costs
        us: u64 = 1000,
    }
}

/// A stage that takes its time.
struct Slow {
    pause: Duration,
}

impl Stage for Slow {
    const NAME: &'static str = "slow";
    type Config = Pause;

    fn new(Pause { us }: Pause, _: &Host) -> Result<Self> {
        Ok(Self { pause: Duration::from_micros(us) })
    }

    fn packets(&mut self, batch: &mut Batch<'_>, _: &mut Output<'_>) -> Result {
        let packets = u32::try_from(batch.live().count()).unwrap_or(u32::MAX);
        thread::sleep(self.pause * packets);
        Ok(())
    }
}

options! {
    /// Options of `[[stage]] use = "witness"`.
    pub(crate) struct Where {
        /// Folder in which each worker writes what it saw
        folder: PathBuf,
    }
}

/// A stage that remembers every packet.
struct Witness {
    file: Option<PathBuf>,
    lines: String,
}

impl Stage for Witness {
    const NAME: &'static str = "witness";
    type Config = Where;

    fn new(Where { folder }: Where, host: &Host) -> Result<Self> {
        let file = host.worker().map(|worker| folder.join(format!("seen-{worker}")));
        Ok(Self { file, lines: String::new() })
    }

    fn packets(&mut self, batch: &mut Batch<'_>, _: &mut Output<'_>) -> Result {
        for packet in batch.live() {
            let ends = (packet.addresses(), packet.ports());
            let seen = json!({
                "from": format!("{:x?} {}", ends.0.0, ends.1.0),
                "to": format!("{:x?} {}", ends.0.1, ends.1.1),
                "vlan": packet.vlan(),
                "len": packet.frame().len(),
                "wire_len": packet.wire_len(),
                "interface": packet.interface(),
                "time": packet.time().0,
            });
            self.lines += &format!("{seen}\n");
        }
        Ok(())
    }

    fn finish(&mut self, _: &mut Output<'_>) -> Result {
        match &self.file {
            Some(file) => Ok(fs::write(file, &self.lines).map_err(Error::new)?),
            None => Ok(()),
        }
    }
}

/// What each worker's `witness` saw, by worker.
pub(crate) fn seen(folder: &Path) -> BTreeMap<usize, Vec<Value>> {
    let lines = |worker: usize| {
        let text = fs::read_to_string(folder.join(format!("seen-{worker}"))).ok()?;
        Some((worker, text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()))
    };
    (0..).map_while(lines).collect()
}

/// The engine that has these stages, in a namespace.
pub(crate) fn engine(net: &Net) -> Command {
    let mut command = net.command(&env::current_exe().unwrap());
    command.args(["--exact", "stages::the_engine_with_stages_for_tests", "--nocapture"]);
    // What follows is `--config F`, which the test runner must not read.
    command.env(CONFIG, "1").arg("--");
    command
}

#[test]
fn the_engine_with_stages_for_tests() {
    if env::var_os(CONFIG).is_none() {
        return;
    }
    let path = PathBuf::from(env::args().next_back().unwrap());
    process::exit(match capture(&path) {
        Ok(true) => 0,
        Ok(false) => 1,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            2
        }
    });
}

fn capture(path: &Path) -> std::result::Result<bool, Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).without_time().init();
    let config = config::load(path)?;
    let ledger = config.engine.ledger.clone();
    let stages = [Factory::stage::<Slow>(), Factory::stage::<Witness>()];
    let engine = Engine::with(config, &stages)?;
    signal_hook::flag::register(signal_hook::consts::SIGTERM, Arc::clone(&engine.stop()))?;
    let outcome = engine.run(|_| ())?;
    let _ = writeln!(std::io::stderr(), "{}", outcome.ledger);
    if let Some(path) = ledger {
        fs::write(path, serde_json::to_vec(&outcome.ledger)?)?;
    }
    Ok(outcome.is_good())
}
