//! Plugins that are broken in every way we know: one clear sentence each, no crash, and the
//! engine alive where it can be. Through the real binary, in a process of its own.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test panics and prints to fail")]

#[path = "plugins/child.rs"]
mod child;
mod common;
#[path = "plugins/files.rs"]
mod files;
#[path = "plugins/layouts.rs"]
mod layouts;
#[path = "plugins/make.rs"]
mod make;
#[path = "plugins/runs.rs"]
mod runs;
#[path = "plugins/same_file.rs"]
mod same_file;
#[path = "plugins/scene.rs"]
mod scene;

use std::path::Path;

use ringmill::sdk::abi::Info;

use child::{Ran, engine, run};

/// What `engine plugin FILE` says must be this sentence after the path, and nothing else.
fn check_sentence(name: &str, path: &Path, says: &str) -> Result<(), String> {
    let ran = run(engine().arg("plugin").arg(path));
    let says = says
        .replace("{sdk}", &Info::THIS.sdk())
        .replace("{rustc}", &Info::THIS.rustc())
        .replace("{here}", if cfg!(target_arch = "x86_64") { "X86_64" } else { "Aarch64" })
        .replace("{there}", if cfg!(target_arch = "x86_64") { "Aarch64" } else { "X86_64" });
    let says = format!("`{}`: {says}\n", path.display());
    match ran {
        Ran { code: Some(1), stdout, stderr } if stdout.is_empty() && stderr == says => Ok(()),
        ran => Err(format!("{name}: expected\n  {says}got {ran:#?}")),
    }
}

/// All the rows that failed, so that one run shows them.
fn none_failed(failures: Vec<String>) {
    assert!(failures.is_empty(), "{} rows failed\n{}", failures.len(), failures.join("\n"));
}
