//! What cannot be captured from is said in one sentence, before anything is written.

use std::{path::Path, process::Command};

use crate::{
    net::{self, Net},
    records::config,
};

fn engine(net: &Net) -> Command {
    net.command(Path::new(env!("CARGO_BIN_EXE_engine")))
}

/// The sentence with which a config with this `[capture]` is refused.
fn sentence(program: Command, workers: usize, capture: &str) -> String {
    let capture = format!("from = \"af_packet\"\n{capture}");
    let ended = net::run(program, |folder| config(workers, &capture, "", folder));
    assert!(!ended.folder().join("out.jsonl").exists());
    assert!(ended.ledger.is_null());
    ended.sentence().to_owned()
}

#[test]
fn an_interface_that_is_not_there() {
    let Some(net) = Net::new() else { return };
    let said = sentence(engine(&net), 2, "interface = \"eth7\"");
    assert!(said.contains("there is no interface `eth7`; `ip -br link` lists"), "{said}");
}

#[test]
fn no_permission() {
    let Some(net) = Net::with_pairs(1, 1) else { return };
    let mut command = net.command(Path::new("setpriv"));
    command.args(["--bounding-set", "-net_raw", "--inh-caps", "-net_raw"]);
    command.arg(env!("CARGO_BIN_EXE_engine"));
    let said = sentence(command, 1, "interface = \"cap0\"");
    assert!(said.contains("CAP_NET_RAW") && said.contains("`setcap cap_net_raw,"), "{said}");
}

#[test]
fn a_fanout_group_of_another_program() {
    let Some(net) = Net::with_pairs(1, 1) else { return };
    let capture = "interface = \"cap0\"\ncluster = 9";
    let live = format!("from = \"af_packet\"\n{capture}");
    for other in ["balance = \"round_robin\"", ""] {
        let text = format!("{live}\n{other}");
        let first = net::start(engine(&net), |folder| config(2, &text, "", folder));
        let said = sentence(engine(&net), 2, capture);
        assert!(said.contains("fanout group 9 of cap0 is in use"), "{said}");
        assert!(said.contains("set `cluster` to a number that is free"), "{said}");
        // Without a number both find a group of their own.
        let text = "from = \"af_packet\"\ninterface = \"cap0\"";
        net::start(engine(&net), |folder| config(2, text, "", folder)).stop().good();
        first.stop().good();
    }
}

#[test]
fn a_card_without_a_clock() {
    let Some(net) = Net::with_pairs(1, 1) else { return };
    let said = sentence(engine(&net), 1, "interface = \"cap0\"\nclock = \"hardware\"");
    assert!(said.contains("cap0 does not stamp every packet"), "{said}");
    assert!(said.contains("set `clock = \"system\"`"), "{said}");
}

#[test]
fn more_memory_than_there_is() {
    let Some(net) = Net::with_pairs(1, 1) else { return };
    // A limit of the process: what the machine has is needed by others.
    let mut command = net.command(Path::new("prlimit"));
    command.arg(format!("--as={}", 512 << 20)).arg(env!("CARGO_BIN_EXE_engine"));
    let said = sentence(command, 1, "interface = \"cap0\"\nring_mib = 512");
    assert!(said.contains("no memory for a ring of 512 MiB on cap0"), "{said}");
    assert!(said.contains("lower `ring_mib` or `workers`"), "{said}");
}

#[test]
fn an_interface_that_is_down_is_waited_for() {
    let Some(net) = Net::with_pairs(1, 1) else { return };
    net.must("ip link set cap0 down");
    let capture = "from = \"af_packet\"\ninterface = \"cap0\"";
    let mut running = net::start(engine(&net), |folder| config(1, capture, "", folder));
    running.wait_for("cap0 is down and gives no packets; `ip link set cap0 up`");
    net.must("ip link set cap0 up");
    running.wait_for("cap0 is back");
    let frame = [0; 60];
    let sent = net.send("out0", &[&frame], ringmill_bench::play::Plan::default()).packets;
    let ended = running.stop().good();
    assert_eq!(ended.sum("received"), sent);
}
