//! All entries of a map, read many at a time.

use std::os::fd::AsRawFd;

use anyhow::{Context, Result, bail};
use libbpf_rs::{MapCore, libbpf_sys};

/// Entries of one system call, at first.
const AT_ONCE: u32 = 4096;

/// What is tried if a bucket of the map has more.
const MOST_AT_ONCE: u32 = 1 << 20;

/// Keys and values. What changes meanwhile may be in it or not; what stays is.
///
/// # Errors
/// The kernel can't read it like this.
pub fn entries<M: MapCore + ?Sized>(map: &M) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let (key_len, value_len) = (map.key_size() as usize, map.value_size() as usize);
    // a hash has the number of a bucket there, an array a key
    let mut from = vec![0_u8; key_len.max(4)];
    let mut to = from.clone();
    let (mut is_first, mut room, mut all) = (true, AT_ONCE, Vec::new());
    let options = libbpf_sys::bpf_map_batch_opts {
        sz: size_of::<libbpf_sys::bpf_map_batch_opts>() as _,
        ..Default::default()
    };
    loop {
        let mut keys = vec![0_u8; room as usize * key_len];
        let mut values = vec![0_u8; room as usize * value_len];
        let mut count = room;
        let start = match is_first {
            true => std::ptr::null_mut(),
            false => from.as_mut_ptr(),
        };
        // SAFETY: the buffers have room for `count` keys and values, and for a position; all of
        // them, and the options, outlive the call.
        let result = unsafe {
            libbpf_sys::bpf_map_lookup_batch(
                map.as_fd().as_raw_fd(),
                start.cast(),
                to.as_mut_ptr().cast(),
                keys.as_mut_ptr().cast(),
                values.as_mut_ptr().cast(),
                &mut count,
                &options,
            )
        };
        match -result {
            0 | libc::ENOENT => {}
            libc::EINTR => continue,
            libc::ENOSPC if room < MOST_AT_ONCE => {
                room *= 2;
                continue;
            }
            error => {
                let error = std::io::Error::from_raw_os_error(error);
                return Err(error).with_context(|| map.name().display().to_string());
            }
        }
        let keys = keys.chunks_exact(key_len).map(<[u8]>::to_vec);
        let values = values.chunks_exact(value_len).map(<[u8]>::to_vec);
        all.extend(keys.zip(values).take(count as usize));
        if result != 0 {
            return Ok(all);
        }
        if all.len() > map.max_entries() as usize * 2 {
            bail!("{} changes too fast to be read", map.name().display());
        }
        std::mem::swap(&mut from, &mut to);
        is_first = false;
    }
}
