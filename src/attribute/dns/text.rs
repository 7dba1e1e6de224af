//! Names and bytes of messages as text.

use simple_dns::Name;

/// A name in lower case without the trailing dot; the root is ".".
pub fn name(name: &Name<'_>) -> String {
    let mut text = String::new();
    for label in name.get_labels() {
        if !text.is_empty() {
            text.push('.');
        }
        escape(label.as_ref(), b".", &mut text);
    }
    if text.is_empty() {
        text.push('.');
    }
    text.make_ascii_lowercase();
    text
}

/// Escapes bytes as in RFC 1035 section 5.1: `\DDD` for unprintable ones, a backslash before
/// itself and the `special` ones.
pub fn escape(bytes: &[u8], special: &[u8], out: &mut String) {
    for &b in bytes {
        match b {
            b'\\' => out.push_str("\\\\"),
            b if special.contains(&b) => {
                out.push('\\');
                out.push(b as char);
            }
            0x21..=0x7e => out.push(b as char),
            b => out.push_str(&format!("\\{b:03}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::dns::fixture::n;

    #[test]
    fn unprintable_bytes_are_escaped() {
        let hostile = Name::new_with_labels(&[
            simple_dns::Label::new_unchecked(b"a\x1b[2J".to_vec()),
            simple_dns::Label::new_unchecked(b"x.y \\".to_vec()),
        ]);
        assert_eq!(name(&hostile), r"a\027[2j.x\.y\032\\");
        assert_eq!(name(&n(".")), ".");
    }
}
