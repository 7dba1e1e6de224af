//! What fuzzing has found, played again without the fuzzer: fuzz/corpus, a folder a
//! target. 'make fuzz' goes on from there.

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
fn kept_messages_are_read_or_malformed() {
    play("dns", checks::dns);
}

#[test]
fn kept_streams_give_what_was_sent() {
    play("stream", checks::stream);
}

#[test]
fn kept_hosts_files_have_bounded_names() {
    play("hosts", checks::hosts);
}
