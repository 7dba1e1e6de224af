//! Messages on a stream: the length of a JSON header, the header, and the bytes that it
//! announces.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

use super::protocol::{ExecutableReport, FileRequest, FileStamp, MAX_CONTENT, Reply};

/// A path is the longest part of a request, a reason that of a reply.
const MAX_HEADER: usize = 16 << 10;
const LENGTH: usize = size_of::<u32>();

#[derive(Serialize, Deserialize)]
enum ReplyHeader {
    Content { stamp: FileStamp, bytes: u64 },
    Unchanged,
    Refused(String),
    Gone,
    Executable(Box<ExecutableReport>),
}

fn header(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(value)?;
    if json.len() > MAX_HEADER {
        return Err(io::Error::other("message too long"));
    }
    Ok([&(json.len() as u32).to_be_bytes()[..], &json].concat())
}

pub fn write_request(out: &mut impl Write, request: &FileRequest) -> io::Result<()> {
    out.write_all(&header(request)?)
}

/// None at the end of the stream.
pub fn read_request(input: &mut impl Read) -> io::Result<Option<FileRequest>> {
    let mut length = [0; LENGTH];
    if input.read(&mut length[..1])? == 0 {
        return Ok(None);
    }
    input.read_exact(&mut length[1..])?;
    let length = u32::from_be_bytes(length) as usize;
    if length > MAX_HEADER {
        return Err(io::Error::other("message too long"));
    }
    let mut json = vec![0; length];
    input.read_exact(&mut json)?;
    Ok(Some(serde_json::from_slice(&json)?))
}

pub fn write_reply(out: &mut impl Write, reply: &Reply) -> io::Result<()> {
    let (value, bytes) = match reply {
        Reply::Content(stamp, bytes) => {
            let (stamp, len) = (*stamp, bytes.len() as u64);
            (ReplyHeader::Content { stamp, bytes: len }, &bytes[..])
        }
        Reply::Unchanged => (ReplyHeader::Unchanged, &[][..]),
        Reply::Gone => (ReplyHeader::Gone, &[][..]),
        Reply::Refused(why) => (ReplyHeader::Refused(why.clone()), &[][..]),
        Reply::Executable(report) => (ReplyHeader::Executable(report.clone()), &[][..]),
    };
    out.write_all(&header(&value)?)?;
    out.write_all(bytes)
}

/// The reply at the beginning of `received`; None where it is not complete yet.
pub fn parse_reply(received: &[u8]) -> io::Result<Option<Reply>> {
    let Some((length, rest)) = received.split_first_chunk::<LENGTH>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(*length) as usize;
    if length > MAX_HEADER {
        return Err(io::Error::other("message too long"));
    }
    let Some((json, content)) = rest.split_at_checked(length) else {
        return Ok(None);
    };
    Ok(match serde_json::from_slice(json)? {
        ReplyHeader::Unchanged => Some(Reply::Unchanged),
        ReplyHeader::Gone => Some(Reply::Gone),
        ReplyHeader::Refused(why) => Some(Reply::Refused(why)),
        ReplyHeader::Executable(report) => Some(Reply::Executable(report)),
        ReplyHeader::Content { bytes, .. } if bytes > MAX_CONTENT => {
            return Err(io::Error::other("file too long"));
        }
        ReplyHeader::Content { stamp, bytes } if bytes == content.len() as u64 => {
            Some(Reply::Content(stamp, content.to_vec()))
        }
        ReplyHeader::Content { .. } => None,
    })
}
