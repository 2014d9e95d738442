//! The command line. Standard output belongs to sinks and to what a command was asked to
//! print; the progress bar, the ledger and the log go to standard error.

mod describe;
mod doctor;
mod keygen;
mod log;
mod man;
mod manifest;
mod progress;
mod reload;
mod run;
mod secrecy;
mod service;
mod signals;

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

/// The run was done and the ledger balances.
const DONE: u8 = 0;
/// The run failed.
const FAILED: u8 = 1;
/// The command line, the config or an input is wrong; nothing was done.
const BAD_USAGE: u8 = 2;

/// Records anonymized HTTP heads from packets, as a config declares it.
///
/// Exit status: 0 when the run was done and the ledger balances, 1 when it failed, 2 for bad
/// usage or a bad config.
#[derive(Parser)]
#[command(name = "engine", version = ringmill::VERSION, max_term_width = 100)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    config: Option<ConfigArgs>,
    /// Prints neither progress nor ledger; warnings and errors only
    #[arg(long)]
    quiet: bool,
    /// Prints at the end what each stage cost, in nanoseconds per packet
    #[arg(long)]
    profile: bool,
    /// What the log looks like; where not given JSON in the journal, and text elsewhere
    #[arg(long, value_name = "FORM")]
    log: Option<log::Form>,
}

#[derive(Args, Clone)]
struct ConfigArgs {
    /// The TOML file that declares capture, stages and sinks
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Reads this capture file instead of what the config names; may be given several times,
    /// takes patterns, and `-` is standard input
    #[arg(long, value_name = "FILE")]
    read: Vec<String>,
    /// Runs this many workers instead of what the config says
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
}

#[derive(Subcommand)]
enum Command {
    /// Checks a config without running it, and shows the chain and what each sink will receive
    Check {
        #[command(flatten)]
        config: ConfigArgs,
        /// Prints nothing of a good config
        #[arg(long)]
        quiet: bool,
    },
    /// Lets a running engine read its config again
    ///
    /// Checks the config first, as `check` does, and then sends SIGHUP. Stages and sinks that are
    /// the same go on with all that they hold; the others are ended and replaced without a packet or
    /// a record being lost. What `[capture]`, `[status]` and most of `[engine]` say cannot be changed
    /// so. The engine's log says what became of it. Exit status: 0 when it was asked, 2 when the
    /// config is bad or there is no such engine.
    Reload(reload::ReloadArgs),
    /// Checks this machine for a config, and shows what mends it
    ///
    /// One line for each finding, with the command or the key of the config that mends it. Looks
    /// at the traffic for two seconds. Exit status: 0 when all is well, 1 when there are
    /// warnings, 2 when the config cannot run here.
    Doctor(ConfigArgs),
    /// Lists the built-in stages and sinks with their options
    Stages {
        /// Only these
        names: Vec<String>,
    },
    /// Loads a plugin and says what is in it, or what is wrong with it
    Plugin {
        /// The shared library
        file: PathBuf,
    },
    /// Makes a key file, or destroys the keys of old epochs in one
    ///
    /// The file is new, for its owner only, and never overwrites another.
    Keygen(keygen::KeygenArgs),
    /// Prints how an output file came about, as text for a paper's methods section
    ///
    /// FILE is a Parquet file, a file of JSON Lines with its manifest beside it, or a manifest.
    Manifest {
        /// The output file
        file: PathBuf,
    },
    /// Prints the manual page of the engine, or of one of its commands
    Man {
        /// Which command
        command: Option<String>,
    },
    /// Prints completions for a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
}

pub(crate) fn main() -> ExitCode {
    // Usage errors end with status 2 in here.
    let cli = Cli::parse();
    log::begin(cli.log);
    secrecy::no_core_files();
    secrecy::panics_tell_no_data();
    secrecy::no_new_privileges();
    let status = match (cli.command, cli.config) {
        (None, Some(config)) => run::run(&config, cli.quiet, cli.profile),
        (None, None) => {
            complain("name a config: `engine --config configs/demo.toml`");
            BAD_USAGE
        }
        (Some(Command::Check { config, quiet }), _) => run::check(&config, quiet),
        (Some(Command::Reload(arguments)), _) => reload::reload(&arguments),
        (Some(Command::Doctor(arguments)), _) => doctor::doctor(&arguments),
        (Some(Command::Stages { names }), _) => print(&describe::stages(&names)),
        (Some(Command::Plugin { file }), _) => match describe::plugin(&file) {
            Ok(text) => print(&text),
            Err(error) => {
                complain(&error.to_string());
                FAILED
            }
        },
        (Some(Command::Keygen(arguments)), _) => keygen::keygen(&arguments),
        (Some(Command::Manifest { file }), _) => manifest::manifest(&file),
        (Some(Command::Man { command }), _) => man::man(Cli::command(), command.as_deref()),
        (Some(Command::Completions { shell }), _) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "engine", &mut script);
            print(&String::from_utf8_lossy(&script))
        }
    };
    ExitCode::from(status)
}

/// Prints what a command was asked for. A reader that has seen enough (`| head`) is no error.
fn print(text: &str) -> u8 {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            complain(&format!("standard output cannot be written: {error}"));
            FAILED
        }
        _ => DONE,
    }
}

/// Prints for the operator what went wrong.
fn complain(message: &str) {
    log::say(tracing::Level::ERROR, message, None);
}
