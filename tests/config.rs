//! Options from files and the environment; their precedence is tested beside the code.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;

use crate::support::*;

/// A connection to a port of this machine, which it returns.
fn connect() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let _connection = TcpStream::connect(address).unwrap();
    address.port().to_string()
}

#[test]
fn reload_changes_what_can_and_keeps_the_old_configuration_if_the_new_one_is_broken() {
    let (dir, db) = history();
    let file = dir.path().join("egrets.toml");
    let write = |text: &str| fs::write(&file, text).unwrap();
    write("[record]\nkeep = \"30d\"\n");
    let mut program = egrets();
    program.stdin(Stdio::null()).env("EGRETS_CONFIG", &file);
    let recorder = Recorder::start_with(&db, &[], program);
    let settings = || select(&db, "SELECT name FROM setting ORDER BY name").concat();
    assert_eq!(settings(), ["keep"]);
    let before = connect();
    let recorded = |port: &str| {
        let sql = format!("SELECT 1 FROM egress WHERE dst_port = {port}");
        !select(&db, &sql).is_empty()
    };
    eventually("the connection before", || recorded(&before).then_some(()));

    write("[record]\nkeep = \"forever\"\nmax-sise = 1\n");
    recorder.signal("HUP");
    recorder.expect("the configuration before stays in force: the configuration has 2 errors");

    write("[record]\nexclude = [\"loopback\"]\nmax-size = \"9M\"\nring-size = \"64K\"\n");
    recorder.signal("HUP");
    recorder.expect("read again: new exclude, keep, max-size");
    recorder.expect("ring-size changed, which a restart puts into force");
    eventually("they are stored", || {
        (settings() == ["keep", "max_size"]).then_some(())
    });
    let after = connect();
    assert_eq!(recorder.stop(), 0);
    assert!(!recorded(&after));
}

#[test]
fn example_has_every_option_and_each_of_them_is_valid() {
    let example = ok(egrets().args(["config", "example"]));
    let root = env!("CARGO_MANIFEST_DIR");
    assert_eq!(
        example,
        fs::read_to_string(format!("{root}/contrib/egrets.toml")).unwrap(),
        "write it anew: egrets config example > contrib/egrets.toml"
    );
    // Without the comments, and without one of two options that exclude each other.
    let options = example.lines().map(|line| match line.strip_prefix('#') {
        Some(option) if !option.starts_with(' ') => option,
        _ => line,
    });
    let options = options.filter(|line| !line.starts_with("socket ") && !line.starts_with("json "));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("egrets.toml");
    fs::write(&file, Vec::from_iter(options).join("\n")).unwrap();
    let checked = ok(egrets().args(["config", "check"]).arg(&file));
    assert!(checked.ends_with("egrets.toml: no errors\n"), "{checked}");

    let mut show = egrets();
    show.args(["config", "show", "--config"]).arg(&file);
    let shown = ok(show.env("EGRETS_KEEP", "2d").env("EGRETS_HOOKS", "kprobe"));
    let of_record = shown
        .split("\n[")
        .find(|section| section.starts_with("record]"));
    let line = |name: &str| {
        let mut lines = of_record.unwrap().lines();
        let line = lines.find(|line| line.starts_with(&format!("{name} =")));
        Vec::from_iter(line.unwrap().split_whitespace()).join(" ")
    };
    assert_eq!(line("keep"), "keep = \"2d\" # EGRETS_KEEP");
    assert_eq!(line("hooks"), "hooks = \"kprobe\" # EGRETS_HOOKS");
    assert!(line("max-size").starts_with("max-size = \"8G\" # /"));
    assert!(ok(egrets().args(["config", "show"])).contains("max-names = 100000"));
}

#[test]
fn broken_configuration_ends_a_command_before_it_begins() {
    let (dir, db) = history();
    let file = dir.path().join("egrets.toml");
    fs::write(&file, "[record]\nkeep = \"soon\"\n").unwrap();
    let mut record = egrets();
    record.args(["record", "--db"]).arg(&db);
    let output = record.env("EGRETS_CONFIG", &file).output().unwrap();
    assert_eq!(code(&output), 2);
    let said = text(&output.stderr);
    let expected = format!(
        "{}:2: invalid value 'soon' for '--keep <TIME>'",
        file.display()
    );
    assert!(said.contains(&expected), "{said}");
    assert!(!db.exists());
}
