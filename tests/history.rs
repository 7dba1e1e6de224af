//! The SQLite file: concurrent readers, permissions, retention, and files that are damaged,
//! full or not a history.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::*;

fn record(db: &Path) -> Output {
    egrets()
        .args(["record", "--for", "200ms", "--db"])
        .arg(db)
        .output()
        .unwrap()
}

/// Asserts that a recorder refuses the file with exit status 2 and this message, and leaves it
/// unchanged.
fn refused(db: &Path, words: &str) {
    let before = fs::read(db).ok();
    let output = record(db);
    let said = text(&output.stderr);
    assert_eq!(code(&output), 2, "{said}");
    assert!(
        said.starts_with("egrets: ") && said.contains(words),
        "{said}"
    );
    assert!(
        said.contains(db.to_str().unwrap()),
        "names the file: {said}"
    );
    assert_eq!(fs::read(db).ok(), before, "the file is unharmed");
}

#[test]
fn only_the_owner_may_read_the_file_unless_a_group_is_given() {
    let dir = tempfile::tempdir().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let db = dir.path().join("new/e.db");
    assert_eq!(code(&record(&db)), 0);
    assert_eq!((mode(&db), mode(db.parent().unwrap())), (0o600, 0o700));
    let shared = dir.path().join("shared/e.db");
    ok(egrets()
        .args(["record", "--for", "200ms", "--group", "www-data", "--db"])
        .arg(&shared));
    assert_eq!(
        (mode(&shared), mode(shared.parent().unwrap())),
        (0o640, 0o750)
    );
    // A member of the group can read it after a clean stop, and can't write it.
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let as_member = |sql: &str| {
        std::process::Command::new("setpriv")
            .args([
                "--reuid=www-data",
                "--regid=www-data",
                "--clear-groups",
                "sqlite3",
            ])
            .arg(&shared)
            .arg(sql)
            .output()
            .unwrap()
    };
    assert_eq!(
        text(&as_member("SELECT clean FROM recordings").stdout),
        "1\n"
    );
    assert!(!as_member("DELETE FROM recording").status.success());
}

#[test]
fn readers_are_not_blocked_by_the_recorder() {
    let net = Net::new();
    let port = net.http("x").to_string();
    let (_dir, db) = history();
    let recorder = Recorder::start(&db, &[]);
    let load = {
        let mut command = net.command(dial());
        command.args(["loop", FAR4, &port, "3000"]);
        thread::spawn(move || ok(&mut command))
    };
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let db = db.clone();
            thread::spawn(move || {
                let mut last = 0;
                for _ in 0..20 {
                    let rows = select(&db, "SELECT count(*) FROM egress");
                    let now: i64 = rows[0][0].parse().unwrap();
                    assert!(now >= last, "{now} after {last}");
                    last = now;
                }
                let query = egrets()
                    .args(["query", "what did 'dial' talk to", "--db"])
                    .arg(&db)
                    .output()
                    .unwrap();
                assert!(code(&query) <= 1, "{}", text(&query.stderr));
            })
        })
        .collect();
    for reader in readers {
        reader.join().unwrap();
    }
    load.join().unwrap();
    assert_eq!(recorder.stop(), 0);
    let all: i64 = value(
        &db,
        &format!("SELECT count(*) FROM egress WHERE dst_port = {port} AND outcome = 'connected'"),
    );
    assert_eq!(all, 3000);
}

#[test]
fn a_second_recorder_is_refused_and_the_first_continues() {
    let (_dir, db) = history();
    let recorder = Recorder::start(&db, &[]);
    let output = record(&db);
    assert_eq!(code(&output), 2);
    assert!(
        text(&output.stderr).contains("another egrets records into"),
        "{}",
        text(&output.stderr)
    );
    assert_eq!(recorder.stop(), 0);
    assert_eq!(value::<i64>(&db, "SELECT count(*) FROM recordings"), 1);
}

