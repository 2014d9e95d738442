//! Stamps the git revision and the compiler's version into the engine.

use std::{env, path::Path, process::Command};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Where they lie in a worktree, too; one that is missing would have this run every time.
    let files = ["HEAD", "logs/HEAD"].map(|name| output("git", &["rev-parse", "--git-path", name]));
    for file in files.iter().flatten().filter(|file| Path::new(file).exists()) {
        println!("cargo::rerun-if-changed={file}");
    }
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
