//! `engine`: records anonymized HTTP heads, as a config declares it.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