#[test]
fn files_that_are_not_histories_are_refused_unchanged() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(
        at("text"),
        "not a database, and long enough to be read as one\n".repeat(20),
    )
    .unwrap();
    refused(&at("text"), "is not a SQLite database");

    sqlite(
        &at("other.db"),
        "CREATE TABLE t (x); INSERT INTO t VALUES (1)",
    );
    refused(&at("other.db"), "of another program");

    assert_eq!(code(&record(&at("newer.db"))), 0);
    sqlite(
        &at("newer.db"),
        "PRAGMA user_version = 99; PRAGMA journal_mode = DELETE",
    );
    refused(&at("newer.db"), "newer egrets");
    let query = egrets()
        .args(["query", "who hit x.example", "--db"])
        .arg(at("newer.db"))
        .output()
        .unwrap();
    assert_eq!(code(&query), 2, "{}", text(&query.stderr));

    fs::create_dir(at("dir")).unwrap();
    let output = record(&at("dir"));
    assert_eq!(code(&output), 2, "{}", text(&output.stderr));
    std::os::unix::fs::symlink(at("newer.db"), at("link")).unwrap();
    refused(&at("link"), "is a symbolic link");
    run("mkfifo", &[at("fifo").to_str().unwrap()]);
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    // Readers, too, say it at once.
    for (name, words) in [
        ("dir", "is a directory"),
        ("link", "is a symbolic link"),
        ("fifo", "is a FIFO"),
        ("socket", "is a socket"),
        ("/dev/null", "is a device"),
    ] {
        for args in [["record", "--for=200ms"], ["query", "who hit x"]] {
            let output = egrets().args(args).arg("--db").arg(at(name)).output();
            let output = output.unwrap();
            assert_eq!(code(&output), 2, "{name}");
            assert!(text(&output.stderr).contains(words), "{output:?}");
        }
    }
}

#[test]
fn files_that_another_user_made_or_can_write_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("e.db");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    for suffix in ["", "-wal", "-shm", "-journal", "-lock"] {
        let file = format!("{}{suffix}", db.display());
        fs::write(&file, "").unwrap();
        std::os::unix::fs::chown(&file, Some(65534), None).unwrap();
        refused(&db, "belongs to user 65534");
        fs::remove_file(&file).unwrap();
    }
    fs::write(&db, "").unwrap();
    fs::set_permissions(&db, fs::Permissions::from_mode(0o666)).unwrap();
    refused(&db, "can be written by other users (mode 0666)");
    fs::remove_file(&db).unwrap();
    assert_eq!(code(&record(&db)), 0, "no file is in the way");
}

/// A reader of the history may hold any lock that reading takes.
#[test]
fn a_lock_of_another_program_delays_rows_and_neither_loses_them_nor_stops_the_recorder() {
    let net = Net::new();
    let port = net.http("x").to_string();
    let (_dir, db) = history();
    let recorder = Recorder::start(&db, &[]);
    let lock = rusqlite::Connection::open(&db).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let load = |n: &str| ok(net.command(dial()).args(["loop", FAR4, &port, n]));
    load("500");
    recorder.expect("another program has locked it (pid");
    let status = || -> serde_json::Value {
        let status = ok(egrets().args(["status", "--json", "--db"]).arg(&db));
        serde_json::from_str(&status).unwrap()
    };
    eventually("the lag shows", || {
        (status()["last"]["behind_ms"].as_i64()? > 1000).then_some(())
    });
    assert_eq!(status()["blocked_by"], std::process::id());
    lock.execute_batch("ROLLBACK").unwrap();
    recorder.expect("is written again");
    // The lock is held when the recording ends.
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    load("100");
    recorder.signal("INT");
    recorder.expect("waiting for at most");
    lock.execute_batch("ROLLBACK").unwrap();
    assert_eq!(recorder.stop(), 0);
    let rows = format!("SELECT count(*) FROM egress WHERE dst_port = {port}");
    assert_eq!(value::<i64>(&db, &rows), 600);
    assert_eq!(
        value::<i64>(&db, "SELECT count(*) FROM gaps WHERE kind = 'store'"),
        0
    );
    assert_eq!(status()["last"]["ended"], "stopped");
    // One that never ends does not keep the recorder.
    let recorder = Recorder::start(&db, &[]);
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    load("10");
    recorder.signal("INT");
    recorder.expect("waiting for at most");
    recorder.signal("INT");
    recorder.expect("because another program has locked it");
    assert_eq!(recorder.stop(), 2);
    assert_eq!(status()["last"]["ended"], "locked");
    lock.execute_batch("ROLLBACK").unwrap();
    assert_eq!(code(&record(&db)), 0);
    let ends = select(&db, "SELECT ended FROM recordings ORDER BY id");
    assert_eq!(ends, [["stopped"], ["locked"], ["stopped"]]);
}

