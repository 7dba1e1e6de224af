//! Bytes and ways out: what clients sent and got, who knew exactly what that was.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use common::coverage::{compare, linux};
use common::*;

/// A server of the far side that hands its connections to the test.
fn handed_over(net: &Net) -> (u16, Receiver<TcpStream>) {
    let listener = net.far(|| TcpListener::bind("[::]:0").unwrap());
    let port = listener.local_addr().unwrap().port();
    let (to, streams) = channel();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = to.send(stream);
        }
    });
    (port, streams)
}

/// A client that has a connection, and does nothing until it is told to.
fn hold(net: &Net, port: u16, way: &str) -> Guard {
    let mut child = net
        .command(dial())
        .args([way, FAR4, &port.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let stdout = child.stdout.take().unwrap();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    Guard(child)
}

/// The lines that watch prints, as they come.
fn lines_of(watch: &mut Child) -> Receiver<String> {
    let (to, lines) = channel();
    let stdout = BufReader::new(watch.stdout.take().unwrap());
    thread::spawn(move || {
        for line in stdout.lines().map_while(Result::ok) {
            let _ = to.send(line);
        }
    });
    lines
}

#[test]
fn a_downloads_bytes_are_there_while_it_lasts_and_all_of_them_when_the_recorder_stops() {
    // the clients do not read: it has to fit into their buffers
    const FIRST: usize = 30_000;
    const SECOND: usize = 7_001;
    let net = Net::new();
    let (port, streams) = handed_over(&net);
    let mut open = Vec::new();
    let _older = hold(&net, port, "hold");
    open.push(streams.recv().unwrap());
    let (_dir, db) = history();
    let recorder = Recorder::start(&db, &[]);
    let mut watch = Guard(
        egrets()
            .args(["watch", "--json"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let lines = lines_of(&mut watch.0);
    eventually("watch sees what is dialled", || {
        ok(net.command(dial()).args(["tcp", FAR4, &port.to_string()]));
        drop(streams.recv().unwrap());
        lines
            .try_iter()
            .any(|line| line.contains("\"event\":\"close\""))
            .then_some(())
    });
    let _newer = hold(&net, port, "hold");
    open.push(streams.recv().unwrap());
    for stream in &mut open {
        stream.write_all(&vec![b'x'; FIRST]).unwrap();
    }
    let of_port = format!("\"dst_port\":{port}");
    let got = format!("\"rx_bytes\":{FIRST}");
    eventually("the live log tells of it", || {
        let parts = [
            "\"event\":\"progress\"",
            &of_port,
            &got,
            "\"outcome\":\"connected\"",
        ];
        lines
            .try_iter()
            .any(|line| parts.iter().all(|part| line.contains(part)))
            .then_some(())
    });

    let rows = |rx: usize| {
        format!(
            "SELECT already_open, tx_bytes, outcome, duration_us FROM egress
             WHERE dst_port = {port} AND rx_bytes = {rx} ORDER BY already_open"
        )
    };
    let both = [["0", "0", "connected", ""], ["1", "0", "connected", ""]];
    eventually("the bytes are in the file", || {
        (sqlite3(&db, &rows(FIRST)) == both).then_some(())
    });
    for stream in &mut open {
        stream.write_all(&vec![b'x'; SECOND]).unwrap();
    }
    thread::sleep(Duration::from_millis(300)); // until it has all come
    assert_eq!(recorder.stop(), 0);
    assert_eq!(sqlite3(&db, &rows(FIRST + SECOND)), both);
}

/// A server of the far side that gives back what it got, once all has come.
fn mirror(net: &Net) -> u16 {
    let listener = net.far(|| TcpListener::bind("[::]:0").unwrap());
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut data = Vec::new();
                let _ = stream.read_to_end(&mut data);
                let _ = stream.write_all(&data);
            });
        }
    });
    port
}

#[test]
fn every_way_to_send_over_tcp_is_its_processs_and_exact() {
    const WAYS: [&str; 11] = [
        "write", "writev", "send", "sendmsg", "sendmmsg", "zerocopy", "sendfile", "splice",
        "vmsplice", "uring", "uring-zc",
    ];
    let net = Net::new();
    let port = mirror(&net);
    let (_dir, db) = history();
    let recorder = Recorder::start(&db, &[]);
    // no way of zero copy in io_uring before Linux 6.0
    let ways = WAYS
        .iter()
        .filter(|way| **way != "uring-zc" || linux() >= (6, 0));
    let runs: Vec<String> = ways
        .map(|way| format!("{way} {FAR4} {port} 13 70001"))
        .collect();
    for run in &runs {
        ok(net.command(send()).args(run.split(' ')));
    }
    recorder.stop();
    for run in &runs {
        compare(&db, "tcp", run, 13 * 70_001, None);
    }
}

#[test]
fn every_way_to_send_over_udp_is_its_processs_and_exact() {
    let net = Net::new();
    let port = net.echo();
    let (_dir, db) = history();
    let recorder = Recorder::start(&db, &[]);
    // the last: datagrams that the path has to carry in fragments
    let ways = [
        ("udp-send", 40, 1200),
        ("udp-write", 40, 1200),
        ("udp-sendmmsg", 40, 700),
        ("udp-gso", 40, 700),
        ("udp-empty", 5, 0),
        ("udp-send", 7, 40_000),
    ];
    let runs: Vec<(String, usize, usize)> = ways
        .map(|(way, count, size)| {
            let run = format!("{way} {FAR4} {port} {count} {size}");
            (run, count, count * size)
        })
        .into();
    for (run, ..) in &runs {
        ok(net.command(send()).args(run.split(' ')));
    }
    recorder.stop();
    for (run, count, bytes) in &runs {
        compare(&db, "udp", run, *bytes, Some(*count));
    }
}
