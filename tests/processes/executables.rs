//! What executables are: hashes, packages, flags, of files that run, ran, or are no files at all.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::*;

/// Each with its name as `comm`. Those that are run by `stay` stay until they are let go, so that
/// their file is read as it runs. bash is a program that every test has.
const SCRIPT: &str = r#"
set -e; cd $AT; chmod 755 . ..; : > ready; chmod 666 ready
exec 4<&0
stay() { exec "$@" -c "exec 3<>/dev/tcp/$TO/$PORT; echo >> $AT/ready; read x; :" <&4; }
for name in plain replaced deleted setuid locked big; do cp /usr/bin/bash $name; done
chmod u+s setuid; chmod 711 locked; truncate -s 10G big
for name in plain replaced deleted setuid big; do (stay ./$name) & done
(stay setpriv --reuid 65534 --clear-groups ./locked) &
until [ $(wc -l < ready) = 6 ]; do sleep 0.02; done
cp $DIAL other; mv other replaced; rm deleted

curl -s -o /dev/null http://$TO:$PORT
# a file of a package, changed
(cat plain; echo) > changed; chmod 755 changed
(stay unshare -m sh -c 'mount --bind changed /usr/bin/bash; exec /usr/bin/bash "$@"' sh) &
# an Alpine image, as a container has it; and a user's own root directory, where anything may be
mkdir t root; export SUM=$(sha1sum plain | cut -c 1-40 | perl -ne 'print pack "H40", $_' | base64)
for HOW in pivot chroot; do export HOW; (stay unshare -m sh -c '
   mount -t tmpfs t t; mkdir t/u t/w
   mount -t overlay o -o lowerdir=/,upperdir=t/u,workdir=t/w root
   mount -t tmpfs t root/var/lib/dpkg
   mkdir -p root/usr/lib/apk/db root/opt/x; cp plain root/opt/x/alpine; cp plain root/opt/x/chrooted
   printf "P:tool\nV:1.2-r3\nF:opt/x\nR:alpine\nZ:Q1%s\nR:chrooted\nZ:Q1%s\n\n" $SUM $SUM > root/usr/lib/apk/db/installed
   [ $HOW = pivot ] || exec chroot root /opt/x/chrooted "$@"
   cd root; pivot_root . mnt; exec /opt/x/alpine "$@"' sh) & done
# with the rights of its owner
cp $DIAL root-rights; chmod 4755 root-rights; setpriv --reuid 65534 --clear-groups ./root-rights tcp $TO $PORT
# what is gone at once, and whose path is a FIFO
cp $DIAL fifo; exec 5<fifo; rm fifo; mkfifo fifo; /proc/self/fd/5 tcp $TO $PORT; exec 5<&-
$DIAL memory $TO $PORT
# which runs another program for a moment, that writes into its file
cp /usr/bin/bash rewritten
(exec ./rewritten -c "exec 3<>/dev/tcp/$TO/$PORT; exec bash -c 'echo >> rewritten; exec ./rewritten -c \"read x; :\"'" <&4) &
# another program in the same file: neither is to have the hash of the other
cp $DIAL again; ./again tcp $TO $PORT; (cat $DIAL; echo) > again; ./again tcp $TO $PORT
wait
"#;

/// Runs a script in its directory; its programs connect to this port.
fn start(script: &str, net: &Net, at: &Path, port: &str) -> Child {
    net.near(|| {
        Command::new("bash")
            .args(["-c", script])
            .env("AT", at)
            .env("TO", FAR4)
            .env("PORT", port)
            .env("DIAL", dial())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap()
    })
}

#[test]
fn executables_have_the_hash_and_the_package_of_the_file_that_ran() {
    let net = Net::new();
    let port = net.http("x").to_string();
    let (dir, db) = history();
    let at = dir.path().join("x");
    fs::create_dir(&at).unwrap();
    let recording = Recording::start(&net);
    let mut script = start(SCRIPT, &net, &at, &port);
    let known = format!(
        "SELECT count(*) FROM egress WHERE netns = {} AND dst_port = {port} AND exe_hash_status IS NOT NULL",
        net.near_inode()
    );
    let all = 16;
    eventually("all executables have been read", || {
        (value::<i64>(recording.history(), &known) == all).then_some(())
    });
    script.stdin.take().unwrap().write_all(b"\n").unwrap();
    assert!(script.wait().unwrap().success());
    recording.save(&db);

    let sha256 =
        |path: &str| text(&ok(Command::new("sha256sum").arg(path)).into_bytes())[..64].to_owned();
    let installed = |package: &str| {
        run("dpkg-query", &["-W", "-f", "${Version}", package])
            .trim()
            .to_owned()
    };
    let column = |exe: &str, columns: &str| {
        let sql = format!(
            "SELECT {columns} FROM egress WHERE exe LIKE '%{exe}' AND dst_port = {port} ORDER BY id"
        );
        select(&db, &sql)
    };
    let identity =
        "exe_hash_status, exe_sha256, exe_packaged, package, package_version, exe_modified";
    let bash = sha256("/usr/bin/bash");
    assert_eq!(
        column("/usr/bin/curl", identity),
        [[
            "hashed",
            &sha256("/usr/bin/curl"),
            "1",
            "curl",
            &installed("curl"),
            "0"
        ]]
    );
    let changed = sha256(&format!("{}/changed", at.display()));
    assert_eq!(
        column("/usr/bin/bash", identity),
        [["hashed", &changed, "1", "bash", &installed("bash"), "1"]]
    );
    assert_eq!(
        column("/opt/x/alpine", identity),
        [["hashed", &bash, "1", "tool", "1.2-r3", "0"]]
    );
    assert_eq!(
        column("/opt/x/chrooted", identity),
        [["hashed", &bash, "", "", "", ""]]
    );
    let unpackaged = ["hashed", bash.as_str(), "0", "", "", ""];
    for name in ["plain", "replaced", "deleted", "setuid"] {
        assert_eq!(
            column(&format!("/x/{name}"), identity),
            [unpackaged],
            "{name}"
        );
    }
    let flags = "exe_hash_status, exe_setuid, exe_world_writable_dir";
    assert_eq!(column("/x/setuid", flags), [["hashed", "1", "1"]]);
    assert_eq!(
        column("/x/root-rights", "uid, euid, user, euser"),
        [["65534", "0", "nobody", "root"]]
    );
    assert_eq!(
        column("/x/plain", "uid, euid, user, euser"),
        [["0", "0", "root", "root"]]
    );
    assert_eq!(column("/x/plain", flags), [["hashed", "0", "1"]]);
    assert_eq!(column("/usr/bin/curl", flags), [["hashed", "0", "0"]]);
    assert_eq!(column("/x/big", flags), [["too_large", "0", "1"]]);
    assert_eq!(
        column("/x/locked", "exe_hash_status, exe_sha256"),
        [["unreadable", ""]]
    );
    assert_eq!(column("memfd:payload (deleted)", "exe_packaged"), [["0"]]);
    let fifo = column("/x/fifo", "COALESCE(exe_sha256, exe_hash_status)");
    let dialled = sha256(&dial().display().to_string());
    // or none: beside other tests, root's share of reading may be used up
    let it_or_none = ["gone", "rate_limit", &dialled];
    assert!(it_or_none.contains(&&*fifo[0][0]), "{fifo:?}");
    let rewritten = column("/x/rewritten", "COALESCE(exe_sha256, exe_hash_status)");
    assert!(
        ["gone", "rate_limit", &bash].contains(&&*rewritten[0][0]),
        "{rewritten:?}"
    );
    let again = column("/x/again", "COALESCE(exe_sha256, 'gone')");
    let now = sha256(&format!("{}/again", at.display()));
    assert!(
        ["gone", &sha256(&dial().display().to_string())].contains(&&*again[0][0]),
        "{again:?}"
    );
    assert!(["gone", &now].contains(&&*again[1][0]), "{again:?}");
}

/// A package as Fedora's are built and installed, with rpm's database as SQLite, in a container of
/// its own; and a program of it that was changed since.
const RPM: &str = r#"
set -e; cd $AT; chmod 755 . ..; : > ready; exec 4<&0
cat > tool.spec << EOF
%global debug_package %{nil}
%global __os_install_post %{nil}
%global _build_id_links none
%global _binary_payload w0.gzdio
Name: tool
Epoch: 1
Version: 2.0
Release: 3
Summary: x
License: x
AutoReqProv: no
%description
%install
mkdir -p %{buildroot}/opt/x; for name in installed altered; do cp /usr/bin/bash %{buildroot}/opt/x/\$name; done
%files
/opt/x/*
EOF
rpmbuild -bb --quiet --define "_topdir $AT/rpm" tool.spec
mkdir t root
unshare -m bash -e -c '
   mount -t tmpfs t t; mkdir t/u t/w
   mount -t overlay o -o lowerdir=/,upperdir=t/u,workdir=t/w root
   mount -t tmpfs t root/var/lib/dpkg; mkdir -p root/usr/lib/sysimage/rpm
   rpm --root $AT/root --dbpath /usr/lib/sysimage/rpm --nodeps -i rpm/RPMS/*/*.rpm
   cp root/opt/x/installed root/opt/x/foreign; echo >> root/opt/x/altered
   cd root; pivot_root . mnt
   run() { /opt/x/$1 -c "exec 3<>/dev/tcp/$TO/$PORT; read x; :" <&4 & }
   run installed; run altered; run foreign; wait'
"#;

#[test]
fn rpms_database_says_whose_a_program_is_and_whether_it_was_changed() {
    let net = Net::new();
    let port = net.http("x").to_string();
    let (dir, db) = history();
    let at = dir.path().join("x");
    fs::create_dir(&at).unwrap();
    let recording = Recording::start(&net);
    let mut script = start(RPM, &net, &at, &port);
    let known = format!(
        "SELECT count(*) FROM egress WHERE netns = {} AND dst_port = {port} AND exe_hash_status IS NOT NULL",
        net.near_inode()
    );
    eventually("all executables have been read", || {
        assert_eq!(script.try_wait().unwrap(), None, "the script ended early");
        (value::<i64>(recording.history(), &known) == 3).then_some(())
    });
    script.stdin.take().unwrap().write_all(b"\n\n\n").unwrap();
    assert!(script.wait().unwrap().success());
    recording.save(&db);
    let rows = select(
        &db,
        "SELECT exe, exe_hash_status, exe_packaged, package, package_version, exe_modified
         FROM egress ORDER BY exe",
    );
    assert_eq!(
        rows,
        [
            ["/opt/x/altered", "hashed", "1", "tool", "1:2.0-3", "1"],
            ["/opt/x/foreign", "hashed", "0", "", "", ""],
            ["/opt/x/installed", "hashed", "1", "tool", "1:2.0-3", "0"],
        ]
    );
}