#[test]
fn a_history_that_is_deleted_or_replaced_ends_the_recording_within_seconds() {
    let (dir, db) = history();
    let beside = |suffix: &str| std::path::PathBuf::from(format!("{}{suffix}", db.display()));
    for (suffix, change) in [("", "deleted"), ("", "replaced"), ("-wal", "deleted")] {
        let recorder = Recorder::start(&db, &[]);
        let rows: i64 = value(&db, "SELECT count(*) FROM recordings");
        match change {
            "deleted" => fs::remove_file(beside(suffix)).unwrap(),
            _ => {
                fs::write(dir.path().join("other"), "other").unwrap();
                fs::rename(dir.path().join("other"), beside(suffix)).unwrap();
            }
        }
        let begun = Instant::now();
        recorder.expect(&format!("{} was {change}", beside(suffix).display()));
        // 2 s, and more on a busy machine.
        assert!(begun.elapsed() < Duration::from_secs(15));
        assert_eq!(recorder.wait(), 2);
        if suffix == "-wal" {
            assert_eq!(value::<i64>(&db, "SELECT count(*) FROM recordings"), rows);
            let ended = "SELECT ended FROM recordings ORDER BY id DESC LIMIT 1";
            assert_eq!(value::<String>(&db, ended), "file lost");
        }
        for suffix in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(beside(suffix));
        }
    }
}

/// Overwrites part of a file with garbage.
fn damage(db: &Path, whole: &[u8], range: std::ops::Range<usize>) {
    let mut bytes = whole.to_vec();
    for (n, byte) in bytes[range].iter_mut().enumerate() {
        *byte = (n * 151 % 251) as u8 ^ 0x5a;
    }
    fs::write(db, bytes).unwrap();
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{suffix}", db.display()));
    }
}

#[test]
fn errors_name_a_damaged_file_and_recording_does_not_damage_it_further() {
    let net = Net::new();
    let port = net.http("x").to_string();
    let (_dir, db) = history();
    let dials = dial();
    let dials = dials.to_str().unwrap();
    let output = net.record(&db, &[dials, "loop", FAR4, &port, "300"]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let whole = fs::read(&db).unwrap();
    let said = |args: &[&str]| {
        let output = egrets().args(args).arg("--db").arg(&db).output().unwrap();
        let said = text(&output.stderr);
        assert!(code(&output) <= 2 && !said.contains("panicked"), "{said}");
        if code(&output) == 2 {
            assert!(said.contains(db.to_str().unwrap()), "no name: {said}");
            assert!(
                said.contains("is damaged") || said.contains("is not a SQLite database"),
                "{said}"
            );
        }
        code(&output)
    };
    let mut refused = 0;
    let pages = whole.len() / 4096;
    for page in (0..pages).step_by(3) {
        damage(&db, &whole, page * 4096..(page + 1) * 4096);
        for args in [
            ["query", "which connections"],
            ["query", "what did dial talk to"],
            ["explain", "7"],
        ] {
            refused += i32::from(said(&args) == 2);
        }
        refused += i32::from(said(&["status"]) == 2);
    }
    assert!(refused > 10, "{refused} of {pages} pages");
    // A recorder does not make it worse: with the page restored, all rows are there.
    for page in [0, 3, pages / 2] {
        let range = page * 4096..(page + 1) * 4096;
        damage(&db, &whole, range.clone());
        said(&["record", "--for", "200ms"]);
        let mut bytes = fs::read(&db).unwrap();
        if bytes.len() == whole.len() {
            bytes[range.clone()].copy_from_slice(&whole[range]);
            fs::write(&db, bytes).unwrap();
            let rows: i64 = value(&db, "SELECT count(*) FROM connection NOT INDEXED");
            assert!(rows >= 300, "{rows} after page {page}");
        }
    }
    for length in [50, 5000, whole.len() / 2] {
        fs::write(&db, &whole[..length]).unwrap();
        for args in [["query", "which connections"], ["record", "--for=200ms"]] {
            assert_eq!(said(&args), 2, "cut to {length}");
        }
    }
}

fn sqlite(db: &Path, sql: &str) {
    run("sqlite3", &[db.to_str().unwrap(), sql]);
}

#[test]
fn the_error_names_a_directory_that_cant_be_written() {
    let output = egrets()
        .args(["record", "--db", "/proc/egrets/e.db"])
        .output()
        .unwrap();
    assert_eq!(code(&output), 2);
    assert!(
        text(&output.stderr).contains("/proc/egrets"),
        "{}",
        text(&output.stderr)
    );
}

/// A file system of 1 MiB.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new() -> SmallDisk {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().to_str().unwrap();
        run("mount", &["-t", "tmpfs", "-o", "size=1m", "tmpfs", at]);
        SmallDisk(dir)
    }

    fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }

    /// SQLite needs space to recover a WAL file.
    fn grow(&self) {
        run("mount", &["-o", "remount,size=8m", self.path()]);
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // After a failed test a recorder may still use it.
        let _ = std::process::Command::new("umount")
            .args(["-l", self.path()])
            .status();
    }
}

