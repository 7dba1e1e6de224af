use std::os::unix::net::UnixDatagram;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::*;

#[test]
fn repeated_events_are_counted_and_a_user_can_not_use_up_what_a_rule_may_send() {
    let mut throttle = Throttle::default();
    let rule: Rc<str> = "rule".into();
    let begin = Instant::now();
    let (one, other) = ((1000, None), (1001, None));
    let mut admit = |subject, same: u32, at| throttle.admit(&rule, subject, same, begin + at);
    let soon = Duration::from_secs(1);
    assert_eq!(admit(one, 0, soon), Some(0));
    assert_eq!([admit(one, 0, soon), admit(one, 0, soon)], [None, None]);
    let sent = (1..100).filter(|same| admit(one, *same, soon).is_some());
    assert_eq!(sent.count(), MAX_OF_SUBJECT - 1);
    // since the last one that was sent
    assert_eq!(admit(other, 0, soon), None, "the same for the reader");
    let suppressed = 100 - MAX_OF_SUBJECT as u64 + 1;
    assert_eq!(admit(other, 1000, soon), Some(suppressed));
    let many = (2000..2100).filter(|same| admit((*same, None), *same, soon).is_some());
    assert_eq!(many.count(), MAX_A_MINUTE - MAX_OF_SUBJECT - 1);
    let later = soon + Duration::from_secs(60);
    assert_eq!(admit(one, 0, later), None);
    let refused = 100 - (MAX_A_MINUTE - MAX_OF_SUBJECT - 1) as u64 + 1;
    assert_eq!(admit(one, 5000, later), Some(refused));
    assert_eq!(admit(one, 0, soon + REPEAT), Some(0));
}

#[test]
fn journal_gets_fields_that_no_value_can_add_to() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let journal = UnixDatagram::bind(&path).unwrap();
    let event = serde_json::json!({
        "event": "blocked", "comm": "a\nPRIORITY=0\n", "pid": 7, "dst_ip": "192.0.2.1",
        "dst_port": 443, "protocol": "tcp", "rule": "r", "host": null,
        "cmdline": "x".repeat(1 << 20),
    });
    journald::send(&path, event.as_object().unwrap()).unwrap();
    let mut datagram = vec![0; 1 << 20];
    let len = journal.recv(&mut datagram).unwrap();
    let mut rest = &datagram[..len];
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap();
        let name = String::from_utf8(rest[..end].to_vec()).unwrap();
        let (size, after) = rest[end + 1..].split_at(8);
        let size = u64::from_le_bytes(size.try_into().unwrap()) as usize;
        fields.push((name, String::from_utf8(after[..size].to_vec()).unwrap()));
        assert_eq!(after[size], b'\n');
        rest = &after[size + 1..];
    }
    let value = |name: &str| {
        let mut found = fields.iter().filter(|(its, _)| its == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} twice");
        value
    };
    let message = "a\\nPRIORITY=0\\n[7] to 192.0.2.1:443/tcp: blocked by \"r\"";
    assert_eq!(value("MESSAGE"), Some(message));
    assert_eq!(value("PRIORITY"), Some("4"));
    assert_eq!(value("EGRETS_COMM"), Some("a\nPRIORITY=0\n"));
    assert_eq!(value("EGRETS_HOST"), None);
    assert_eq!(value("EGRETS_CMDLINE").map(str::len), Some(1024));
}

#[test]
fn what_a_process_chooses_makes_no_event_too_large_to_be_sent() {
    let text = "\u{1}".repeat(MAX_MESSAGE);
    let event = serde_json::json!({ "event": "blocked", "cmdline": text }).to_string();
    let sent = bounded(event.as_bytes());
    assert!(sent.len() < MAX_MESSAGE);
    let sent: serde_json::Value = serde_json::from_slice(&sent).unwrap();
    assert_eq!(sent["event"], "blocked");
    let whole = br#"{"event":"blocked"}"#;
    assert_eq!(&*bounded(whole), whole);
}

#[cfg(feature = "webhook")]
#[test]
fn a_secret_is_a_regular_file_that_no_other_user_can_read() {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::write(path("file"), "A: b").unwrap();
    let mode = |mode| fs::set_permissions(path("file"), Permissions::from_mode(mode)).unwrap();
    symlink(path("file"), path("link")).unwrap();
    let pipe = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, path("pipe"), pipe, 0o600.into(), 0).unwrap();
    let refusal = |name: &str| webhook::open_secret(&path(name)).unwrap_err().to_string();
    mode(0o644);
    assert!(refusal("file").starts_with("other users can read"));
    mode(0o600);
    assert!(webhook::open_secret(&path("file")).is_ok());
    assert!(refusal("link").contains("is a symbolic link"));
    assert!(refusal("pipe").contains("is not a regular file"));
}
