//! One plugin by several names, and a plugin that is replaced while it is loaded.

use std::{fs, os::unix::fs::symlink};

use crate::{
    child::{engine, run, start},
    make::plugin,
    scene::{config, entry, pcap},
};

/// Twice by its name and once through a link it is one library, with one set of statics; a
/// copy is another library.
#[test]
fn a_plugin_may_be_named_again_linked_and_copied() {
    let directory = tempfile::tempdir().unwrap();
    let original = plugin("misbehave");
    let (link, copy) = (directory.path().join("link.so"), directory.path().join("copy.so"));
    symlink(&original, &link).unwrap();
    fs::copy(&original, &copy).unwrap();
    let path = config(directory.path(), 100, |kind, text| {
        if kind == "stage" {
            for (file, every) in [(&original, 10), (&original, 11), (&link, 12), (&copy, 13)] {
                entry(text, kind, file, "good", &format!("every = {every}"));
            }
        } else {
            entry(text, kind, &link, "sink_counts", "");
        }
    });
    let ran = run(engine().arg("--config").arg(&path));
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    // Each is made once for the check and once by the worker.
    for line in [
        "INFO instance 1 drops every 10 stage=\"good\"",
        "INFO instance 2 drops every 11 stage=\"good_2\"",
        "INFO instance 3 drops every 12 stage=\"good_3\"",
        "INFO instance 1 drops every 13 stage=\"good_4\"",
        "INFO instance 4 drops every 10 stage=\"good\" worker=0",
        "INFO instance 5 drops every 11 stage=\"good_2\" worker=0",
        "INFO instance 6 drops every 12 stage=\"good_3\" worker=0",
        "INFO instance 2 drops every 13 stage=\"good_4\" worker=0",
    ] {
        assert!(ran.stderr.lines().any(|said| said.trim() == line), "no `{line}` in {ran:#?}");
    }
    assert!(ran.stderr.contains("the ledger balances"), "{ran:#?}");
}

/// A new file that is renamed over a loaded plugin is used by the next start, and not before.
#[test]
fn a_plugin_is_replaced_by_renaming() {
    let directory = tempfile::tempdir().unwrap();
    let installed = directory.path().join("installed.so");
    fs::copy(plugin("misbehave"), &installed).unwrap();
    let path = config(directory.path(), 1, |kind, text| {
        entry(text, kind, &installed, if kind == "stage" { "good" } else { "sink_counts" }, "");
    });
    let mut running = start(engine().arg("--config").arg(&path).args(["--read", "-"]));
    // Made by the worker: from here on the engine waits for packets.
    running.wait_for("worker=0");
    let new = directory.path().join("new.so");
    fs::write(&new, "no plugin at all").unwrap();
    fs::rename(&new, &installed).unwrap();
    let ran = running.end_with(&pcap(1000));
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    assert!(ran.stderr.contains("saw 1000 packets"), "{ran:#?}");

    let ran = run(engine().arg("--config").arg(&path));
    assert_eq!(ran.code, Some(2), "{ran:#?}");
    assert!(ran.stderr.contains("it is not an ELF shared library"), "{ran:#?}");
}
