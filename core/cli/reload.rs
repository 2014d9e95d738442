//! `engine reload`, and what a running engine does when it is asked.
//!
//! The engine that is meant is found by how it was called, which the kernel knows, or by its number.
//! There is no file with a number in it that may be old, and no socket that somebody may write to.

use std::{
    env, fs, io,
    io::IsTerminal as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use clap::{Args, Parser as _};
use ringmill::{
    Engine, StartError,
    config::{Config, ConfigError},
};
use rustix::{
    process::{Gid, Pid, Signal, Uid, getpid, getuid, kill_process},
    thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid},
};
use signal_hook::{consts::SIGHUP, flag};

use super::{BAD_USAGE, Cli, ConfigArgs, complain, print, run};

#[derive(Args)]
pub(super) struct ReloadArgs {
    /// The engine's process; needed only where several run
    #[arg(long, value_name = "N")]
    pid: Option<i32>,
}

/// A running engine.
struct Running {
    pid: Pid,
    user: Uid,
    group: Gid,
    config: ConfigArgs,
    /// What the paths in it are relative to; only root may look, and then others say where they are.
    directory: Option<PathBuf>,
}

pub(super) fn reload(arguments: &ReloadArgs) -> u8 {
    match find(arguments.pid).and_then(|engine| ask(&engine)) {
        Ok(told) => print(&told),
        Err(why) => {
            complain(&why);
            BAD_USAGE
        }
    }
}

/// Checks the config as that engine will see it, and asks for it.
fn ask(engine: &Running) -> Result<String, String> {
    let Running { pid, config, directory, .. } = engine;
    if let Some(directory) = directory {
        env::set_current_dir(directory).map_err(|error| {
            format!("the directory of engine {pid}, `{}`: {error}", directory.display())
        })?;
    }
    engine.become_its_user()?;
    let checked = run::load(config).map_err(StartError::from).and_then(Engine::new);
    checked.map_err(|error| error.to_string())?;
    kill_process(*pid, Signal::HUP)
        .map_err(|error| format!("engine {pid} cannot be asked: {error}"))?;
    let file = config.config.display();
    Ok(format!(
        "`{file}` is good; engine {pid} was asked to take it, and its log says how that went\n"
    ))
}

fn find(pid: Option<i32>) -> Result<Running, String> {
    if let Some(number) = pid {
        let pid = Pid::from_raw(number).filter(|_| number > 0);
        let found = pid.and_then(running);
        return found.ok_or_else(|| format!("process {number} is no engine that runs a config"));
    }
    let processes = fs::read_dir("/proc");
    let processes = processes.map_err(|error| format!("/proc cannot be read: {error}"))?;
    let numbers = processes.flatten().filter_map(|it| it.file_name().to_str()?.parse().ok());
    let others = numbers.filter_map(Pid::from_raw).filter(|pid| *pid != getpid());
    let ours = |it: &Running| getuid().is_root() || it.user == getuid();
    let mut engines: Vec<_> = others.filter_map(running).filter(ours).collect();
    match engines.len() {
        1 => Ok(engines.remove(0)),
        0 => Err("no engine of this user runs here".to_owned()),
        _ => {
            let each = |it: &Running| {
                format!("\n  engine reload --pid {}    # {}", it.pid, it.config.config.display())
            };
            let list: String = engines.iter().map(each).collect();
            Err(format!("several engines run here; say which:{list}"))
        }
    }
}

/// The process, if it is an engine that runs a config.
fn running(pid: Pid) -> Option<Running> {
    let about = Path::new("/proc").join(pid.to_string());
    let text = |name: &str| fs::read_to_string(about.join(name)).ok();
    // Not its program, which is nobody's business but root's.
    if text("comm")? != fs::read_to_string("/proc/self/comm").ok()? {
        return None;
    }
    let line = fs::read(about.join("cmdline")).ok()?;
    let words = line.strip_suffix(b"\0")?.split(|byte| *byte == 0);
    let words = words.map(|word| String::from_utf8_lossy(word).into_owned());
    let Cli { command: None, config: Some(config), .. } = Cli::try_parse_from(words).ok()? else {
        return None;
    };
    let status = text("status")?;
    let owner = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let (user, group) = (Uid::from_raw(owner("Uid:")?), Gid::from_raw(owner("Gid:")?));
    let directory = fs::read_link(about.join("cwd")).ok();
    Some(Running { pid, user, group, config, directory })
}

impl Running {
    /// To check a config is to run what plugins it names: with that user's rights and no others,
    /// with which that engine has to read the config and its keys as well.
    fn become_its_user(&self) -> Result<(), String> {
        if self.user == getuid() {
            return Ok(());
        }
        let (user, group) = (self.user, self.group);
        set_thread_groups(&[group])
            .and_then(|()| set_thread_res_gid(group, group, group))
            .and_then(|()| set_thread_res_uid(user, user, user))
            .map_err(|error| format!("engine {} belongs to another user: {error}", self.pid))
    }
}

/// What SIGHUP says to a running engine: to read its config again, or that its terminal is gone.
pub(super) struct Hangup {
    asked: Arc<AtomicBool>,
    on_terminal: bool,
}

impl Hangup {
    /// From now on it does not end the process.
    pub(super) fn watch() -> Self {
        let asked = Arc::<AtomicBool>::default();
        if let Err(error) = flag::register(SIGHUP, Arc::clone(&asked)) {
            tracing::warn!("SIGHUP will end the engine: {error}");
        }
        Self { asked, on_terminal: io::stderr().is_terminal() }
    }

    /// Set when it comes.
    pub(super) fn asked(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.asked)
    }

    /// Reads the config again, unless the terminal that the engine was started from is gone: then
    /// nobody is there any more who could end the run, which ends by itself.
    pub(super) fn load(
        &self,
        stop: &AtomicBool,
        load: impl Fn() -> Result<Config, ConfigError>,
    ) -> Result<Config, ConfigError> {
        if self.on_terminal && !io::stderr().is_terminal() {
            stop.store(true, Relaxed);
            return Err(ConfigError::of_arguments("the terminal is gone, so the run ends"));
        }
        load()
    }
}
