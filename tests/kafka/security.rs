//! TLS, and SASL with SCRAM, which want a plugin that is built with `--features ssl`.

use std::{path::Path, process::Command};

use crate::{
    broker::Broker,
    common::{own_captures, skipped},
    runs::same,
    scene::Scene,
    service::free_ports,
    topics,
};

const SECRET: &str = "open-sesame-4711";

/// Nothing comes to a broker whose certificate nobody vouches for, or that does not accept the
/// password; with both right all that was spilled comes.
#[test]
fn tls_and_scram() {
    let Some(plugin) = std::env::var_os("RINGMILL_KAFKA_SSL") else {
        skipped("no plugin with TLS is named in RINGMILL_KAFKA_SSL");
        return;
    };
    let mut scene = Scene::new("", "secure");
    scene.plugin = plugin.into();
    let directory = scene.path("");
    if !certificate(&directory) {
        return;
    }
    let [tls] = free_ports();
    let started = Broker::start_with(|port, controller| {
        [
            format!(
                "listeners=PLAINTEXT://127.0.0.1:{port},SASL_SSL://127.0.0.1:{tls},\
                 CONTROLLER://127.0.0.1:{controller}"
            ),
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,\
             CONTROLLER:PLAINTEXT"
                .to_owned(),
            "sasl.enabled.mechanisms=SCRAM-SHA-512".to_owned(),
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=\
             org.apache.kafka.common.security.scram.ScramLoginModule required;"
                .to_owned(),
            "ssl.keystore.type=PEM".to_owned(),
            format!("ssl.keystore.location={}", directory.join("server.pem").display()),
        ]
        .into()
    });
    let Some(broker) = started else { return };
    let password = format!("SCRAM-SHA-512=[password={SECRET}]");
    let user = ["--alter", "--entity-type", "users", "--entity-name", "ringmill"];
    let user = [&user[..], &["--add-config", &password]].concat();
    broker.tool("org.apache.kafka.tools.ConfigCommand", &user);

    scene.brokers = format!("127.0.0.1:{tls}");
    let plain = scene.options.clone();
    let authority = format!("ssl.ca.location = {:?}\n", directory.join("cert.pem"));
    let options = |drain: u32, secret: &str, authority: &str| {
        format!(
            "{plain}drain_seconds = {drain}\n[sink.librdkafka]\nsecurity.protocol = \"SASL_SSL\"\n\
             sasl.mechanism = \"SCRAM-SHA-512\"\nsasl.username = \"ringmill\"\n\
             sasl.password = {secret:?}\n{authority}"
        )
    };
    let cases = [
        (options(3, SECRET, ""), "certificate verify failed"),
        (options(3, "wrong-sesame-4712", &authority), "Authentication failed"),
    ];
    let mut ids = Vec::new();
    for (options, says) in cases {
        scene.options = options;
        let ran = scene.run(&own_captures()[..4]);
        let rows = scene.ids();
        ids.extend(rows);
        assert_eq!(ran.books()[1], ids.len() as u64, "{ran:?}");
        ran.says(says);
        assert!(!ran.err.contains("sesame"), "a password is told: {ran:?}");
    }
    scene.options = options(60, SECRET, &authority);
    let ran = scene.run(&own_captures()[..4]);
    assert_eq!(ran.books()[1..], [0, 0, 0], "{ran:?}");
    ids.extend(scene.ids());
    let messages = topics::read(&broker.address(), "secure");
    let come = messages.iter().map(|message| message.id().to_owned()).collect();
    same(come, ids, ran.sent_again(), "what came by TLS");
}

/// One of its own making for 127.0.0.1, alone and with its key.
fn certificate(directory: &Path) -> bool {
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| directory.join(name));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]);
    openssl.args(["-subj", "/CN=ringmill test", "-addext", "subjectAltName=IP:127.0.0.1"]);
    openssl.arg("-out").arg(&cert).arg("-keyout").arg(&key);
    if !openssl.output().is_ok_and(|output| output.status.success()) {
        skipped("there is no `openssl` to make a certificate with, so TLS was not tried");
        return false;
    }
    let both = [key, cert].map(|path| std::fs::read(path).unwrap()).concat();
    std::fs::write(directory.join("server.pem"), both).unwrap();
    true
}
