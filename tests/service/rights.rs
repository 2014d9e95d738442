//! What is left of root's rights once the engine runs, and what a plugin can do with them.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use rustix::process::geteuid;

use crate::{
    common::{plugins, skipped},
    net::{self, Net},
    scene::Scene,
};

const NOBODY: u32 = 65534;

/// What proc(5) says of each thread of a process: its name, and a value by field.
fn threads(pid: u32) -> Vec<(String, BTreeMap<String, String>)> {
    let folders = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let status = |folder: fs::DirEntry| {
        let text = fs::read_to_string(folder.path().join("status")).unwrap();
        let fields = text.lines().filter_map(|line| line.split_once(':'));
        let fields: BTreeMap<_, _> = fields
            .map(|(name, value)| {
                (name.to_owned(), value.split_whitespace().collect::<Vec<_>>().join(" "))
            })
            .collect();
        (fields["Name"].clone(), fields)
    };
    folders.map(|folder| status(folder.unwrap())).collect()
}

#[test]
fn root_becomes_a_user_who_can_only_open_rings_and_does_so_again() {
    let Some(net) = Net::with_pairs(1, 1) else { return };
    let program = net.command(Path::new(env!("CARGO_BIN_EXE_engine")));
    let mut running = net::start(program, |folder| {
        chown(folder, Some(NOBODY), None).unwrap();
        let path = |name: &str| folder.join(name);
        // Only root can read it.
        let key = crate::common::key_file(folder);
        format!(
            "[engine]\nworkers = 2\nuser = \"nobody\"\nspill = {:?}\n[capture]\n\
             from = \"af_packet\"\ninterface = \"cap0\"\n\
             [status]\nlisten = \"127.0.0.1:0\"\n[[stage]]\nuse = \"decode\"\n\
             [[stage]]\nuse = \"classify\"\n[[stage]]\nuse = \"http\"\nkey_file = {key:?}\n\
             [[stage]]\nuse = \"redact\"\n[[stage]]\nuse = \"truncate\"\n\
             [[sink]]\nuse = \"jsonl\"\npath = {:?}\n\
             [[sink]]\nuse = \"parquet\"\ndirectory = {:?}\nwhen_full = \"spill\"\n",
            path("spill"),
            path("out.jsonl"),
            path("parquet"),
        )
    });
    running.wait_for("runs as `nobody`, which keeps CAP_NET_RAW");
    running.wait_for("writes only below");
    let all = threads(running.pid());
    let mut names: Vec<_> = all.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    for name in ["signals", "status", "watch", "watchdog", "worker-0", "worker-1"] {
        assert!(names.contains(&name), "{names:?}");
    }
    let nobody = [NOBODY.to_string().as_str(); 4].join(" ");
    for (name, fields) in &all {
        let rights = if name.starts_with("worker-") { 1 << 13 } else { 0_u64 };
        let number = |field: &str| u64::from_str_radix(&fields[field], 16).unwrap();
        assert_eq!(fields["Uid"], nobody, "{name}");
        assert_eq!(fields["Gid"], nobody, "{name}");
        assert_eq!((number("CapEff"), number("CapPrm")), (rights, rights), "{name}");
        assert_eq!((number("CapInh"), number("CapAmb")), (0, 0), "{name}");
        // What no program that it starts could have: all but the ring's, and reading keys.
        assert_eq!(number("CapBnd") & !(1 << 13 | 1 << 2), 0, "{name}");
        assert_eq!(
            (fields["NoNewPrivs"].as_str(), fields["Seccomp"].as_str()),
            ("1", "2"),
            "{name}"
        );
    }
    // The interface goes away and comes back: its rings are opened by `nobody`.
    net.must("ip link del cap0");
    running.wait_for("cap0 is gone");
    net.add_pair(0, 1);
    running.wait_for("cap0 is back");
    let start = Instant::now();
    while net.promiscuity("cap0") != 2 {
        assert!(start.elapsed() < Duration::from_secs(10), "{}", running.stderr());
        thread::sleep(Duration::from_millis(20));
    }
    // All rings are there; the last of them to notice opens within a second.
    thread::sleep(Duration::from_millis(1500));
    let captures = [crate::common::root().join("tests/captures/curl-keepalive-ipv4.pcap")];
    let sent = net.send_captures("out0", &captures);
    let ended = running.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.sum("received"), sent, "{}", ended.stderr);
    let out = fs::read_to_string(ended.folder().join("out.jsonl")).unwrap();
    assert!(out.contains("http_request"), "{}", ended.stderr);
}

#[test]
fn a_user_that_cannot_be_become_is_a_sentence() {
    if !geteuid().is_root() {
        return skipped("only root can become another user");
    }
    for (user, says) in [
        ("no-such-user", "there is no user `no-such-user` but root; `useradd --system"),
        ("root", "there is no user `root` but root"),
    ] {
        let mut scene = Scene::new(&format!("user = {user:?}"), "use = \"good\"");
        assert_eq!(scene.end().code(), Some(2), "{user}");
        assert!(scene.said().contains(says), "{user}: {}", scene.said());
    }
    let mut unprivileged = Command::new("setpriv");
    unprivileged.args(["--reuid", "65534", "--clear-groups", "--regid", "65534"]);
    unprivileged.arg(env!("CARGO_BIN_EXE_engine")).args(["--config"]);
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let config = crate::common::write_config(
        folder.path(),
        "[engine]\nuser = \"daemon\"\n[capture]\nfrom = \"file\"\nfiles = [\"-\"]\n\
         [[stage]]\nuse = \"decode\"\n[[sink]]\nuse = \"jsonl\"\npath = \"-\"\n",
    );
    let Ok(output) = unprivileged.arg(config).output() else {
        return skipped("there is no `setpriv`");
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("only root can become `daemon`, and this is `nobody`"), "{said}");
}

/// A stage that tries what no stage has to do, with and without the sandbox.
#[test]
fn a_stage_that_wants_out_does_not_get_far() {
    let outside = tempfile::tempdir_in(plugins()).unwrap();
    let landlock =
        fs::read_to_string("/sys/kernel/security/lsm").map_or(true, |all| all.contains("landlock"));
    for (sandbox, how) in [(true, "refused"), (false, "went")] {
        fs::write(outside.path().join("secret"), "x").unwrap();
        let stage = format!(
            "use = \"escapes\"\nfolder = {:?}\nreport = \"{{folder}}/report\"",
            outside.path().display().to_string()
        );
        let engine = format!("sandbox = {sandbox}\nwritable = [\"{{folder}}\"]");
        let mut scene = Scene::new(&engine, &stage);
        scene.feed();
        let report = scene.until("report", |scene| {
            fs::read_to_string(scene.path("report")).ok().filter(|text| text.contains("exec"))
        });
        let guarded = scene.said().contains("writes only below");
        if sandbox && !guarded {
            assert!(!landlock, "{}", scene.said());
            skipped("this kernel has no Landlock");
            assert!(report.contains("exec refused"), "{report}");
        } else {
            // The plugin's own folder can be read, and this one lies in it.
            let expected = format!("read went\nwrite {how}\ndelete {how}\nexec {how}\n");
            assert_eq!(report, expected, "sandbox = {sandbox}: {}", scene.said());
        }
        // The engine goes on, and ends as if nothing had been.
        scene.enough();
        assert_eq!(scene.end().code(), Some(0), "{}", scene.said());
    }
}
