//! Runs the engine as a user does: the binary, a config in a file, what it writes.

#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "every test file uses a part of this"
)]

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
};

use serde_json::Value;

/// A line of JSON, as the `jsonl` sink writes it.
pub type Row = BTreeMap<String, Value>;

/// The root of the project.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The engine, to be given arguments.
pub fn engine() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_engine"));
    command.current_dir(root()).stdin(Stdio::null()).env_remove("RUST_LOG");
    command
}

/// A key file of 32 fixed bytes, so that runs can be compared.
pub fn key_file(directory: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let path = directory.join("test.key");
    fs::write(&path, "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// A number from the environment, by which one asks for more than a test does by itself.
pub fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect(name))
}

/// Sends a process a signal, `TERM` or another.
pub fn signal(pid: u32, name: &str) {
    let arguments = ["-s".to_owned(), name.to_owned(), pid.to_string()];
    assert!(Command::new("kill").args(arguments).status().unwrap().success());
}

/// Where an engine that has said this has its status page.
pub fn page(said: &str) -> Option<&str> {
    let url = said.lines().find_map(|line| line.split_once("status page at http://"));
    Some(url?.1.trim_end_matches('/'))
}

/// The body of what the server of a status page answers.
pub fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// A config that takes every head in `files` and writes it to `out.jsonl` in `directory` with
/// the addresses as they were.
pub fn plain_config(directory: &Path, files: &[&str]) -> PathBuf {
    let key = key_file(directory);
    write_config(
        directory,
        &format!(
            "allow_identifiable = true\n[capture]\nfrom = \"file\"\nfiles = {files:?}\n\
             [[stage]]\nuse = \"decode\"\n[[stage]]\nuse = \"classify\"\n\
             [[stage]]\nuse = \"http\"\nkey_file = {key:?}\n[[stage]]\nuse = \"user_agent\"\n\
             [[sink]]\nuse = \"jsonl\"\npath = {:?}\n",
            directory.join("out.jsonl")
        ),
    )
}

/// `[capture]` of these files and all stages.
pub fn whole_chain(directory: &Path, files: &[impl AsRef<Path>]) -> String {
    let files: Vec<_> = files.iter().map(AsRef::as_ref).collect();
    format!("[capture]\nfrom = \"file\"\nfiles = {files:?}\n{}", stages(directory))
}

/// All stages, with a key file in `directory`, so that a row has one id in all runs.
pub fn stages(directory: &Path) -> String {
    let key = key_file(directory);
    format!(
        "[[stage]]\nuse = \"decode\"\n[[stage]]\nuse = \"classify\"\n\
         [[stage]]\nuse = \"http\"\nkey_file = {key:?}\n[[stage]]\nuse = \"user_agent\"\n\
         [[stage]]\nuse = \"redact\"\nkey_file = {key:?}\n\
         [[stage]]\nuse = \"crypto_pan\"\nkey_file = {key:?}\n"
    )
}

/// Puts a config into `directory`.
pub fn write_config(directory: &Path, text: &str) -> PathBuf {
    let path = directory.join("test.toml");
    fs::write(&path, text).unwrap();
    path
}

/// Runs a config and takes it that all went well.
pub fn run(config: &Path, arguments: &[&str]) -> Output {
    let output = engine().arg("--config").arg(config).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// What is in a JSON Lines file, compressed or not; nothing where it does not exist.
pub fn lines(path: &Path) -> String {
    let mut bytes = fs::read(path).unwrap_or_default();
    if path.extension().is_some_and(|ending| ending == "zst") {
        bytes = zstd::decode_all(&*bytes).unwrap();
    }
    String::from_utf8(bytes).unwrap()
}

/// All rows of a JSON Lines file; none where the file does not exist.
pub fn rows(path: &Path) -> Vec<Row> {
    lines(path).lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

/// The heads in one capture, addresses as they were.
pub fn heads(capture: &Path) -> Vec<Row> {
    let directory = tempfile::tempdir().unwrap();
    let config = plain_config(directory.path(), &[capture.to_str().unwrap()]);
    run(&config, &["--quiet"]);
    rows(&directory.path().join("out.jsonl"))
}

/// Text of a field, `None` where it is absent.
pub fn text<'a>(row: &'a Row, field: &str) -> Option<&'a str> {
    row.get(field).and_then(Value::as_str)
}

/// Says that something was not tested, and why. Not by `println!`, which a test runner keeps
/// to itself when the test passes.
pub fn skipped(why: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

/// Whether the engine can load libpcap here, which only filters need; says so where it cannot.
pub fn has_libpcap() -> bool {
    let directory = tempfile::tempdir().unwrap();
    let text = "[capture]\nfrom = \"file\"\nfiles = [\"-\"]\nfilter = \"tcp\"\n\
                [[stage]]\nuse = \"decode\"\n[[sink]]\nuse = \"jsonl\"\npath = \"/dev/null\"\n";
    let config = write_config(directory.path(), text);
    let output = engine().args(["check", "--config"]).arg(config).output().unwrap();
    let missing = String::from_utf8_lossy(&output.stderr).contains("`filter` needs libpcap");
    if missing {
        skipped("there is no libpcap");
    }
    !missing
}

/// The captures that others made, where this machine has them.
pub fn shared_captures() -> Option<PathBuf> {
    let path = root().join("../shared/captures");
    if path.join("truth.csv").exists() {
        return Some(path);
    }
    skipped(format_args!("{} is not on this machine", path.display()));
    None
}

/// The captures of the project.
pub fn own_captures() -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(root().join("tests/captures"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_string_lossy().contains(".pcap"))
        .collect();
    paths.sort();
    paths
}

/// What an independent reader found in one of them.
pub fn expected(capture: &Path) -> PathBuf {
    let name = capture.file_name().unwrap().to_string_lossy();
    capture.with_file_name("expected").join(format!("{name}.jsonl"))
}

/// Builds the plugins and the examples, in the profile of this test, and gives the folder that
/// the libraries and programs lie in. `RINGMILL_PLUGINS` names one with those that a test needs.
pub fn plugins() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        if let Some(folder) = std::env::var_os("RINGMILL_PLUGINS") {
            return folder.into();
        }
        let mut command = Command::new(env!("CARGO"));
        // The whole workspace: a choice of packages would unify the features of their
        // dependencies in another way, and build Arrow and Parquet once more.
        command.args(["build", "--quiet", "--locked", "--workspace"]).current_dir(root());
        if !cfg!(debug_assertions) {
            command.arg("--release");
        }
        // What cargo tells this test of its package: a build script that looks at it (ring's) would
        // run again, and all that depends on it be built anew.
        for (name, _) in std::env::vars() {
            if ["CARGO_PKG_", "CARGO_MANIFEST_", "OUT_DIR"].iter().any(|it| name.starts_with(it)) {
                command.env_remove(name);
            }
        }
        assert!(command.status().unwrap().success(), "the plugins do not build");
        let engine = Path::new(env!("CARGO_BIN_EXE_engine"));
        engine.parent().unwrap().to_owned()
    })
}

/// The Python that has the independent readers, see `tests/readers/requirements.txt`.
pub fn python(needs: &str) -> Option<String> {
    let python = std::env::var("RINGMILL_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let probe = Command::new(&python).args(["-c", &format!("import {needs}")]).output();
    if probe.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    skipped(format_args!(
        "`{python}` has no {needs}; `pip install -r tests/readers/requirements.txt`, and name \
         that Python in RINGMILL_PYTHON"
    ));
    None
}
