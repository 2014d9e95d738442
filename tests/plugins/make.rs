//! Builds what the tests load: fixture plugins, plugins of an edited SDK, and libraries of C.

use std::{
    collections::BTreeMap,
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

use ringmill::sdk::abi::Info;

/// Where this package is.
pub(crate) const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// `target/debug`, or whatever profile this test was built in.
fn profile_directory() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_engine")).parent().unwrap()
}

/// A directory of ours under `target`.
fn scratch(name: &str) -> PathBuf {
    let directory = profile_directory().join("tests").join(name);
    fs::create_dir_all(&directory).unwrap();
    directory
}

/// A cargo that builds into the directories of the test's own build, so that nothing is built
/// twice.
fn cargo(verb: &str) -> Command {
    let profile = profile_directory().file_name().unwrap().to_str().unwrap();
    let profile = if profile == "debug" { "dev" } else { profile };
    let mut command = Command::new(env!("CARGO"));
    command.args([verb, "--quiet", "--profile", profile]);
    command.arg("--target-dir").arg(profile_directory().parent().unwrap());
    command
}

fn succeed(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed:\n{text}");
}

/// The library that a fixture crate makes.
pub(crate) fn plugin(name: &str) -> PathBuf {
    let path = crate::common::plugins().join(format!("lib{name}.so"));
    assert!(path.is_file(), "{} is not there", path.display());
    path
}

/// A text in a file of the SDK, and what to put in its place.
pub(crate) type Edit = (&'static str, &'static str, &'static str);

/// The library of a plugin that was built with another SDK: ours, after `edits`, for a final
/// crate that is compiled with `flags`.
///
/// The copy keeps the SDK's name, which is part of the layouts, but lies in another place of
/// its workspace, so that cargo takes it for another package and yet finds the dependencies
/// built. What was built of the same sources before is used again.
pub(crate) fn incompatible(name: &str, edits: &[Edit], flags: &[&str]) -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = scratch("incompatible");
    let mut files = sdk_files();
    for (file, from, to) in edits {
        let path = PathBuf::from("sdk").join(file);
        let text = files.get_mut(&path).unwrap_or_else(|| panic!("{name}: no file {file}"));
        assert!(text.contains(from), "{name}: nothing to edit in {file}: {from}");
        *text = text.replace(from, to);
    }
    files.insert("Cargo.toml".into(), workspace_manifest());
    files.insert("plugin/Cargo.toml".into(), PLUGIN_MANIFEST.to_owned());
    files.insert("plugin/lib.rs".into(), plugin_source());
    let lock = fs::read_to_string(Path::new(ROOT).join("Cargo.lock")).unwrap();
    let mut hasher = DefaultHasher::new();
    (&files, flags, &lock, Info::THIS.rustc()).hash(&mut hasher);
    let result = directory.join(format!("{name}-{:016x}.so", hasher.finish()));
    if result.exists() {
        return result;
    }
    for (path, text) in &files {
        let path = directory.join(path);
        // A file that is as it was keeps its time, so that cargo does not build it again.
        if fs::read_to_string(&path).ok().as_ref() != Some(text) {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
        }
    }
    fs::write(directory.join("Cargo.lock"), lock).unwrap();
    let mut command = cargo("rustc");
    command.args(["--offline", "-p", "incompatible", "--"]).args(flags).current_dir(&directory);
    succeed(&mut command);
    fs::copy(profile_directory().join("libincompatible.so"), &result).unwrap();
    result
}

const PLUGIN_MANIFEST: &str = r#"
[package]
name = "incompatible"
version.workspace = true
edition.workspace = true
[lib]
path = "lib.rs"
crate-type = ["cdylib"]
[dependencies]
ringmill-sdk.workspace = true
"#;

fn plugin_source() -> String {
    format!(
        "#[path = \"{ROOT}/tests/fixtures/misbehave/good.rs\"]\nmod good;\n\
         ringmill_sdk::export_plugin!(stage good::Good);\n"
    )
}

/// Our workspace, with the copy of the SDK and the plugin as its only members: same versions,
/// same profiles.
fn workspace_manifest() -> String {
    let text = fs::read_to_string(Path::new(ROOT).join("Cargo.toml")).unwrap();
    let mut manifest: toml::Table = text.parse().unwrap();
    manifest.retain(|key, _| key == "workspace" || key == "profile");
    let workspace = manifest["workspace"].as_table_mut().unwrap();
    workspace.insert("members".into(), vec!["sdk", "plugin"].into());
    workspace.remove("exclude");
    workspace["dependencies"]["ringmill-sdk"]["path"] = "sdk".into();
    toml::to_string(&manifest).unwrap()
}

/// The SDK's files, below `sdk`.
fn sdk_files() -> BTreeMap<PathBuf, String> {
    let sdk = Path::new(ROOT).join("core/sdk");
    let mut files = BTreeMap::new();
    let mut directories = vec![sdk.clone()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                // Its tests are no part of a plugin.
                if !path.ends_with("core/sdk/tests") {
                    directories.push(path);
                }
            } else if path.extension().is_some_and(|ext| ext == "rs" || ext == "toml") {
                let name = Path::new("sdk").join(path.strip_prefix(&sdk).unwrap());
                files.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    files
}

/// Whether this machine can compile C; says so where it cannot.
pub(crate) fn has_gcc() -> bool {
    let found = Command::new("gcc").arg("--version").output().is_ok();
    if !found {
        println!("there is no gcc");
    }
    found
}

/// What gcc makes of `library.c`; `None`, and a line that says so, where there is no gcc.
pub(crate) fn gcc(output: &str, arguments: &[&str]) -> Option<PathBuf> {
    if !has_gcc() {
        return None;
    }
    let path = scratch("c").join(output);
    let mut command = Command::new("gcc");
    command.arg(Path::new(ROOT).join("tests/plugins/library.c")).args(arguments);
    command.arg(format!("-DINFO={}", info_bytes())).arg("-o").arg(&path);
    succeed(&mut command);
    Some(path)
}

/// The info of a good plugin, as the elements of an array in C.
fn info_bytes() -> String {
    let Info { magic, semantics, unwinds, sdk, rustc } = Info::THIS;
    let bytes = [&magic[..], &semantics, &[unwinds], &sdk, &rustc].concat();
    let numbers: Vec<_> = bytes.iter().map(u8::to_string).collect();
    numbers.join(",")
}
