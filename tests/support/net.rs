//! Two network namespaces joined by a veth pair, and servers on sockets of the far one.

use std::fs::{self, File};
use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, Shutdown, TcpListener, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use simple_dns::rdata::{A, RData};
use simple_dns::{CLASS, Packet, ResourceRecord};
use socket2::SockRef;

use super::*;

/// Two namespaces: `near`, where clients run, and `far`, where servers listen.
pub struct Net {
    pub near: String,
    pub far: String,
    servers: Vec<Guard>,
}

pub const NEAR4: &str = "10.77.0.1";
pub const FAR4: &str = "10.77.0.2";
pub const FAR6: &str = "fd77::2";
/// See [`Net::many_addresses`].
const MANY4: &str = "10.77.1.0/24";

static COUNT: AtomicU32 = AtomicU32::new(0);

/// The namespaces of tests that have ended. The kernel would give their inode numbers to
/// those of later tests, which the shared recorder could not tell apart.
static ENDED: Mutex<Vec<File>> = Mutex::new(Vec::new());

impl Net {
    pub fn new() -> Net {
        let id = format!(
            "{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let net = Net {
            near: format!("egt-near-{id}"),
            far: format!("egt-far-{id}"),
            servers: Vec::new(),
        };
        for ns in [&net.near, &net.far] {
            run("ip", &["netns", "add", ns]);
            run("ip", &["-n", ns, "link", "set", "lo", "up"]);
        }
        let (near, far) = (net.near.as_str(), net.far.as_str());
        run(
            "ip",
            &[
                "link", "add", "up0", "netns", near, "type", "veth", "peer", "name", "up0",
                "netns", far,
            ],
        );
        for (ns, v4, v6) in [(near, NEAR4, "fd77::1"), (far, FAR4, FAR6)] {
            run(
                "ip",
                &["-n", ns, "addr", "add", &format!("{v4}/24"), "dev", "up0"],
            );
            run(
                "ip",
                &[
                    "-n",
                    ns,
                    "addr",
                    "add",
                    &format!("{v6}/64"),
                    "dev",
                    "up0",
                    "nodad",
                ],
            );
            run("ip", &["-n", ns, "link", "set", "up0", "up"]);
        }
        let etc = PathBuf::from("/etc/netns").join(near);
        fs::create_dir_all(&etc).unwrap();
        fs::write(
            etc.join("resolv.conf"),
            format!("nameserver {FAR4}\noptions timeout:2\n"),
        )
        .unwrap();
        // A fresh veth pair drops packets at first. A refusal proves both directions.
        for ip in [FAR4, FAR6] {
            eventually("the pair carries traffic", || {
                let output = net.command(dial()).args(["tcp", ip, "9"]).output().unwrap();
                text(&output.stderr).contains("refused").then_some(())
            });
        }
        net
    }

    /// The inode number of the far namespace, as the column `netns` has it.
    pub fn far_inode(&self) -> u64 {
        fs::metadata(format!("/run/netns/{}", self.far))
            .unwrap()
            .ino()
    }

    pub fn near_inode(&self) -> u64 {
        fs::metadata(format!("/run/netns/{}", self.near))
            .unwrap()
            .ino()
    }

