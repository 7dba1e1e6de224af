use super::frame::{parse_reply, read_request, write_reply, write_request};
use super::*;

const STAMP: FileStamp = FileStamp {
    device: 1,
    inode: 2,
    size: 3,
    changed: (4, 5),
};

#[test]
fn messages_are_read_as_written_and_only_when_complete() {
    for reply in [
        Reply::Content(STAMP, b"192.0.2.1 a.test\n".to_vec()),
        Reply::Content(STAMP, Vec::new()),
        Reply::Unchanged,
        Reply::Refused("not a regular file".into()),
        Reply::Gone,
    ] {
        let mut bytes = Vec::new();
        write_reply(&mut bytes, &reply).unwrap();
        for len in 0..bytes.len() {
            assert_eq!(parse_reply(&bytes[..len]).unwrap(), None, "{len} bytes");
        }
        assert_eq!(parse_reply(&bytes).unwrap(), Some(reply));
    }
    let mut bytes = Vec::new();
    write_request(&mut bytes, &FileRequest::Hosts { stamp: Some(STAMP) }).unwrap();
    let mut input = &bytes[..];
    let request = read_request(&mut input).unwrap();
    assert!(matches!(
        request,
        Some(FileRequest::Hosts { stamp: Some(STAMP) })
    ));
    assert!(read_request(&mut input).unwrap().is_none());
    assert!(read_request(&mut &[0xff; 8][..]).is_err());
    assert!(parse_reply(&[0xff; 8]).is_err());
}
