//! A connection: the peer sends back once all has come.

use std::net::{Shutdown, SocketAddr, TcpStream};

use crate::agreed::{back, encrypt};
use crate::calls::{Done, all, error};
use crate::ways::{Receiver, Sender};

pub fn run(way: &str, to: SocketAddr, count: usize, size: usize) -> Done {
    let stream = TcpStream::connect(to)?;
    let (out, into) = match way {
        "ktls" | "ktls-1.3" => {
            encrypt(&stream, way == "ktls-1.3")?;
            ("write", "read")
        }
        _ => way
            .strip_prefix("in-")
            .map_or((way, "read"), |into| ("write", into)),
    };
    let data = vec![b'x'; size];
    let mut sender = Sender::new(out, &stream, None, &data)?;
    let mut receiver = Receiver::new(into, &stream)?;
    for _ in 0..count {
        all(&data, |rest| sender.send(rest))?;
    }
    stream.shutdown(Shutdown::Write)?;
    let mut got = 0;
    receiver.receive(|n| {
        got += n;
        Ok(n == 0)
    })?;
    match got == back(count * size) {
        true => Ok(()),
        false => Err(error(format!("{got} bytes came back"))),
    }
}