#[test]
fn a_full_disk_delays_rows_and_stored_rows_stay() {
    let net = Net::new();
    let port = net.http("x").to_string();
    let disk = SmallDisk::new();
    let db = disk.0.path().join("e.db");
    let recorder = Recorder::start(&db, &[]);
    let load = |n: usize| {
        let n = n.to_string();
        ok(net.command(dial()).args(["loop", FAR4, &port, &n]));
    };
    let all = 6000;
    load(all - 100);
    recorder.expect("e.db can't be written: the disk is full");
    disk.grow();
    recorder.expect("is written again");
    load(100);
    assert_eq!(recorder.stop(), 0);
    assert_eq!(value::<String>(&db, "PRAGMA integrity_check"), "ok");
    let rows: i64 = value(
        &db,
        &format!("SELECT count(*) FROM egress WHERE dst_port = {port}"),
    );
    let lost: i64 = value(
        &db,
        "SELECT coalesce(sum(lost), 0) FROM gaps WHERE kind IN ('connect', 'store')",
    );
    assert!(rows > 100);
    assert!(rows + lost >= all as i64, "{rows} and {lost} lost");
}

#[test]
fn a_recording_that_ends_on_a_full_disk_says_so_and_what_is_missing() {
    let net = Net::new();
    let port = net.http("x").to_string();
    let disk = SmallDisk::new();
    let db = disk.0.path().join("e.db");
    let recorder = Recorder::start(&db, &[]);
    ok(net.command(dial()).args(["loop", FAR4, &port, "6000"]));
    recorder.expect("the disk is full");
    recorder.signal("INT");
    let said = recorder.expect("the recording ended without its last");
    assert!(said.contains("because the disk is full"), "{said}");
    assert_eq!(recorder.wait(), 2);
    disk.grow();
    let status = ok(egrets().arg("status").arg("--db").arg(&db));
    assert!(status.contains("because the disk was full"), "{status}");
    assert_eq!(value::<String>(&db, "PRAGMA integrity_check"), "ok");
    assert!(value::<i64>(&db, "SELECT count(*) FROM egress") > 0);
}

/// An ext4 file system that an error makes read-only, as a failing disk does.
struct FailingDisk(tempfile::TempDir);

impl FailingDisk {
    fn new() -> FailingDisk {
        let disk = FailingDisk(tempfile::tempdir().unwrap());
        let (image, at) = (disk.image(), disk.path());
        fs::create_dir(&at).unwrap();
        fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
        run("mkfs.ext4", &["-q", &image]);
        disk.mount(&image);
        disk
    }

    fn image(&self) -> String {
        self.0.path().join("image").display().to_string()
    }

    fn path(&self) -> String {
        self.0.path().join("mounted").display().to_string()
    }

    fn mount(&self, image: &str) {
        let options = "loop,errors=remount-ro";
        run("mount", &["-o", options, image, &self.path()]);
    }

    /// As after a new start of the machine. A copy: the namespaces of other tests may hold the
    /// failed one.
    fn start_again(&self) {
        self.unmount();
        let copy = format!("{}-again", self.image());
        fs::copy(self.image(), &copy).unwrap();
        self.mount(&copy);
    }

