//! Completion in real shells, in a terminal, with names that try to be executed.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::*;

/// Host names, each with the prefix that is typed and the argument that egrets should get.
const HOSTILE: [(&str, &str, &str); 13] = [
    ("ha", "ha.example.com", "ha.example.com"),
    ("hb", "hb;touch pwned", "'hb;touch pwned'"),
    ("hc", "hc$(touch${IFS}pwned)", "hc$(touch${IFS}pwned)"),
    ("hd", "hd`touch${IFS}pwned`", "hd`touch${IFS}pwned`"),
    ("he", "he'quote", "he'quote"),
    ("hf", "hf\"quote", "hf\"quote"),
    ("hg", "hg\\back\\", "hg\\back\\"),
    ("hh", "hh!!", "hh!!"),
    ("hi", "hi&>pwned", "hi&>pwned"),
    ("hj", "hj*{a,b}?[c]~#", "'hj*{a,b}?[c]~#'"),
    ("hk", "hk|touch", "hk|touch"),
    ("hl", "hlé世", "hlé世"),
    ("hm", "hm:80@x=1", "'hm:80@x=1'"),
];

/// A history with these names and some that would control the terminal.
fn named() -> (tempfile::TempDir, std::path::PathBuf) {
    let (dir, db) = history();
    ok(egrets().args(["record", "--for", "100ms", "--db"]).arg(&db));
    let history = rusqlite::Connection::open(&db).unwrap();
    let names = HOSTILE.iter().map(|(_, name, _)| *name);
    for name in names.chain(["hz\u{1b}[2J", "hz\n;touch pwned"]) {
        history
            .execute("INSERT INTO host (name) VALUES (?1)", [name])
            .unwrap();
    }
    history
        .execute(
            "INSERT INTO container (container_id, image, pod, pod_namespace)
             VALUES ('ab', 'nginx:1.29', 'web-7d4b9', 'shop')",
            [],
        )
        .unwrap();
    history
        .execute(
            "INSERT INTO process (recording_id, pid, start_ns, start_ts, comm, uid, euid, user, unit)
             VALUES (1, 7, 0, 0, 'nginx', 33, 33, 'www-data', 'cron@my$(id).service')",
            [],
        )
        .unwrap();
    (dir, db)
}

/// A shell in a terminal, in which egrets prints its arguments.
struct Shell {
    child: Child,
    keys: ChildStdin,
    shown: Arc<Mutex<String>>,
    /// How many bytes of `shown` have been read.
    read: usize,
}

