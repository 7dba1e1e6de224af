//! The hard cases of naming, each with its rate: `make naming` makes the table of
//! docs/naming.md from them. What is dialled is printed by who dials it, and each
//! connection is found again by its own port.

mod common;

use common::*;

/// Runs `ask` in the near namespace under a recorder; what it printed.
fn asked(net: &Net, db: &std::path::Path, args: &[&str]) -> String {
    let ask = ask();
    let output = net.record(db, &[&[ask.to_str().unwrap()], args].concat());
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    text(&output.stdout)
}

const SERVER: &str = "10.77.0.2:53";

#[test]
fn two_names_of_one_process_for_one_address_one_after_the_other() {
    let mut net = Net::new();
    net.dnsmasq(&[&format!("--address=/test/{FAR4}")]);
    let port = net.farewell(false).to_string();
    let (_dir, db) = history();
    let mut rate = Rate::new("one process, two names, one address, in turn");
    let names = ["a.test", "b.test"].repeat(10);
    let args = [&["connected", SERVER, &port][..], &names].concat();
    rate.compare(&db, &asked(&net, &db, &args));
    rate.verdict();
}

#[test]
fn threads_of_one_process_each_resolve_and_dial_one_address() {
    let mut net = Net::new();
    net.dnsmasq(&[&format!("--address=/test/{FAR4}")]);
    let port = net.farewell(false).to_string();
    let (_dir, db) = history();
    let mut rate = Rate::new("one process, a name a thread, one address, at once");
    let names: Vec<String> = (0..20).map(|i| format!("n{i}.test")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let args = [&["threads", SERVER, &port][..], &names].concat();
    rate.compare(&db, &asked(&net, &db, &args));
    rate.verdict();
}