    fn fail(&self) {
        let device = run("findmnt", &["-no", "SOURCE", &self.path()]);
        let name = Path::new(device.trim()).file_name().unwrap();
        let trigger = Path::new("/sys/fs/ext4")
            .join(name)
            .join("trigger_fs_error");
        fs::write(trigger, "1").unwrap();
    }

    fn unmount(&self) {
        let _ = std::process::Command::new("umount")
            .args(["-l", &self.path()])
            .status();
    }
}

impl Drop for FailingDisk {
    fn drop(&mut self) {
        self.unmount();
    }
}

#[test]
fn a_file_system_that_becomes_read_only_costs_the_rows_after_it_and_nothing_else() {
    let net = Net::new();
    let port = net.http("x").to_string();
    let disk = FailingDisk::new();
    let db = Path::new(&disk.path()).join("e.db");
    let load = || ok(net.command(dial()).args(["loop", FAR4, &port, "50"]));
    let rows = format!("SELECT count(*) FROM egress WHERE dst_port = {port}");
    let recorder = Recorder::start(&db, &[]);
    load();
    eventually("the rows", || {
        (value::<i64>(&db, &rows) == 50).then_some(())
    });
    // what the kernel has not written by then is lost, as by a power cut
    run("sync", &["-f", &disk.path()]);
    disk.fail();
    load();
    recorder
        .expect("e.db can't be written: its file system refuses to write; what is recorded waits");
    // readers go on
    assert_eq!(value::<i64>(&db, &rows), 50);
    recorder.signal("INT");
    recorder.expect("connections and lookups, because its file system refuses to write");
    assert_eq!(recorder.wait(), 2);
    disk.start_again();
    assert_eq!(value::<String>(&db, "PRAGMA integrity_check"), "ok");
    let again = Recorder::start(&db, &[]);
    load();
    assert_eq!(again.stop(), 0);
    assert_eq!(value::<i64>(&db, &rows), 100);
}

#[test]
fn a_recorder_in_a_time_namespace_with_a_clock_of_its_own_is_refused() {
    let (_dir, db) = history();
    let output = std::process::Command::new("unshare")
        .args(["--time", "--boottime", "100000", "--fork"])
        .arg(env!("CARGO_BIN_EXE_egrets"))
        .args(["record", "--for", "1s", "--db"])
        .arg(&db)
        .output()
        .unwrap();
    let said = text(&output.stderr);
    assert_eq!(code(&output), 2, "{said}");
    assert!(said.contains("nsenter --time=/proc/1/ns/time"), "{said}");
    assert!(!db.exists());
}

#[test]
fn a_command_runs_to_its_end_when_the_disk_is_full_and_its_status_is_kept() {
    let net = Net::new();
    let port = net.http("x").to_string();
    let disk = SmallDisk::new();
    let db = disk.0.path().join("e.db");
    let (_done, done) = history();
    let script = format!(
        "for n in 1 2 3; do {} loop {FAR4} {port} 4000; done; sleep 1; echo done > {}; exit 7",
        dial().display(),
        done.display()
    );
    let output = net.record(&db, &["sh", "-c", &script]);
    let finished = fs::read_to_string(&done);
    disk.grow();
    let rows: i64 = value(&db, "SELECT count(*) FROM egress");
    let clean: i64 = value(&db, "SELECT clean FROM recordings");
    let said = text(&output.stderr);
    assert_eq!(code(&output), 7, "{said}");
    assert!(
        said.contains("error: ") && said.contains("e.db can't be written") && said.contains("full"),
        "{said}"
    );
    assert!(said.contains("the history is incomplete"), "{said}");
    assert_eq!(finished.unwrap(), "done\n");
    assert!((1..12_000).contains(&rows), "{rows}");
    assert_eq!(clean, 0);
}

