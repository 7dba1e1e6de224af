//! What the client and its peer in tests/coverage.rs agree on: how much comes back, so
//! that each direction is a number of its own, and the keys of TLS.

use std::io::{Error, Result};
use std::os::fd::AsRawFd;

/// How many bytes the peer sends over TCP once it has got so many.
pub fn back(bytes: usize) -> usize {
    2 * bytes + 7
}

/// Each datagram is answered by so many …
pub const ANSWERS: usize = 2;

/// … of this length. An empty one gets empty ones.
pub fn answer(len: usize) -> usize {
    match len {
        0 => 0,
        _ => len + 11,
    }
}

/// What `shapes::duplex` has sent by a peer that sends at the same time.
pub fn meanwhile(bytes: usize) -> usize {
    bytes + bytes / 2
}

/// struct tls12_crypto_info_aes_gcm_128, include/uapi/linux/tls.h
#[repr(C)]
struct AesGcm128 {
    version: u16,
    cipher: u16,
    iv: [u8; 8],
    key: [u8; 16],
    salt: [u8; 4],
    record: [u8; 8],
}

const TLS_1_2_VERSION: u16 = 0x0303;
const TLS_1_3_VERSION: u16 = 0x0304;
const TLS_CIPHER_AES_GCM_128: u16 = 51;
const TLS_TX: libc::c_int = 1;
const TLS_RX: libc::c_int = 2;

/// Makes the kernel encrypt and decrypt what passes a TCP connection, from here on and
/// with a key that is not secret. As after a real handshake of TLS 1.2, a record
/// has gone each way already; after one of TLS 1.3 none has, under these keys.
pub fn encrypt(socket: &impl AsRawFd, tls13: bool) -> Result<()> {
    let info = AesGcm128 {
        version: if tls13 {
            TLS_1_3_VERSION
        } else {
            TLS_1_2_VERSION
        },
        cipher: TLS_CIPHER_AES_GCM_128,
        iv: [1; 8],
        key: [2; 16],
        salt: [3; 4],
        record: u64::from(!tls13).to_be_bytes(),
    };
    let name = c"tls";
    option(socket, libc::IPPROTO_TCP, libc::TCP_ULP, name.to_bytes())?;
    for way in [TLS_TX, TLS_RX] {
        option(socket, libc::SOL_TLS, way, &info)?;
    }
    Ok(())
}

/// setsockopt
pub fn option<T: ?Sized>(
    socket: &impl AsRawFd,
    level: libc::c_int,
    name: libc::c_int,
    value: &T,
) -> Result<()> {
    let len = size_of_val(value) as libc::socklen_t;
    let value = (&raw const *value).cast();
    // SAFETY: the value is plain data of that length.
    match unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, value, len) } {
        0 => Ok(()),
        _ => Err(Error::last_os_error()),
    }
}
