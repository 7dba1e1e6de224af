//! Packets as bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

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

/// Where a frame goes, and what is odd about it.
pub struct Frame {
    pub to: SocketAddr,
    pub payload: usize,
    /// Types of VLAN tags, the outer one first.
    pub tags: &'static [u16],
    pub odd: Odd,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Odd {
    No,
    /// No IP in it.
    OtherType,
    /// Ends within IP's header.
    Truncated,
    /// IPv4's header says that it is shorter than one can be.
    Short,
    /// A later fragment.
    Fragment,
    /// IPv4's options, IPv6's extension headers.
    Options,
}

const UDP: u8 = 17;

impl Frame {
    pub fn bytes(&self) -> Vec<u8> {
        let mut frame = vec![0xff; 6]; // broadcast: no neighbour has to be resolved
        frame.extend([2, 0, 0, 0, 0, 1]);
        for tag in self.tags {
            frame.extend(tag.to_be_bytes());
            frame.extend(7u16.to_be_bytes());
        }
        let kind: u16 = match (self.odd, self.to.is_ipv4()) {
            (Odd::OtherType, _) => 0x88b5, // for experiments, IEEE 802
            (_, true) => 0x0800,
            (_, false) => 0x86dd,
        };
        frame.extend(kind.to_be_bytes());
        frame.extend(self.packet());
        frame
    }

    /// Without the link's header.
    pub fn packet(&self) -> Vec<u8> {
        let mut packet = match self.to.ip() {
            IpAddr::V4(to) => self.ipv4(to),
            IpAddr::V6(to) => self.ipv6(to),
        };
        packet.extend(9u16.to_be_bytes()); // UDP: from the port of discard
        packet.extend(self.to.port().to_be_bytes());
        packet.extend((8 + self.payload as u16).to_be_bytes());
        packet.extend([0, 0]);
        packet.resize(packet.len() + self.payload, b'x');
        if self.odd == Odd::Truncated {
            packet.truncate(10);
        }
        packet
    }

    fn ipv4(&self, to: Ipv4Addr) -> Vec<u8> {
        let options: &[u8] = match self.odd {
            Odd::Options => &[1, 1, 1, 1, 1, 1, 1, 0], // RFC 791: nothing, and the end
            _ => &[],
        };
        let fragment: u16 = if self.odd == Odd::Fragment {
            1480 / 8
        } else {
            0
        };
        let len = 20 + options.len();
        let total = len + 8 + self.payload;
        let words = if self.odd == Odd::Short { 4 } else { len / 4 };
        let mut header = vec![0x40 | words as u8, 0];
        header.extend((total as u16).to_be_bytes());
        header.extend([0, 1]);
        header.extend(fragment.to_be_bytes());
        header.extend([64, UDP, 0, 0]);
        header.extend(Ipv4Addr::new(10, 77, 0, 1).octets());
        header.extend(to.octets());
        header.extend(options);
        let sum = checksum(&header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        header
    }

    fn ipv6(&self, to: Ipv6Addr) -> Vec<u8> {
        // RFC 8200: each names the next one, and is 8 bytes long
        let mut extensions: Vec<[u8; 8]> = Vec::new();
        let mut next = UDP;
        if self.odd == Odd::Fragment {
            let [high, low] = 1480u16.to_be_bytes();
            extensions.push([next, 0, high, low, 0, 0, 0, 1]);
            next = 44;
        }
        if self.odd == Odd::Options {
            for kind in [60, 43, 0] {
                extensions.insert(0, [next, 0, 1, 4, 0, 0, 0, 0]); // padding, RFC 8200
                next = kind;
            }
        }
        let length = extensions.len() * 8 + 8 + self.payload;
        let mut header = vec![0x60, 0, 0, 0];
        header.extend((length as u16).to_be_bytes());
        header.extend([next, 64]);
        header.extend(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1).octets());
        header.extend(to.octets());
        header.extend(extensions.concat());
        header
    }
}
