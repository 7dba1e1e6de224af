//! What speaks TLS, DTLS and QUIC on the far side.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::*;

/// A key and its certificate, for any name: who connects may not look at it.
pub fn certificate(dir: &Path) -> (String, String) {
    let [key, cert] = ["key", "cert"].map(|name| dir.join(name).to_str().unwrap().to_owned());
    let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
    let files = ["-nodes", "-keyout", &key, "-out", &cert, "-subj", "/CN=any"];
    run("openssl", &[&["req", "-x509"][..], &curve, &files].concat());
    (key, cert)
}

/// Python with what scripts/tools.sh has installed, and a script of tests/tools.
pub fn python(script: &str) -> (String, String) {
    let python = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python/bin/python");
    (python.to_str().unwrap().to_owned(), source(script))
}

/// A file of tests/tools.
pub fn source(name: &str) -> String {
    format!("{}/tests/tools/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A server that says when it serves.
pub fn serving(mut server: Child) -> Guard {
    let out = server.stdout.take().unwrap();
    let server = Guard(server);
    let mut line = String::new();
    BufReader::new(out).read_line(&mut line).unwrap();
    assert_eq!(line, "serves\n");
    server
}

const DTLS_PORT: &str = "4444";

pub fn dtls_server(net: &Net, dir: &Path) -> Guard {
    let (key, cert) = certificate(dir);
    let server = net.far(|| {
        Command::new("openssl")
            .args(["s_server", "-quiet", "-dtls", "-accept", DTLS_PORT])
            .args(["-key", &key, "-cert", &cert])
            .stdin(Stdio::piped()) // its end would be the server's
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    });
    let server = Guard(server);
    eventually("the server of DTLS answers", || {
        dtls(net, &[]).then_some(())
    });
    server
}

/// Whether a handshake with these options of s_client succeeds.
pub fn dtls(net: &Net, options: &[&str]) -> bool {
    let at = format!("{FAR4}:{DTLS_PORT}");
    let mut client = net.command("timeout");
    client
        .args(["10", "openssl", "s_client", "-dtls", "-connect", &at])
        .args(options)
        .stdin(Stdio::null());
    client.output().unwrap().status.success()
}
