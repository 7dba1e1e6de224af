//! Packets as bytes.

use std::net::IpAddr;

/// The sum of RFC 1071.
fn checksum(data: &[u8]) -> u16 {
    let mut sum: u32 = data
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// An echo request, RFC 792 and RFC 4443, whose sum the kernel corrects where it is IPv6's.
pub fn echo(kind: u8, sequence: u16, size: usize) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0, 0x12, 0x34];
    message.extend(sequence.to_be_bytes());
    message.resize(8 + size, b'x');
    let sum = checksum(&message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    message
}

/// An IP packet. The kernel fills in the source, IPv4's length and sum.
pub fn ip(to: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = match to {
        IpAddr::V4(to) => {
            let mut header = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0, 0, 0, 0, 0];
            header.extend(to.octets());
            header
        }
        IpAddr::V6(to) => {
            let mut header = vec![0x60, 0, 0, 0];
            header.extend((payload.len() as u16).to_be_bytes());
            header.extend([protocol, 64]);
            header.extend([0; 16]);
            header.extend(to.octets());
            header
        }
    };
    packet.extend(payload);
    packet
}
