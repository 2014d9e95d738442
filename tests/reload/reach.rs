//! Configs that name what the running engine cannot reach any more, and those that name what it can.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::Path,
};

use rustix::process::geteuid;

use crate::{
    common::{key_file, skipped},
    fed::{Fed, assert_each_once, config, files, found},
};

/// Asks for each change of a config in turn, and for one that is good after each that is refused.
/// `{out}` is outside of what may be written, `{in}` inside; a change is said to be refused so.
fn asked(engine: &str, outside: &Path, cases: &[(&str, &str, &str)]) {
    let mut text = String::new();
    let mut fed = Fed::new(|directory| {
        text = config(directory).replace("[engine]", &format!("[engine]\n{engine}"));
        if geteuid().is_root() {
            let nobody = |path: &Path| chown(path, Some(65534), None).unwrap();
            nobody(directory);
            nobody(&directory.join("test.key"));
        }
        text.clone()
    });
    let feed = fed.feed(0);
    fed.wait_until_begun();
    let place = |path: &Path| path.display().to_string();
    let (mut refused, mut done) = (0, 0);
    for (old, new, said) in cases {
        let [old, new] = [old, new].map(|it| it.replace("{out}", &place(outside)));
        let [old, new] = [old, new].map(|it| it.replace("{in}", &place(fed.path())));
        assert!(text.contains(&old), "{old}");
        let next = text.replace(&old, &new);
        let before = fed.stderr().len();
        fed.put(&next);
        fed.hang_up();
        if said.is_empty() {
            done += 1;
            fed.wait_for(&format!(" reload {done} of "), 1);
            text = next;
            continue;
        }
        refused += 1;
        fed.wait_for("the reload is refused, and all goes on as it was", refused);
        fed.wait_for_more(before, "^");
        let log = fed.stderr()[before..].to_owned();
        assert!(log.contains(said), "{new}: {log}");
    }
    let sent = fed.take_back(feed);
    let ended = fed.end().good();
    assert_each_once(&found(&files(ended.directory.path(), ".jsonl")), sent, engine);
    assert_eq!(fs::read_dir(outside).unwrap().count(), 1, "nothing was written there but the key");
    let reloads = &ended.ledger["reloads"];
    assert_eq!((&reloads["done"], &reloads["refused"]), (&done.into(), &refused.into()));
}

#[test]
fn a_place_outside_of_the_sandbox_is_refused_and_one_inside_is_taken() {
    let lsm = fs::read_to_string("/sys/kernel/security/lsm");
    if lsm.is_ok_and(|all| !all.contains("landlock")) {
        return skipped("this kernel has no Landlock");
    }
    let outside = tempfile::tempdir().unwrap();
    let key = key_file(outside.path());
    let writes = "the sandbox lets this process write only below";
    let hides = "the sandbox hides `";
    let parquet =
        |at: &str| format!("[[sink]]\nuse = \"parquet\"\ndirectory = \"{at}/new\"\n[[sink]]");
    let stage =
        "[[stage]]\nplugin = \"{out}/lib.so\"\nuse = \"good\"\n[[stage]]\nuse = \"classify\"";
    asked(
        "sandbox = true",
        outside.path(),
        &[
            ("{in}/out.jsonl", "{out}/out.jsonl", writes),
            ("{in}/out.jsonl", "{out}/new/new/out.jsonl", writes),
            ("[[sink]]", &parquet("{out}"), writes),
            ("key_file = \"{in}/test.key\"", &format!("key_file = {key:?}"), hides),
            ("[[stage]]\nuse = \"classify\"", stage, hides),
            ("{in}/out.jsonl", "{in}/new/new/out.jsonl", ""),
            ("{in}/new/new/out.jsonl", "{out}/out.jsonl", writes),
            ("{in}/new/new/out.jsonl", "{in}/other.jsonl", ""),
        ],
    );
}

#[test]
fn a_place_that_may_not_be_written_is_refused_without_a_sandbox_too() {
    let outside = tempfile::tempdir().unwrap();
    key_file(outside.path());
    fs::set_permissions(outside.path(), fs::Permissions::from_mode(0o555)).unwrap();
    // Root may write everywhere.
    let user = if geteuid().is_root() { "user = \"nobody\"\n" } else { "" };
    asked(
        &format!("{user}sandbox = false"),
        outside.path(),
        &[
            ("{in}/out.jsonl", "{out}/out.jsonl", "this process may not write to"),
            ("{in}/out.jsonl", "{in}/new/out.jsonl", ""),
        ],
    );
}
