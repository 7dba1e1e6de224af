//! Sockets that two processes use: one creates it, connects and sends the first piece, and
//! ends; the other sends the rest. Who they are is printed. And one that waits, or is on its way
//! through a Unix socket meanwhile, or with a process of another user.

use std::io::{Error, IoSlice, IoSliceMut, Read, Result, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::exit;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use super::{Run, Socket, check, frames};

/// `inherit-` by fork, or `pass-` over a Unix socket.
pub fn send(run: &Run, passed: bool, way: &str) -> Result<()> {
    let (near, far) = UnixStream::pair()?;
    let maker = std::process::id();
    if passed {
        // before there is a socket to inherit
        let child = fork()?;
        if child == 0 {
            rest(run, way, maker, &receive(&far)?);
        }
        let socket = first(run, way)?;
        give(&near, &socket)?;
        println!("{maker} {child}");
        return Ok(());
    }
    let socket = first(run, way)?;
    let child = fork()?;
    if child == 0 {
        rest(run, way, maker, &socket);
    }
    println!("{maker} {child}");
    Ok(())
}

/// Makes the socket, says "ready", and uses it once a line has come.
pub fn wait(run: &Run, way: &str) -> Result<()> {
    let socket = make(run, way)?;
    ready()?;
    (0..run.count).try_for_each(|_| piece(run, way, &socket))
}

/// The same with a socket that no process holds until then.
pub fn park(run: &Run, way: &str) -> Result<()> {
    let (near, far) = UnixStream::pair()?;
    give(&near, &make(run, way)?)?;
    ready()?;
    let socket = receive(&far)?;
    (0..run.count).try_for_each(|_| piece(run, way, &socket))
}

/// Users of no account: who creates a socket, and who is sent it.
const MAKER: libc::uid_t = 4321;
const KEEPER: libc::uid_t = 4322;

/// Sends the socket to a process of another user, which started earlier. The maker keeps it, or has
/// it back when a line has come; then it uses it.
pub fn lend(run: &Run, way: &str, keeps: bool) -> Result<()> {
    let (mut near, mut far) = UnixStream::pair()?;
    let maker = fork()?;
    if maker == 0 {
        drop(far); // or it would wait for a keeper that has ended
        let used = become_user(MAKER).and_then(|()| {
            let socket = make(run, way)?;
            give(&near, &socket)?;
            let _kept = keeps.then_some(socket);
            near.write_all(b"x")?;
            let socket = receive(&near)?;
            (0..run.count).try_for_each(|_| piece(run, way, &socket))
        });
        exit(if used.is_ok() { 0 } else { 1 });
    }
    become_user(KEEPER)?;
    let socket = receive(&far)?;
    far.read_exact(&mut [0])?;
    ready()?;
    give(&far, &socket)?;
    drop(socket);
    let mut status = 0;
    // SAFETY: a child, and a place for its status.
    check(unsafe { libc::waitpid(maker, &raw mut status, 0) } as isize)?;
    match status {
        0 => Ok(()),
        _ => Err(Error::other("the maker could not use its socket")),
    }
}

fn become_user(uid: libc::uid_t) -> Result<()> {
    // SAFETY: there is one thread.
    check(unsafe { libc::setresuid(uid, uid, uid) } as isize).map(drop)
}

fn ready() -> Result<()> {
    println!("ready");
    std::io::stdin().read_line(&mut String::new()).map(drop)
}

pub const THREADS: usize = 4;

/// Threads that use one socket; each gets its number.
pub fn at_once(each: impl Fn(usize) -> Result<()> + Sync) -> Result<()> {
    std::thread::scope(|scope| {
        let each = &each;
        let threads: Vec<_> = (0..THREADS).map(|i| scope.spawn(move || each(i))).collect();
        threads.into_iter().try_for_each(|thread| {
            let done = thread.join();
            done.map_err(|_| Error::other("a thread broke"))?
        })
    })
}

/// 0 in the child.
fn fork() -> Result<i32> {
    // SAFETY: there is one thread.
    check(unsafe { libc::fork() } as isize).map(|pid| pid as i32)
}

fn first(run: &Run, way: &str) -> Result<Socket> {
    let socket = make(run, way)?;
    piece(run, way, &socket)?;
    Ok(socket)
}

fn make(run: &Run, way: &str) -> Result<Socket> {
    let family = run.family();
    let socket = match way {
        "tcp" => Socket::new(family, libc::SOCK_STREAM, 0)?,
        "udp" => Socket::new(family, libc::SOCK_DGRAM, 0)?,
        "ping" => Socket::new(family, libc::SOCK_DGRAM, libc::IPPROTO_ICMP)?,
        "raw" => Socket::new(family, libc::SOCK_RAW, run.to.port().into())?,
        _ => frames::socket(libc::SOCK_RAW)?,
    };
    if way == "tcp" {
        socket.connect(run.to)?;
    }
    Ok(socket)
}

/// The other process: until its parent has ended, and then all but the first piece.
fn rest(run: &Run, way: &str, maker: u32, socket: &Socket) -> ! {
    while std::os::unix::process::parent_id() == maker {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let sent = (1..run.count).try_for_each(|_| piece(run, way, socket));
    exit(if sent.is_ok() { 0 } else { 1 })
}

/// Sends one, and waits until it is back.
fn piece(run: &Run, way: &str, socket: &Socket) -> Result<()> {
    let mut data = vec![b'x'; run.size];
    match way {
        "tcp" => socket.send(&data)?,
        "ping" => {
            // an echo request, whose identifier and checksum the kernel writes
            data.splice(..0, [8, 0, 0, 0, 0, 0, 0, 0]);
            socket.send_to(&data, run.to)?;
        }
        "udp" => socket.send_to(&data, run.to)?,
        "raw" => socket.send_to(&data, run.host())?,
        _ => return frames::plain(run, socket),
    }
    match way {
        "tcp" => socket.receive_all(run.size),
        _ => socket.receive().map(drop),
    }
}

fn give(to: &UnixStream, socket: &Socket) -> Result<()> {
    // SAFETY: open as long as the socket is.
    let files = [unsafe { BorrowedFd::borrow_raw(socket.0) }];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut message = SendAncillaryBuffer::new(&mut space);
    message.push(SendAncillaryMessage::ScmRights(&files));
    sendmsg(to, &[IoSlice::new(b"x")], &mut message, SendFlags::empty())?;
    Ok(())
}

fn receive(from: &UnixStream) -> Result<Socket> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut message = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let into = &mut [IoSliceMut::new(&mut byte)];
    recvmsg(from.as_fd(), into, &mut message, RecvFlags::empty())?;
    let files = message.drain().find_map(|part| match part {
        RecvAncillaryMessage::ScmRights(mut files) => files.next(),
        _ => None,
    });
    let file: OwnedFd = files.ok_or(Error::other("no socket came"))?;
    Ok(Socket(file.into_raw_fd()))
}
