//! Stamps the git revision and the compiler's version into the engine.

use std::{env, process::Command};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=.git/HEAD");
    println!("cargo::rerun-if-changed=.git/logs/HEAD");
    let revision = output("git", &["rev-parse", "--short=12", "HEAD"]);
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let rustc = output(&rustc, &["--version"]);
    // A source archive has no revision.
    println!("cargo::rustc-env=RINGMILL_REVISION={}", revision.as_deref().unwrap_or("no revision"));
    println!("cargo::rustc-env=RINGMILL_RUSTC={}", rustc.as_deref().unwrap_or("unknown compiler"));
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = output.status.success().then(|| String::from_utf8(output.stdout).ok())??;
    Some(text.trim().to_owned())
}
