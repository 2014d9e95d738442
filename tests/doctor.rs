//! `engine doctor` on machines that are really so: interfaces in a network namespace of each
//! test's own, which is gone with the processes in it, however they end.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test panics and prints to fail")]

mod common;

use std::{
    path::Path,
    process::{Command, Output},
};

use common::{engine, skipped, write_config};

/// Sends the packets of a capture by `rmdr0`, several times in three seconds: all, or only those
/// that go to a server; each once, or twice. Tells when the kernel has noticed the carrier, since
/// it lets no packet out before.
const SENDER: &str = "\
import socket, struct, sys, time
capture, which, copies = sys.argv[1], sys.argv[2], int(sys.argv[3])
data = open(capture, 'rb').read()
frames, at = [], 24
while at < len(data):
    length = struct.unpack_from('<I', data, at + 8)[0]
    frame = data[at + 16:at + 16 + length]
    at += 16 + length
    if frame[12:14] != b'\\x08\\x00' or frame[23] != 6:
        continue
    ports = struct.unpack_from('>HH', frame, 14 + (frame[14] & 15) * 4)
    if which == 'all' or ports[0] > ports[1]:
        frames += [frame] * copies
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
link.bind(('rmdr0', 0))
for _ in range(15):
    for frame in frames:
        try:
            link.send(frame)
        except OSError:
            pass
    time.sleep(0.2)
";

/// Runs the doctor in a new network namespace, in which `before` was run.
fn doctor(before: &str, from: &str, more: &str) -> Option<(String, i32)> {
    let directory = tempfile::tempdir().unwrap();
    let text = format!(
        "[capture]\nfrom = [\"{from}\"]\ninterface = \"rmdr1\"\nring_mib = 8\n{more}\n\
         [[stage]]\nuse = \"decode\"\n[[sink]]\nuse = \"jsonl\"\npath = \"/dev/null\"\n"
    );
    let config = write_config(directory.path(), &text);
    let script = format!(
        "set -e\nip link add rmdr0 type veth peer name rmdr1\n\
         ip link set rmdr0 up\nip link set rmdr1 up\n\
         n=0\n\
         until ip -brief link show rmdr1 | grep -q LOWER_UP || [ $n = 100 ]\n\
         do n=$((n + 1)); sleep 0.05; done\n\
         {before}\nexec \"$0\" doctor --config \"$1\""
    );
    let output = unshare(&script, &config)?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.is_empty(), "{before}: {errors}");
    Some((said, output.status.code().unwrap()))
}

fn unshare(script: &str, config: &Path) -> Option<Output> {
    let may = Command::new("unshare").args(["--net", "ip", "link"]).output();
    if !may.is_ok_and(|output| output.status.success()) {
        skipped("only root can make a network namespace, with `unshare` and `ip`");
        return None;
    }
    // `--kill-child` ends the sender with the doctor.
    let output = Command::new("unshare")
        .args(["--net", "--pid", "--fork", "--kill-child", "sh", "-c", script])
        .args([env!("CARGO_BIN_EXE_engine").as_ref(), config.as_os_str()])
        .current_dir(common::root())
        .output();
    Some(output.unwrap())
}

/// A shell line that sends in the background.
fn send(which: &str, copies: u32) -> String {
    let capture = "tests/captures/curl-keepalive-ipv4.pcap";
    format!("python3 -c \"$(cat <<'END'\n{SENDER}END\n)\" {capture} {which} {copies} &\n")
}

/// Whether a line begins so.
fn has(said: &str, line: &str) -> bool {
    said.lines().any(|said| said.starts_with(line))
}

#[test]
fn offloads_are_seen_when_they_are_on_and_not_when_they_are_off() {
    if Command::new("ethtool").arg("--version").output().is_err() {
        return skipped("there is no ethtool to turn offloads on and off with");
    }
    let gro = "warning GRO is on: rmdr1 joins packets";
    for (turn, expected) in [("on", true), ("off", false)] {
        let before = format!("ethtool -K rmdr1 gro {turn}");
        let Some((said, status)) = doctor(&before, "af_packet", "") else { return };
        assert_eq!(has(&said, gro), expected, "{said}");
        assert_eq!(has(&said, "        ethtool -K rmdr1 gro off"), expected, "{said}");
        assert_eq!(status, i32::from(said.contains("\nwarning ")), "{said}");
    }
    let vlan = "warning VLAN offload is on: rmdr1 takes tags off packets, and af_xdp";
    for (turn, expected) in [("on", true), ("off", false)] {
        let before = format!("ethtool -K rmdr1 rxvlan {turn}");
        let Some((said, _)) = doctor(&before, "af_xdp", "") else { return };
        assert_eq!(has(&said, vlan), expected, "{said}");
    }
}

