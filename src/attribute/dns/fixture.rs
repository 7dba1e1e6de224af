//! Messages for tests.

use simple_dns::rdata::{A, RData};
use simple_dns::{CLASS, Name, Packet, ResourceRecord, TYPE};

/// An answer to a question for WWW.Example.com, with these records.
pub fn answer(records: Vec<(&str, RData<'static>)>) -> Vec<u8> {
    let mut packet = Packet::new_reply(7);
    packet.questions.push(simple_dns::Question::new(
        Name::new("WWW.Example.com").unwrap(),
        TYPE::A.into(),
        CLASS::IN.into(),
        false,
    ));
    for (owner, rdata) in records {
        let owner = Name::new(owner).unwrap().into_owned();
        packet
            .answers
            .push(ResourceRecord::new(owner, CLASS::IN, 60, rdata));
    }
    packet.build_bytes_vec_compressed().unwrap()
}

pub fn n(name: &str) -> Name<'static> {
    Name::new(name).unwrap().into_owned()
}

pub fn a(ip: [u8; 4]) -> RData<'static> {
    RData::A(A {
        address: u32::from_be_bytes(ip),
    })
}
