//! Filters, seen from outside: the same packets as tcpdump's, whoever reads them.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test panics and prints to fail")]

mod common;

use std::{
    fs,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use common::{engine, has_libpcap, own_captures, skipped};
use serde_json::Value;

const FILTERS: [&str; 16] = [
    "tcp",
    "udp",
    "port 80",
    "tcp port 80 or tcp port 8080",
    "host 127.0.0.1",
    "not host 10.0.0.1",
    "ip6",
    "vlan",
    "vlan and tcp",
    "tcp[tcpflags] & tcp-syn != 0",
    "less 100",
    "greater 1000",
    "net 10.0.0.0/8",
    "net 192.168.0.0/16 or net 172.16.0.0/12",
    "tcp[((tcp[12:1] & 0xf0) >> 2):4] = 0x47455420",
    "ether proto 0x0800",
];

/// Packets of a capture that tcpdump lets through, or why it cannot say.
fn tcpdump(capture: &[u8], filter: &str) -> Result<u64, String> {
    let mut child = Command::new("tcpdump")
        .args(["-n", "-r", "-", "-w", "-", filter])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let bytes = capture.to_owned();
    // It stops reading when it does not like the filter.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&bytes)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    if output.status.success() {
        return Ok(records(&output.stdout).count() as u64);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(said.lines().last().unwrap().trim_start_matches("tcpdump: ").to_owned())
}

/// The records of a pcap file of this machine's byte order, each with its header of 16 bytes.
fn records(pcap: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = &pcap[24..];
    std::iter::from_fn(move || {
        let len = u32::from_ne_bytes(rest.get(8..12)?.try_into().unwrap());
        let (record, after) = rest.split_at(16 + len as usize);
        rest = after;
        Some(record)
    })
}

/// The bytes of a capture, unpacked.
fn unpacked(path: &Path) -> Vec<u8> {
    let bytes = fs::read(path).unwrap();
    let mut out = Vec::new();
    match path.extension().unwrap().to_str().unwrap() {
        "gz" => drop(flate2::read::MultiGzDecoder::new(&*bytes).read_to_end(&mut out).unwrap()),
        "zst" => out = zstd::decode_all(&*bytes).unwrap(),
        _ => out = bytes,
    }
    out
}

/// What a run with a filter says and writes.
struct Ran {
    status: i32,
    inputs: Vec<Value>,
    rows: Vec<String>,
    text: String,
}

fn run(captures: &[PathBuf], filter: &str, workers: usize) -> Ran {
    let directory = tempfile::tempdir().unwrap();
    let (out, ledger) = (directory.path().join("out.jsonl"), directory.path().join("ledger.json"));
    let key = common::key_file(directory.path());
    let text = format!(
        "allow_identifiable = true\n[engine]\nledger = {ledger:?}\n\
         [capture]\nfrom = \"file\"\nfiles = {captures:?}\nfilter = {filter:?}\n\
         [[stage]]\nuse = \"decode\"\n[[stage]]\nuse = \"classify\"\n\
         [[stage]]\nuse = \"http\"\nkey_file = {key:?}\n\
         [[sink]]\nuse = \"jsonl\"\npath = {out:?}\n"
    );
    let config = common::write_config(directory.path(), &text);
    let workers = workers.to_string();
    let output = engine().arg("--config").arg(config).args(["--workers", &workers]).output();
    let output = output.unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("the ledger balances"), "{filter}: {text}");
    let ledger: Value = serde_json::from_slice(&fs::read(ledger).unwrap()).unwrap();
    let rows = fs::read_to_string(&out).unwrap_or_default();
    let mut rows: Vec<_> = rows.lines().map(ToOwned::to_owned).collect();
    rows.sort();
    let inputs = ledger["inputs"].as_array().unwrap().clone();
    Ran { status: output.status.code().unwrap(), inputs, rows, text }
}