#[test]
fn the_state_of_an_interface_is_seen() {
    let Some((said, status)) = doctor("", "af_packet", "") else { return };
    assert!(has(&said, "ok      interface rmdr1 is up"), "{said}");
    assert!(has(&said, "ok      snaplen holds any packet of rmdr1, whose MTU is 1500"), "{said}");
    assert!(has(&said, "ok      the capabilities are there: cap_net_raw"), "{said}");
    assert_eq!(status, 0, "{said}");

    let (said, status) = doctor("ip link set rmdr1 down", "af_packet", "").unwrap();
    let down = "warning interface rmdr1 is down\n        ip link set rmdr1 up\n";
    assert!(said.contains(down) && status == 1, "{said}");

    let (said, status) = doctor("ip link set rmdr0 down; sleep 0.2", "af_packet", "").unwrap();
    assert!(has(&said, "warning interface rmdr1 has no carrier") && status == 1, "{said}");

    let (said, status) = doctor("ip link delete rmdr1", "af_packet", "").unwrap();
    let gone = "error   there is no interface rmdr1\n        ip -brief link\n";
    assert!(said.contains(gone) && status == 2, "{said}");

    let before = "ip link set rmdr1 mtu 9000; ip link set rmdr0 mtu 9000";
    let (said, status) = doctor(before, "af_packet", "snaplen = 1600").unwrap();
    assert!(
        has(&said, "warning snaplen = 1600 cuts packets of rmdr1, whose MTU is 9000"),
        "{said}"
    );
    assert!(has(&said, "        snaplen = 9088 ") && status == 1, "{said}");

    let (said, _) = doctor("", "af_packet", "promiscuous = false").unwrap();
    assert!(has(&said, "warning rmdr1 takes only packets for this machine"), "{said}");
    let before = "ip link set rmdr1 promisc on";
    let (said, _) = doctor(before, "af_packet", "promiscuous = false").unwrap();
    assert!(has(&said, "ok      rmdr1 is promiscuous"), "{said}");
}

#[test]
fn what_the_mirror_sends_is_judged() {
    if Command::new("python3").arg("--version").output().is_err() {
        return skipped("there is no python3 to send packets with");
    }
    let Some((said, _)) = doctor(&send("all", 1), "af_packet", "") else { return };
    assert!(said.contains(" packets in 2 s; both directions of 3 TCP connections\n"), "{said}");
    assert!(has(&said, "ok      0 of "), "{said}");

    let (said, status) = doctor(&send("to-servers", 1), "af_packet", "").unwrap();
    let line =
        "warning of 3 of 3 TCP connections only one direction was seen: the mirror is one-sided";
    assert!(has(&said, line) && status == 1, "{said}");

    let (said, status) = doctor(&send("all", 2), "af_packet", "").unwrap();
    assert!(said.contains(" packets came twice: the mirror copies them") && status == 1, "{said}");

    let (said, _) = doctor("", "af_packet", "").unwrap();
    assert!(said.contains("TCP connections: too few to judge the mirror by"), "{said}");
}

#[test]
fn a_missing_capability_is_said_with_the_command_that_gives_it() {
    let may = Command::new("setpriv").arg("--version").output();
    if !may.is_ok_and(|output| output.status.success()) {
        return skipped("there is no `setpriv`");
    }
    // The last command of the script is run without the capability.
    let before =
        "exec setpriv --bounding-set=-net_raw --inh-caps=-net_raw \"$0\" doctor --config \"$1\"";
    let Some((said, status)) = doctor(before, "af_packet", "") else { return };
    let engine = env!("CARGO_BIN_EXE_engine");
    let expected = format!(
        "error   af_packet needs capabilities that are missing: cap_net_raw\n        \
         setcap cap_net_raw=ep {engine}\n"
    );
    assert!(said.contains(&expected), "{said}");
    assert!(said.contains("warning the traffic could not be looked at: "), "{said}");
    assert_eq!(status, 2, "{said}");
}

#[test]
fn pf_ring_that_is_not_there_is_a_warning_or_an_error() {
    // Whatever PF_RING this machine has, this path is none.
    let none = "RINGMILL_LIBPFRING=/nowhere/libpfring.so; export RINGMILL_LIBPFRING";
    let Some((said, status)) = doctor(none, "pf_ring", "") else { return };
    assert!(has(&said, "error   pf_ring cannot be used: ") && status == 2, "{said}");
    let (said, status) = doctor(none, "pf_ring\", \"af_packet", "").unwrap();
    assert!(has(&said, "warning pf_ring is not used: ") && status == 1, "{said}");
    assert!(has(&said, "ok      packets come from af_packet"), "{said}");
    assert!(has(&said, "ok      interface rmdr1 is up"), "{said}");
}

#[test]
fn xdp_that_cannot_do_what_the_config_asks_for_says_what() {
    let Some((said, status)) = doctor("", "af_xdp", "direction = \"both\"") else { return };
    let line = "error   af_xdp cannot be used: XDP sees only packets that come in\n        remove ";
    assert!(said.contains(line) && status == 2, "{said}");
}

#[test]
fn a_capture_of_files_has_no_findings_about_interfaces() {
    let output = engine().args(["doctor", "--config", "configs/demo.toml"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(has(&said, "ok      packets come from file"), "{said}");
    assert!(said.contains("capture files are there") && !said.contains("interface"), "{said}");
    assert_eq!(output.status.code(), Some(i32::from(said.contains("warning "))), "{said}");
}

#[test]
fn a_config_that_is_wrong_has_no_findings() {
    let output = engine().args(["doctor", "--config", "Cargo.toml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty() && !output.stderr.is_empty());
}
