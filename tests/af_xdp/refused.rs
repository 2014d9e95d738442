//! What cannot be captured from is said in one sentence, before anything is written.

use std::{path::Path, process::Command};

use crate::{CAPTURE, Mode, config, engine, has_program, net, net::Net, pair};

/// The sentence with which a config with this `[capture]` is refused.
fn sentence(program: Command, workers: usize, capture: &str) -> String {
    let ended = net::run(program, |folder| config(workers, capture, "", folder));
    assert!(!ended.folder().join("out.jsonl").exists());
    assert!(ended.ledger.is_null());
    ended.sentence().to_owned()
}

#[test]
fn what_xdp_cannot_do() {
    let Some(net) = pair(1, Mode::Native) else { return };
    let cases = [
        ("direction = \"both\"", "XDP sees only packets that come in"),
        ("clock = \"hardware\"", "XDP sockets carry no hardware time stamps"),
        ("balance = \"round_robin\"", "deals packets to its queues by flow"),
    ];
    for (key, why) in cases {
        let said = sentence(engine(&net), 1, &format!("{CAPTURE}\n{key}"));
        assert!(said.contains(why) && said.contains(&format!("remove `{key}`")), "{key}: {said}");
    }
}

#[test]
fn the_next_back_end_is_taken_for_what_xdp_cannot_do() {
    let Some(net) = pair(1, Mode::Native) else { return };
    let capture = CAPTURE.replace("\"af_xdp\"", "[\"af_xdp\", \"af_packet\"]");
    let capture = format!("{capture}\ndirection = \"both\"");
    let running = net::start(engine(&net), |folder| config(1, &capture, "", folder));
    let ended = running.stop().good();
    let said = "by af_packet; not af_xdp: XDP sees only packets that come in";
    assert!(ended.stderr.contains(said), "{}", ended.stderr);
}

#[test]
fn an_interface_that_is_not_there() {
    let Some(net) = pair(1, Mode::Native) else { return };
    let said = sentence(engine(&net), 1, &CAPTURE.replace("cap0", "eth7"));
    assert!(said.contains("there is no interface `eth7`; `ip link` lists"), "{said}");
}

#[test]
fn more_workers_than_queues() {
    let Some(net) = pair(2, Mode::Native) else { return };
    let said = sentence(engine(&net), 3, CAPTURE);
    let expected = "cap0 has 2 receive queues and AF_XDP needs one for each of the 3 workers: set \
                    `workers = 2`, or run `ethtool -L cap0 combined 3` (`rx 3` where";
    assert!(said.contains(expected), "{said}");
}

#[test]
fn another_program_on_the_interface() {
    for mode in [Mode::Native, Mode::Generic] {
        let Some(net) = pair(1, mode) else { return };
        let first = net::start(engine(&net), |folder| config(1, CAPTURE, "", folder));
        let said = sentence(engine(&net), 1, CAPTURE);
        assert!(said.contains("another XDP program is on cap0"), "{said}");
        first.stop().good();
    }
}

#[test]
fn no_permission() {
    let Some(net) = pair(1, Mode::Native) else { return };
    for capability in ["net_raw", "net_admin,-sys_admin", "bpf,-sys_admin"] {
        let mut command = net.command(Path::new("setpriv"));
        let without = format!("-{capability}");
        command.args(["--bounding-set", &without, "--inh-caps", &without]);
        command.arg(env!("CARGO_BIN_EXE_engine"));
        let said = sentence(command, 1, CAPTURE);
        let line = "`setcap cap_net_raw,cap_net_admin,cap_bpf+ep /";
        assert!(said.contains("AF_XDP needs privileges") && said.contains(line), "{said}");
        assert!(!has_program(&net, "cap0"));
    }
}

#[test]
fn too_little_memory_that_may_be_locked() {
    let Some(net) = pair(1, Mode::Native) else { return };
    let mut command = net.command(Path::new("prlimit"));
    command.args(["--memlock=65536", "setpriv", "--bounding-set", "-ipc_lock"]);
    command.args(["--inh-caps", "-ipc_lock"]).arg(env!("CARGO_BIN_EXE_engine"));
    let said = sentence(command, 1, CAPTURE);
    assert!(said.contains("4 MiB") && said.contains("`ulimit -l` (LimitMEMLOCK="), "{said}");
}

#[test]
fn frames_that_do_not_fit_are_taken_in_pieces() {
    // Where they were not, an interface with an MTU of 65535 would be refused.
    let Some(net) = Net::with_pairs(1, 1) else { return };
    let running = net::start(engine(&net), |folder| config(1, CAPTURE, "", folder));
    let ended = running.stop().good();
    let said = "packets longer than 3840 bytes are taken, too";
    assert!(ended.stderr.contains(said), "{}", ended.stderr);
}