/// Runs every filter over the captures and compares with tcpdump.
fn compare(captures: &[PathBuf]) {
    if Command::new("tcpdump").arg("--version").output().is_err() {
        return skipped("there is no tcpdump to compare with");
    }
    let unpacked: Vec<_> = captures.iter().map(|path| unpacked(path)).collect();
    let (mut kept, mut out, mut refused) = (0, 0, 0);
    for filter in FILTERS {
        let one = run(captures, filter, 1);
        let mut fails = false;
        for (capture, (bytes, input)) in captures.iter().zip(unpacked.iter().zip(&one.inputs)) {
            let name = format!("{filter} on {}", capture.display());
            let number = |key: &str| input[key].as_u64().unwrap();
            let Ok(all) = tcpdump(bytes, "") else {
                // It does not read files with links of two types; we do, see below.
                assert!(name.contains("two-interfaces"), "{name}");
                continue;
            };
            match tcpdump(bytes, filter) {
                Ok(count) => {
                    assert_eq!(number("packets") - number("filtered"), count, "{name}");
                    assert_eq!(input["failed"], false, "{name}");
                    kept += count;
                    out += number("filtered");
                }
                Err(why) => {
                    let tail = input["tail"].as_str().unwrap();
                    assert!(tail.ends_with(&why), "{name}: {tail}, but tcpdump: {why}");
                    assert_eq!(number("packets"), 0, "{name}");
                    let unfit = input["unreadable"]["filter_unfit"].as_u64().unwrap();
                    assert_eq!(unfit, all, "{name}");
                    assert!(one.text.contains(tail), "{name}: {}", one.text);
                    fails = true;
                    refused += 1;
                }
            }
        }
        fails |= one.inputs.iter().any(|input| input["failed"] == true);
        assert_eq!(one.status, i32::from(fails), "{filter}: {}", one.text);
        for workers in [2, 4] {
            let many = run(captures, filter, workers);
            assert_eq!(many.inputs, one.inputs, "{filter}, {workers} workers");
            assert_eq!(many.rows, one.rows, "{filter}, {workers} workers");
            assert_eq!(many.status, one.status, "{filter}, {workers} workers");
        }
    }
    assert!(kept > 0 && out > 0, "{kept} kept, {out} kept out");
    println!("{kept} kept, {out} kept out, {refused} refused, as by tcpdump");
}

#[test]
fn every_capture_gives_the_packets_that_tcpdump_would() {
    compare(&own_captures());
}

#[test]
fn so_do_captures_that_were_cut_short() {
    let directory = tempfile::tempdir().unwrap();
    let whole = fs::read(common::root().join("tests/captures/curl-keepalive-ipv4.pcap")).unwrap();
    // Within the Ethernet, IP and TCP header, at their ends and one byte beside.
    let cut = [13, 14, 15, 23, 24, 33, 34, 35, 36, 37, 38, 46, 47, 48, 53, 54, 55, 60].map(|len| {
        let mut bytes = whole[..24].to_owned();
        for record in records(&whole) {
            let kept = len.min(record.len() - 16);
            bytes.extend(&record[..8]);
            bytes.extend(u32::try_from(kept).unwrap().to_ne_bytes());
            bytes.extend(&record[12..16 + kept]);
        }
        let path = directory.path().join(format!("{len}.pcap"));
        fs::write(&path, bytes).unwrap();
        path
    });
    compare(&cut);
}

#[test]
fn a_filter_that_fits_one_of_two_links_fails_the_input_and_loses_nothing_of_the_other() {
    if !has_libpcap() {
        return;
    }
    let capture = common::root().join("tests/captures/two-interfaces-raw-ethernet.pcapng");
    let captures = [capture];
    let all = run(&captures, "tcp", 1);
    assert_eq!((all.status, &all.inputs[0]["filtered"]), (0, &Value::from(0)), "{}", all.text);
    for workers in [1, 2, 4] {
        let ran = run(&captures, "not vlan", workers);
        let input = &ran.inputs[0];
        let unfit = input["unreadable"]["filter_unfit"].as_u64().unwrap();
        let packets = input["packets"].as_u64().unwrap();
        assert!(unfit > 0 && packets > 0, "{input}");
        assert_eq!(packets + unfit, all.inputs[0]["packets"].as_u64().unwrap());
        assert_eq!(input["filtered"], 0);
        assert_eq!(
            input["tail"],
            "the filter `not vlan` cannot be used for packets of link type 101: no VLAN support \
             for Raw IP"
        );
        assert_eq!(ran.status, 1);
        // Those of Ethernet, which lose their rows to nothing.
        let ethernet = all.rows.iter().filter(|row| ran.rows.contains(row)).count();
        assert!(ethernet == ran.rows.len() && ethernet > 0, "{:?}", ran.rows);
    }
}