    /// A command inside the near namespace.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.near]).arg(program);
        command
    }

    /// `egrets record --db DB -- …` with the command inside the near namespace: a recorder
    /// for this command alone. [`Net::observe`] is cheaper.
    pub fn record(&self, db: &Path, command: &[&str]) -> Output {
        let mut egrets = egrets();
        egrets.args(["record", "--db"]).arg(db).arg("--");
        egrets
            .args(["ip", "netns", "exec", &self.near])
            .args(command);
        egrets.output().unwrap()
    }

    /// A real dnsmasq on the far side that answers with these options.
    pub fn dnsmasq(&mut self, options: &[&str]) {
        let child = Command::new("ip")
            .args([
                "netns",
                "exec",
                &self.far,
                "dnsmasq",
                "--keep-in-foreground",
            ])
            .args([
                "--conf-file=/dev/null",
                "--no-resolv",
                "--no-hosts",
                "--pid-file=",
            ])
            .args([
                "--user=root",
                "--bind-interfaces",
                "--local-ttl=60",
                "--cache-size=0",
            ])
            .args(options)
            .stderr(Stdio::null())
            .spawn()
            .expect("dnsmasq");
        self.servers.push(Guard(child));
        let port = options.iter().find_map(|o| o.strip_prefix("--port="));
        eventually("dnsmasq answers", || {
            let at = format!("@{FAR4}");
            let dig = self
                .command("dig")
                .args(["+tries=1", "+time=1", "-p", port.unwrap_or("53"), &at])
                .args(["version.bind", "chaos", "txt"])
                .output()
                .unwrap();
            dig.status.success().then_some(())
        });
    }

    /// Runs on a thread inside the far namespace, whose sockets stay there.
    pub fn far<T: Send>(&self, make: impl FnOnce() -> T + Send) -> T {
        within(&self.far, make)
    }

    /// The same inside the near namespace. Programs started from there have not the mounts of
    /// `command`.
    pub fn near<T: Send>(&self, make: impl FnOnce() -> T + Send) -> T {
        within(&self.near, make)
    }

    /// An HTTP server that answers every request with `body` and closes.
    pub fn http(&self, body: &'static str) -> u16 {
        let listener = self.far(|| TcpListener::bind("[::]:0").unwrap());
        // More than 128 may connect at once; without room a SYN is dropped and sent again after 1 s.
        SockRef::from(&listener).listen(4_096).unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || answer(stream, body));
            }
        });
        port
    }

    /// A server that ends each connection at its first bytes: by closing it, or by a reset.
    pub fn farewell(&self, reset: bool) -> u16 {
        let listener = self.far(|| TcpListener::bind("[::]:0").unwrap());
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                thread::spawn(move || {
                    let _ = stream.read(&mut [0; 16]);
                    if reset {
                        let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                        return;
                    }
                    let _ = stream.shutdown(Shutdown::Write);
                    let _ = stream.read_to_end(&mut Vec::new());
                });
            }
        });
        port
    }

    /// A UDP server that sends every datagram back.
    pub fn echo(&self) -> u16 {
        let socket = self.far(|| UdpSocket::bind("0.0.0.0:0").unwrap());
        let port = socket.local_addr().unwrap().port();
        thread::spawn(move || {
            let mut data = [0; 65_536];
            while let Ok((len, from)) = socket.recv_from(&mut data) {
                let _ = socket.send_to(&data[..len], from);
            }
        });
        port
    }

    /// Routes all of 10.77.1.0/24 to the far side, where every address of it is local.
    pub fn many_addresses(&self) {
        self.route_to_far(MANY4);
    }

    /// The same with another network.
    pub fn route_to_far(&self, network: &str) {
        let to_far = ["route", "add", network, "via", FAR4];
        run("ip", &[&["-n", &self.near][..], &to_far].concat());
        let own = ["route", "add", "local", network, "dev", "lo"];
        run("ip", &[&["-n", &self.far][..], &own].concat());
    }

    /// A DNS server on the far side that answers each message with those that `reply`
    /// returns for it.
    pub fn dns(&self, reply: impl FnMut(&[u8]) -> Vec<Vec<u8>> + Send + 'static) {
        self.dns_at(FAR4, reply);
    }

    /// The same at another of the far side's addresses.
    pub fn dns_at(
        &self,
        ip: &'static str,
        mut reply: impl FnMut(&[u8]) -> Vec<Vec<u8>> + Send + 'static,
    ) {
        let socket = self.far(move || UdpSocket::bind((ip, 53)).unwrap());
        thread::spawn(move || {
            let mut data = [0; 4096];
            while let Ok((len, from)) = socket.recv_from(&mut data) {
                for message in reply(&data[..len]) {
                    let _ = socket.send_to(&message, from);
                }
            }
        });
    }
}

fn within<T: Send>(netns: &str, make: impl FnOnce() -> T + Send) -> T {
    let ns = File::open(format!("/run/netns/{netns}")).unwrap();
    thread::scope(|scope| {
        let run = || {
            move_into_link_name_space(ns.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            make()
        };
        scope.spawn(run).join().unwrap()
    })
}

/// An answer to an address query, as name servers send it.
pub fn addresses(query: &[u8], addresses: &[Ipv4Addr], ttl: u32) -> Vec<u8> {
    let query = Packet::parse(query).unwrap();
    let mut reply = Packet::new_reply(query.id());
    for question in &query.questions {
        for address in addresses {
            let rdata = RData::A(A::from(*address));
            let name = question.qname.clone();
            reply
                .answers
                .push(ResourceRecord::new(name, CLASS::IN, ttl, rdata));
        }
    }
    reply.questions = query.questions.clone();
    reply.build_bytes_vec().unwrap()
}

fn answer(mut stream: std::net::TcpStream, body: &str) {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => request.push(byte[0]),
            _ => return,
        }
    }
    let _ = write!(
        stream,
        "HTTP/1.0 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
}

impl Drop for Net {
    fn drop(&mut self) {
        self.servers.clear();
        for ns in [&self.near, &self.far] {
            if let (Ok(file), Ok(mut ended)) =
                (File::open(format!("/run/netns/{ns}")), ENDED.lock())
            {
                ended.push(file);
            }
            let _ = Command::new("ip").args(["netns", "del", ns]).output();
        }
        let _ = fs::remove_dir_all(PathBuf::from("/etc/netns").join(&self.near));
    }
}

/// Sets an option of a socket that socket2 does not have, as setsockopt(2) takes it.
pub fn set_option(socket: &impl AsRawFd, level: i32, name: i32, value: &[u8]) {
    // SAFETY: a valid descriptor; the kernel reads that many bytes of value.
    let failed = unsafe {
        let data = value.as_ptr().cast();
        libc::setsockopt(socket.as_raw_fd(), level, name, data, value.len() as u32)
    };
    assert_eq!(failed, 0, "{}", std::io::Error::last_os_error());
}

/// Sends descriptors into a Unix socket.
pub fn park(socket: &UnixStream, files: &[impl AsFd]) {
    let files: Vec<BorrowedFd<'_>> = files.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut message = SendAncillaryBuffer::new(&mut space);
    assert!(message.push(SendAncillaryMessage::ScmRights(&files)));
    let byte = [IoSlice::new(b"x")];
    sendmsg(socket, &byte, &mut message, SendFlags::empty()).unwrap();
}

/// Takes the one that was sent there first.
pub fn unpark(socket: &UnixStream) -> OwnedFd {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut message = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let into = &mut [IoSliceMut::new(&mut byte)];
    recvmsg(socket, into, &mut message, RecvFlags::empty()).unwrap();
    let files = message.drain().find_map(|part| match part {
        RecvAncillaryMessage::ScmRights(mut files) => files.next(),
        _ => None,
    });
    files.unwrap()
}
