//! Credentials and TLS, by a proxy of ours: the open server has no security plugin.

use std::{fs, path::Path, process::Command, sync::Arc};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use crate::{
    common::{own_captures, skipped},
    node::Node,
    proxy::{Mood, Proxy},
    runs::same,
    scene::Scene,
    store::Store,
};

const SECRET: &str = "open-sesame-4711";

/// What is not accepted costs no row, and is in nothing that is written; a file that was mended is
/// read again.
pub(crate) fn credentials(node: &Node) {
    let store = Store::new(&node.url());
    let cases = [
        ("basic", "username = \"me\"\npassword_file", "Basic bWU6b3Blbi1zZXNhbWUtNDcxMQ=="),
        ("apikey", "api_key_file", "ApiKey b3Blbi1zZXNhbWUtNDcxMQ=="),
    ];
    for (prefix, options, accepted) in cases {
        let proxy = Proxy::start(&node.address(), None);
        proxy.mood(Mood::Authorized(accepted.to_owned()));
        let mut scene = Scene::new(&format!("http://{}", proxy.address), prefix);
        let right = if prefix == "basic" { SECRET } else { "b3Blbi1zZXNhbWUtNDcxMQ==" };
        let file = scene.secret("secret", "wrong-sesame-4712\n");
        scene.options = format!("{options} = {file:?}\ndrain_seconds = 1");
        let ran = scene.run(&own_captures());
        assert_eq!(ran.books(), [0, 216, 0, 0], "{prefix}: {ran:#?}");
        ran.says("does not accept our credentials (401); mend the file that they are in");
        let ids = scene.ids();
        scene.secret("secret", &format!("{right}\n"));
        scene.options = format!("{options} = {file:?}");
        let again = scene.run(&own_captures()[..1]);
        assert_eq!(again.books()[1..], [0, 0, 0], "{prefix}: {again:#?}");
        let all = ids.union(&scene.ids()).cloned().collect();
        same(&store.ids(&format!("{prefix}-*")), &all, prefix);
        let written = [scene.written(), ran.err.into_bytes(), again.err.into_bytes()].concat();
        for secret in ["sesame", right, accepted] {
            let found = written.windows(secret.len()).any(|it| it == secret.as_bytes());
            assert!(!found, "{prefix}: `{secret}` was written");
        }
    }
}

/// Only with a certificate that somebody vouches for.
pub(crate) fn tls(node: &Node) {
    let store = Store::new(&node.url());
    let mut scene = Scene::new("", "tls");
    let Some(config) = certificate(&scene.path("")) else { return };
    let proxy = Proxy::start(&node.address(), Some(config));
    scene.urls[0] = format!("https://{}", proxy.address);
    scene.options = "drain_seconds = 1".to_owned();
    let ran = scene.run(&own_captures());
    assert_eq!(ran.books(), [0, 216, 0, 0], "{ran:#?}");
    ran.says("invalid peer certificate");
    let ids = scene.ids();
    scene.options = format!("ca_file = {:?}", scene.path("cert.pem"));
    let ran = scene.run(&own_captures()[..1]);
    assert_eq!(ran.books()[1..], [0, 0, 0], "{ran:#?}");
    let all = ids.union(&scene.ids()).cloned().collect();
    same(&store.ids("tls-*"), &all, "tls");
}

/// A server with a certificate of its own making, for 127.0.0.1.
fn certificate(directory: &Path) -> Option<Arc<ServerConfig>> {
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| directory.join(name));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
    openssl.args(["-nodes", "-days", "2", "-subj", "/CN=ringmill test"]);
    openssl.args([
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ]);
    openssl.arg("-out").arg(&cert).arg("-keyout").arg(&key);
    if !openssl.output().is_ok_and(|output| output.status.success()) {
        skipped("there is no `openssl` to make a certificate with, so TLS was not tried");
        return None;
    }
    let cert = CertificateDer::from_pem_slice(&fs::read(cert).unwrap()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(&fs::read(key).unwrap()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert], key)
        .unwrap();
    Some(Arc::new(config))
}