#[test]
fn the_ledger_says_what_the_filter_kept_out() {
    if !has_libpcap() {
        return;
    }
    let capture = common::root().join("tests/captures/mixed-ports-tls-dns.pcap");
    let ran = run(&[capture], "udp", 2);
    let (packets, filtered) = (&ran.inputs[0]["packets"], &ran.inputs[0]["filtered"]);
    let received = packets.as_u64().unwrap() - filtered.as_u64().unwrap();
    assert!(ran.text.contains(&format!("{filtered} kept out by the filter")), "{}", ran.text);
    let sum = format!("{packets} found = {received} received + {filtered} kept out by the filter");
    assert!(ran.text.contains(&sum), "{}", ran.text);
    assert!(received > 0 && ran.rows.is_empty(), "{}", ran.text);
}

/// A config with this filter, checked.
fn check(directory: &Path, filter: &str) -> (i32, String) {
    let text = format!(
        "[capture]\nfrom = \"file\"\nfiles = [\"tests/captures/tun-raw-ip.pcap\"]\n\
         filter = {filter:?}\n\
         [[stage]]\nuse = \"decode\"\n[[sink]]\nuse = \"jsonl\"\npath = \"/dev/null\"\n"
    );
    let config = common::write_config(directory, &text);
    let output = engine().arg("check").arg("--config").arg(config).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.replace(&format!("{}/", directory.display()), "");
    (output.status.code().unwrap(), said)
}

#[test]
fn a_bad_filter_is_shown_in_the_config() {
    if !has_libpcap() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(check(directory.path(), "tcp port 80"), (0, String::new()));
    assert_eq!(
        check(directory.path(), "tcp prot 80"),
        (
            2,
            "test.toml:4:10: libpcap refuses this filter (see pcap-filter(7)): can't parse filter \
             expression: syntax error\n  4 | filter = \"tcp prot 80\"\n    |          \
             ^^^^^^^^^^^^^\n"
                .to_owned()
        )
    );
}

#[test]
fn without_libpcap_only_a_filter_is_refused() {
    // A mount namespace in which the library is an empty file.
    let libraries: Vec<_> =
        ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64"]
            .iter()
            .filter_map(|directory| fs::read_dir(directory).ok())
            .flatten()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("libpcap.so."))
            .filter(|path| !path.is_symlink())
            .collect();
    let directory = tempfile::tempdir().unwrap();
    let chain = "[capture]\nfrom = \"file\"\nfiles = [\"tests/captures/tun-raw-ip.pcap\"]\n\
                 #filter = \"tcp\"\n\
                 [[stage]]\nuse = \"decode\"\n[[sink]]\nuse = \"jsonl\"\npath = \"/dev/null\"\n";
    let without = common::write_config(directory.path(), chain);
    let with = directory.path().join("with.toml");
    fs::write(&with, chain.replace('#', "")).unwrap();
    let mut script = "set -e\n".to_owned();
    for library in &libraries {
        script += &format!("mount --bind /dev/null {}\n", library.display());
    }
    script += "echo ready; \"$0\" check --config \"$1\"\n";
    let checked = |config: &Path| {
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "sh", "-c", &script, env!("CARGO_BIN_EXE_engine")]);
        unshare.arg(config).current_dir(common::root()).output().ok()
    };
    let ready = checked(&without).filter(|output| output.stdout.starts_with(b"ready"));
    let Some(output) = ready.filter(|_| !libraries.is_empty()) else {
        return skipped("only root can hide libpcap, and only where it is");
    };
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let output = checked(&with).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("with.toml:4:10: `filter` needs libpcap, which cannot be loaded"),
        "{said}"
    );
    assert!(said.contains("apt install libpcap0.8"), "{said}");
}