impl Shell {
    fn start(shell: &str, begin: &[&str], dir: &Path, db: &Path) -> Shell {
        let bin = Path::new(env!("CARGO_BIN_EXE_egrets")).parent().unwrap();
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let mut child = Command::new("script")
            .args(["-q", "-E", "never", "-c", shell, "/dev/null"])
            .current_dir(dir)
            .env("PATH", path)
            .env("EGRETS_DB", db)
            .env("HOME", dir)
            .env("TERM", "dumb")
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let keys = child.stdin.take().unwrap();
        let mut out = child.stdout.take().unwrap();
        let shown = Arc::new(Mutex::new(String::new()));
        let mut shell = Shell {
            child,
            keys,
            shown: Arc::clone(&shown),
            read: 0,
        };
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(n @ 1..) = out.read(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..n]).into_owned();
                shown.lock().unwrap().push_str(&text);
            }
        });
        for line in begin {
            shell.press(&format!("{line}; echo RE''ADY\n"));
            shell.until("READY");
        }
        shell
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for `end`; returns what is shown before it.
    fn until(&mut self, end: &str) -> String {
        let started = Instant::now();
        loop {
            let shown = self.shown.lock().unwrap()[self.read..].to_owned();
            if let Some(at) = shown.find(end) {
                self.read += at + end.len();
                return shown[..at].to_owned();
            }
            assert!(
                started.elapsed() < Duration::from_secs(60),
                "no {end}: {shown}"
            );
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The arguments that egrets gets after `typed`, the tab key, and `more`.
    fn completed(&mut self, typed: &str, more: &str) -> String {
        self.press(&format!("{typed}\t"));
        // let the completion arrive before the line ends
        thread::sleep(Duration::from_millis(300));
        self.press(&format!("{more}\n"));
        self.until("GOT<");
        self.until(">END")
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Replaces egrets, except for the completion script, which calls `command egrets`.
const STUB: &str = "egrets() { printf 'GO''T<'; printf '%s|' \"$@\"; printf '>EN''D\\n'; }";

fn completes(mut shell: Shell, dir: &Path) {
    let mut failed = Vec::new();
    let mut expect = |typed: &str, more: &str, got: &str| {
        let is = shell.completed(typed, more);
        if is != got {
            failed.push(format!("{typed}: {is} instead of {got}"));
        }
    };
    expect("egrets que", "", "query|");
    expect("egrets query --js", "", "query|--json|");
    expect("egrets query which process", "es", "query|which|processes|");
    expect(
        "egrets query who hit ha",
        "",
        "query|who|hit|ha.example.com|",
    );
    // a whole question in quotes of either kind
    expect(
        "egrets query \"who hit ha",
        "",
        "query|who hit ha.example.com|",
    );
    expect(
        "egrets query 'who hit ha",
        "",
        "query|who hit ha.example.com|",
    );
    // after a colon, where bash starts another word
    expect(
        "egrets query what did image nginx:1",
        "",
        "query|what|did|image|nginx:1.29|",
    );
    for (typed, given) in [
        ("user www", "user|www-data"),
        ("unit cro", "unit|cron@my$(id).service"),
        ("pod web", "pod|web-7d4b9"),
        ("namespace sh", "namespace|shop"),
    ] {
        expect(
            &format!("egrets query what did {typed}"),
            "",
            &format!("query|what|did|{given}|"),
        );
    }
    // a file
    expect("egrets query --db e.db-s", "", "query|--db|e.db-shm|");
    for (typed, _, given) in HOSTILE {
        expect(
            &format!("egrets query who hit {typed}"),
            "",
            &format!("query|who|hit|{given}|"),
        );
    }
    // names with unprintable characters are not offered
    expect("egrets query who hit hz", "", "query|who|hit|hz|");
    assert_eq!(failed, [""; 0]);
    assert!(!dir.join("pwned").exists());
}

#[test]
fn bash_completes_questions_and_executes_no_name() {
    let (dir, db) = named();
    let begin = ["PS1=", STUB, "source <(command egrets completions bash)"];
    let shell = Shell::start("bash --norc --noprofile -i", &begin, dir.path(), &db);
    completes(shell, dir.path());
}

#[test]
fn zsh_completes_questions_and_executes_no_name() {
    let (dir, db) = named();
    let begin = [
        "PS1=; unsetopt zle_bracketed_paste prompt_sp 2>/dev/null; autoload -U compinit; compinit -u -D",
        STUB,
        "source <(command egrets completions zsh)",
    ];
    let shell = Shell::start("zsh -f -i", &begin, dir.path(), &db);
    completes(shell, dir.path());
}

#[test]
fn fish_is_offered_words_and_names_and_executes_none() {
    let (dir, db) = named();
    let bin = Path::new(env!("CARGO_BIN_EXE_egrets")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let fish = |script: &str| {
        ok(Command::new("fish")
            .args(["--no-config", "-c", script])
            .current_dir(dir.path())
            .env("PATH", &path)
            .env("HOME", dir.path())
            .env("LC_ALL", "C.UTF-8")
            .env("EGRETS_DB", &db))
    };
    let offered = |line: &str| {
        let line = line.replace('\\', "\\\\").replace('\'', "\\'");
        fish(&format!(
            "egrets completions fish | source; complete -C '{line}'"
        ))
    };
    assert!(offered("egrets que").starts_with("query\tAsk the history"));
    assert!(offered("egrets query which proc").contains("processes\n"));
    assert_eq!(
        offered("egrets query \"who hit ha"),
        "who hit ha.example.com\thost\n"
    );
    for (typed, given) in [
        ("user www", "www-data\tuser\n"),
        ("unit cro", "cron@my$(id).service\tunit\n"),
        ("image ng", "nginx:1.29\timage\n"),
        ("pod web", "web-7d4b9\tpod\n"),
        ("namespace sh", "shop\tnamespace\n"),
    ] {
        let line = format!("egrets query what did {typed}");
        assert_eq!(offered(&line), given, "{line}");
    }
    assert_eq!(offered("egrets query --db e.db-s"), "e.db-shm\n");
    for (typed, _, given) in HOSTILE {
        assert_eq!(
            offered(&format!("egrets query who hit {typed}")),
            format!("{given}\thost\n")
        );
        // as fish inserts it into the line
        let got = fish(&format!(
            "egrets completions fish | source
             set -l word (complete -C --escape 'egrets query who hit {typed}' | string split -f 1 \\t)
             eval \"printf '%s|' $word\""
        ));
        assert_eq!(got, format!("{given}|"));
    }
    assert!(!dir.path().join("pwned").exists());
}

#[test]
fn names_are_few_and_need_permission_to_read_the_history() {
    let (dir, db) = named();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let words = |command: &mut Command, typed: &str| {
        command.args([
            "complete-words",
            "--shell",
            "zsh",
            "--",
            "query",
            "who",
            "hit",
            typed,
        ]);
        ok(command.env("EGRETS_DB", &db))
    };
    assert_eq!(words(&mut egrets(), "ha"), "ha.example.com\thost\n");
    let mut unprivileged = Command::new("setpriv");
    unprivileged.args(["--reuid=nobody", "--clear-groups"]);
    unprivileged.arg(env!("CARGO_BIN_EXE_egrets"));
    assert_eq!(words(&mut unprivileged, "ha"), "");
    let history = rusqlite::Connection::open(&db).unwrap();
    history
        .execute_batch(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
             INSERT INTO host (name) SELECT 'many' || i || '.test' FROM n",
        )
        .unwrap();
    // many processes of few users, and many that each have their own unit
    history
        .execute_batch(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000)
             INSERT INTO process (recording_id, pid, start_ns, start_ts, comm, uid, euid, user, unit)
             SELECT 1, i, i, i, 'curl', 33, 33, 'user' || (i % 3), iif(i % 9, 'cron.service', 'run-r' || i || '.scope')
             FROM n",
        )
        .unwrap();
    let named = |kind: &str, typed: &str| {
        let mut command = egrets();
        command.args([
            "complete-words",
            "--shell",
            "zsh",
            "--",
            "query",
            "what",
            "did",
            kind,
        ]);
        ok(command.arg(typed).env("EGRETS_DB", &db))
    };
    let begun = Instant::now();
    assert_eq!(named("user", "user").lines().count(), 3);
    assert_eq!(named("unit", "run-r").lines().count(), 50);
    assert_eq!(named("unit", "cro").lines().count(), 2);
    assert_eq!(words(&mut egrets(), "many").lines().count(), 50);
    assert_eq!(words(&mut egrets(), "many99999"), "many99999.test\thost\n");
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "{:?}",
        begun.elapsed()
    );
    // the whole line is longer than any question
    assert_eq!(words(&mut egrets(), &"x".repeat(10_000)), "");
}