/// The first recording saw it start, to the nanosecond; the second one found it in /proc, whose
/// resolution is a clock tick.
#[test]
fn a_process_has_the_same_identity_in_two_recordings() {
    let net = Net::new();
    let port = net.http("x").to_string();
    let (_dir, db) = history();
    let count = || value::<i64>(&db, "SELECT count(*) FROM egress");
    let recorder = Recorder::start(&db, &[]);
    let load = Guard(
        net.command(dial())
            .args(["drip", FAR4, &port])
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap(),
    );
    eventually("some rows", || (count() > 3).then_some(()));
    assert_eq!(recorder.stop(), 0);
    let before = count();
    let recorder = Recorder::start(&db, &[]);
    eventually("more rows", || (count() > before + 3).then_some(()));
    assert_eq!(recorder.stop(), 0);
    let pid = load.0.id().to_string();
    let starts = format!(
        "SELECT count(DISTINCT start_ts), count(DISTINCT process_id) > 1 FROM egress WHERE pid = {pid}"
    );
    assert_eq!(select(&db, &starts), [["1", "1"]]);
    let pids = egrets()
        .args(["query", "how many pids by pid", &pid, "--json", "--db"])
        .arg(&db)
        .output()
        .unwrap();
    assert!(
        text(&pids.stdout).starts_with(r#"{"number":1,"#),
        "{}",
        text(&pids.stdout)
    );
}

#[test]
fn status_distinguishes_running_stopped_and_killed_recorders() {
    let (_dir, db) = history();
    let status = || ok(egrets().arg("status").arg("--db").arg(&db));
    let recorder = Recorder::start(&db, &[]);
    let running = status();
    assert!(
        running.contains("running since") && running.contains(&format!("pid {}", recorder.pid())),
        "{running}"
    );
    assert_eq!(recorder.stop(), 0);
    assert!(
        status().contains("stopped; the last one ended"),
        "{}",
        status()
    );
    Recorder::start(&db, &[]).kill();
    assert!(status().contains("killed"), "{}", status());
    let none = egrets()
        .args(["status", "--db", "/no/such.db"])
        .output()
        .unwrap();
    assert_eq!(code(&none), 2);
    assert!(
        text(&none.stderr).contains("there is no history at /no/such.db"),
        "{}",
        text(&none.stderr)
    );
}

#[test]
fn an_idle_recorder_updates_its_heartbeat() {
    let (_dir, db) = history();
    let recorder = Recorder::start(&db, &[]);
    let seen = || value::<i64>(&db, "SELECT seen_ts FROM recordings");
    let counted = || value::<i64>(&db, "SELECT coalesce(counted_ts, 0) FROM recordings");
    let (first, first_count, start) = (seen(), counted(), Instant::now());
    eventually("a heartbeat", || {
        (seen() > first && counted() > first_count).then_some(())
    });
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!(recorder.stop(), 0);
}

#[test]
fn answers_say_that_rows_were_removed() {
    let (_dir, db) = history();
    let once = |options: &[&str], port: &str| {
        let mut egrets = egrets();
        egrets.args(["record", "--db"]).arg(&db).args(options);
        egrets
            .arg("--")
            .arg(dial())
            .args(["tcp", "127.0.0.1", port]);
        text(&egrets.output().unwrap().stderr).to_owned()
    };
    once(&["--keep", "1s"], "9");
    assert_eq!(
        value::<i64>(&db, "SELECT count(*) FROM egress WHERE dst_port = 9"),
        1
    );
    thread::sleep(Duration::from_millis(1100));
    let status = egrets().args(["status", "--db"]).arg(&db).output().unwrap();
    let kept = "kept         1.0s, 2.0 GiB at most";
    assert!(text(&status.stdout).contains(kept), "{status:?}");
    // The options are stored in the history.
    let said = once(&[], "7");
    assert!(
        said.contains("kept of this history: 1.0s, 2.0 GiB at most"),
        "{said}"
    );
    let ports = select(&db, "SELECT dst_port FROM egress");
    assert_eq!(ports, [["7"]], "the older one was removed");
    let gap = "SELECT lost FROM gaps WHERE kind = 'retention'";
    assert!(value::<i64>(&db, gap) >= 1);
    let answer = egrets()
        .args(["query", "which connections on port 9", "--db"])
        .arg(&db)
        .output()
        .unwrap();
    assert_eq!(code(&answer), 1);
    let said = text(&answer.stderr);
    assert!(
        said.contains("not seeing everything") && said.contains("removed"),
        "{said}"
    );
}