/// Sends three requests by `rmfi0`: without a tag, with tag 5, and with tags 5 and 7.
const SENDER: &str = "\
import socket, struct
ip = struct.pack('>BBHHHBBH4s4s', 0x45, 0, 58, 1, 0, 64, 6, 0, b'\\x0a\\0\\0\\1', b'\\x0a\\0\\0\\2')
tcp = struct.pack('>HHIIBBHHH', 1234, 80, 1, 1, 0x50, 0x18, 100, 0, 0)
packet = ip + tcp + b'GET / HTTP/1.1\\r\\n\\r\\n'
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
link.bind(('rmfi0', 0))
for tags in [], [5], [5, 7]:
    ether = b'\\2\\0\\0\\0\\0\\2\\2\\0\\0\\0\\0\\1'
    ether += b''.join(struct.pack('>HH', 0x8100, tag) for tag in tags)
    link.send(ether + b'\\x08\\0' + packet)
";

/// The kernel takes the outermost tag off a frame before a packet socket sees it, so a filter has
/// to look for it elsewhere; and one that asks for no tag sees what was behind it. In a file the
/// tag is in the frame, and `tcp` alone does not match: tcpdump has the same two faces.
#[test]
fn a_packet_socket_finds_tags_that_the_kernel_took_off() {
    let may = Command::new("unshare").args(["--net", "ip", "link"]).output();
    if !may.is_ok_and(|output| output.status.success()) {
        return skipped("only root can make a network namespace, with `unshare` and `ip`");
    }
    if Command::new("python3").arg("--version").output().is_err() {
        return skipped("there is no python3 to send packets with");
    }
    if !has_libpcap() {
        return;
    }
    let cases = [
        ("tcp port 80", 2),
        ("vlan", 2),
        ("vlan 5 and tcp port 80", 1),
        ("vlan 5 and vlan 7 and tcp port 80", 1),
        ("vlan 7", 0),
        ("not vlan", 1),
        ("tcp port 80 or (vlan and tcp port 80)", 2),
        ("", 3),
    ];
    for (filter, expected) in cases {
        let directory = tempfile::tempdir().unwrap();
        let ledger = directory.path().join("ledger.json");
        let text = format!(
            "[engine]\nledger = {ledger:?}\n[capture]\nfrom = \"af_packet\"\n\
             interface = \"rmfi1\"\nring_mib = 8\nfilter = {filter:?}\n\
             [[stage]]\nuse = \"decode\"\n[[sink]]\nuse = \"jsonl\"\npath = \"/dev/null\"\n"
        );
        let text = if filter.is_empty() { text.replace("filter = ", "# ") } else { text };
        let config = common::write_config(directory.path(), &text);
        // No other packets: interfaces speak of themselves unless they have no IPv6.
        let script = format!(
            "set -e\nip link add rmfi0 type veth peer name rmfi1\n\
             ip link set rmfi0 addrgenmode none\nip link set rmfi1 addrgenmode none\n\
             ip link set rmfi0 up\nip link set rmfi1 up\n\
             n=0\nuntil ip -brief link show rmfi1 | grep -q LOWER_UP || [ $n = 100 ]\n\
             do n=$((n + 1)); sleep 0.05; done\n\
             \"$0\" --config \"$1\" &\nengine=$!\nsleep 0.7\n\
             python3 -c \"$(cat <<'END'\n{SENDER}END\n)\"\n\
             sleep 0.3\nkill $engine\nwait $engine"
        );
        let output = Command::new("unshare")
            .args(["--net", "--pid", "--fork", "--kill-child", "sh", "-c", &script])
            .args([env!("CARGO_BIN_EXE_engine").as_ref(), config.as_os_str()])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{filter}: {said}");
        let ledger: Value = serde_json::from_slice(&fs::read(ledger).unwrap()).unwrap();
        assert_eq!(ledger["rings"][0]["received"], expected, "{filter}: {said}");
        assert_eq!(ledger["workers"][0]["received"], expected, "{filter}: {said}");
    }
}
