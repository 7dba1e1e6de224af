//! Strings of HPACK in Huffman code: RFC 7541, section 5.2 and appendix B. Pure.

const SYMBOLS: usize = 257;
/// End of string, which no string has in it.
const EOS: u16 = 256;
const LONGEST: usize = 30;

/// The bits of each symbol's code. The code is canonical: these determine it.
const LENGTHS: [u8; SYMBOLS] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, //
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, //
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, //
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, //
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, //
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, //
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, //
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, //
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, //
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, //
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, //
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, //
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, //
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, //
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, //
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, //
    30,
];

/// How many codes there are of each length, and the symbols in the order of their codes.
const COUNTS: [u32; LONGEST + 1] = counts();
const SORTED: [u16; SYMBOLS] = sorted();

const fn counts() -> [u32; LONGEST + 1] {
    let mut counts = [0; LONGEST + 1];
    let mut symbol = 0;
    while symbol < SYMBOLS {
        counts[LENGTHS[symbol] as usize] += 1;
        symbol += 1;
    }
    counts
}

const fn sorted() -> [u16; SYMBOLS] {
    let mut sorted = [0; SYMBOLS];
    let (mut length, mut next) = (1, 0);
    while length <= LONGEST {
        let mut symbol = 0;
        while symbol < SYMBOLS {
            if LENGTHS[symbol] as usize == length {
                sorted[next] = symbol as u16;
                next += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    sorted
}

/// None for what no encoder writes.
pub fn decode(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(bytes.len() * 8 / 5);
    let mut code = Code::default();
    for byte in bytes {
        for shift in (0..8).rev() {
            match code.bit(u32::from(byte >> shift & 1)) {
                Some(EOS) => return None,
                Some(symbol) => text.push(symbol as u8),
                None => {}
            }
        }
    }
    code.is_padding().then_some(text)
}

/// The bits of a symbol so far.
#[derive(Default)]
struct Code {
    bits: u32,
    length: usize,
    /// The first code of this length, and its place among all symbols.
    first: u32,
    place: u32,
}

impl Code {
    /// The symbol that this bit completes.
    fn bit(&mut self, bit: u32) -> Option<u16> {
        self.length += 1;
        self.bits = self.bits << 1 | bit;
        self.first <<= 1;
        let count = COUNTS[self.length];
        let above = self.bits - self.first;
        if above < count {
            let symbol = SORTED[(self.place + above) as usize];
            *self = Code::default();
            return Some(symbol);
        }
        self.place += count;
        self.first += count;
        None
    }

    /// The beginning of EOS, shorter than a byte.
    fn is_padding(&self) -> bool {
        self.length < 8 && self.bits == (1 << self.length) - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 7541, appendix C.4 and C.6, and appendix B for the last ones.
    #[test]
    fn strings_of_the_standard() {
        for (code, text) in [
            (
                &b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff"[..],
                &b"www.example.com"[..],
            ),
            (b"\xa8\xeb\x10\x64\x9c\xbf", b"no-cache"),
            (b"\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf", b"custom-value"),
            (b"\x64\x02", b"302"),
            (b"", b""),
            (b"\xff\xff\xff\xf3", b"\n"),
            (b"\xff\xff\xfb\xbf", b"\xff"),
        ] {
            assert_eq!(decode(code).as_deref(), Some(text));
        }
        let too_long_padding = b"\x64\x02\xff";
        let no_padding = b"\x00";
        let end_of_string = b"\xff\xff\xff\xff";
        for code in [&too_long_padding[..], no_padding, end_of_string] {
            assert_eq!(decode(code), None, "{code:x?}");
        }
    }

    /// The code of each symbol, by the rule of canonical codes.
    fn codes() -> Vec<(u32, usize)> {
        let mut codes = vec![(0, 0); SYMBOLS];
        let (mut code, mut length) = (0u32, 0);
        for symbol in SORTED.map(usize::from) {
            let own = usize::from(LENGTHS[symbol]);
            code <<= own - length;
            length = own;
            codes[symbol] = (code, length);
            code += 1;
        }
        // no code is left
        assert_eq!(code, 1 << length);
        codes
    }

    proptest! {
        #[test]
        fn every_string_is_decoded(text in prop::collection::vec(any::<u8>(), 0..300)) {
            let codes = codes();
            let mut bits: Vec<bool> = Vec::new();
            for symbol in &text {
                let (code, length) = codes[usize::from(*symbol)];
                bits.extend((0..length).rev().map(|i| code >> i & 1 == 1));
            }
            bits.resize(bits.len().next_multiple_of(8), true);
            let byte = |bits: &[bool]| bits.iter().fold(0u8, |byte, bit| byte << 1 | u8::from(*bit));
            let bytes: Vec<u8> = bits.chunks(8).map(byte).collect();
            prop_assert_eq!(decode(&bytes), Some(text));
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            decode(&bytes);
        }
    }
}
