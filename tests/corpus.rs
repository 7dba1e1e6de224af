//! Replays fuzz/corpus without the fuzzer: a directory per target, from which `make fuzz`
//! continues.

#[path = "../fuzz/checks.rs"]
mod checks;

use std::fs;
use std::path::Path;

fn play(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut played = 0;
    for file in fs::read_dir(folder.join(target)).unwrap() {
        let path = file.unwrap().path();
        println!("{}", path.display()); // shown where the check fails
        check(&fs::read(path).unwrap());
        played += 1;
    }
    assert!(played > 0, "nothing is kept for {target}");
}

#[test]
fn corpus_messages_parse_or_are_malformed() {
    play("dns", checks::dns);
}

#[test]
fn corpus_streams_yield_the_messages_sent() {
    play("stream", checks::stream);
}

#[test]
fn corpus_beginnings_say_printable_names_and_the_same_in_pieces() {
    play("tls", checks::tls);
    play("http", checks::http);
    play("http2", checks::http2);
    play("socks", checks::socks);
    play("quic", checks::quic);
    play("dtls", checks::dtls);
}

#[test]
fn corpus_hosts_files_have_bounded_names() {
    play("hosts", checks::hosts);
}

#[test]
fn corpus_policies_are_read_or_refused() {
    play("policy", checks::policy);
}
