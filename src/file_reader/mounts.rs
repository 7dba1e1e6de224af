//! File systems that no file is read from: what answers may be another process or another host,
//! and reading may have an effect. Pure, but for the list of a process' mounts.

use std::io::{BufRead, BufReader, Read};
use std::os::fd::AsFd;

use anyhow::{Result, bail};
use rustix::fs::fstatfs;

/// Magic numbers of the file systems that files are read from (include/uapi/linux/magic.h and
/// the file systems' own headers).
const LOCAL: [u64; 19] = [
    0x0102_1994, // tmpfs
    0x8584_58f6, // ramfs
    0xef53,      // ext2, ext3, ext4
    0x5846_5342, // XFS
    0x9123_683e, // Btrfs
    0x2fc1_2fc1, // ZFS
    0xca45_1a4e, // bcachefs
    0xf2f5_2010, // F2FS
    0x3153_464a, // JFS
    0x5265_4973, // ReiserFS
    0x3434,      // NILFS
    0x794c_7630, // overlayfs
    0x6175_6673, // aufs
    0x7371_7368, // SquashFS
    0xe0f5_e1e2, // EROFS
    0x9660,      // ISO 9660
    0x1501_3346, // UDF
    0x4d44,      // FAT
    0x2011_bab0, // exFAT
];

/// # Errors
/// The file system is none of [`LOCAL`].
pub fn require_local(file: impl AsFd) -> Result<()> {
    let found = fstatfs(file)?.f_type as u64 & 0xffff_ffff;
    if !LOCAL.contains(&found) {
        bail!("on a file system of type {found:#x}, which is not read");
    }
    Ok(())
}

/// Of proc_pid_mountinfo(5), which may have as many lines as fs.mount-max.
const MAX_MOUNTINFO: u64 = 1 << 20;

/// Types of mountinfo whose server is a process or another host.
const SERVED: [&str; 9] = [
    "fuseblk", "nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "afs", "virtiofs",
];

/// Whether the way to /etc/hosts leads over a file system that may make its reader hang. It
/// may still do so below an overlay: this only saves most of the workers from it.
pub fn hosts_is_served(mountinfo: impl Read) -> bool {
    let lines = BufReader::new(mountinfo.take(MAX_MOUNTINFO)).split(b'\n');
    // A layer of an overlay may be any of the namespace's mounts.
    let (mut overlaid, mut fuse) = (false, false);
    for line in lines.map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        let Some((mount, file_system)) = line.split_once(" - ") else {
            continue;
        };
        let at = mount.split(' ').nth(4).unwrap_or_default();
        let kind = file_system.split(' ').next().unwrap_or_default();
        let is_fuse = kind.split('.').next() == Some("fuse");
        fuse |= is_fuse;
        if matches!(at, "/" | "/etc" | "/etc/hosts") {
            if is_fuse || SERVED.contains(&kind) {
                return true;
            }
            overlaid |= kind == "overlay";
        }
    }
    overlaid && fuse
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(lines: &[(&str, &str)]) -> bool {
        let line = |(at, kind): &(&str, &str)| format!("29 1 8:1 / {at} rw - {kind} dev rw\n");
        let text: String = lines.iter().map(line).collect();
        hosts_is_served(text.as_bytes())
    }

    #[test]
    fn served_file_systems_on_the_way_to_the_file_are_found_below_an_overlay_too() {
        assert!(!served(&[("/", "ext4"), ("/etc/hosts", "tmpfs")]));
        assert!(!served(&[("/", "overlay"), ("/proc", "proc")]));
        assert!(!served(&[("/", "ext4"), ("/mnt/far", "fuse.sshfs")]));
        assert!(served(&[("/", "ext4"), ("/etc", "fuse.sshfs")]));
        assert!(served(&[("/", "nfs4")]));
        assert!(served(&[("/mnt/f", "fuse"), ("/etc", "overlay")]));
        assert!(served(&[("/etc", "overlay"), ("/mnt/f", "fuse.x")]));
        assert!(!hosts_is_served(&b"\xff\n - \n29 1\n"[..]));
    }

    #[test]
    fn procfs_is_not_read() {
        let file = std::fs::File::open("/proc/self/stat").unwrap();
        assert!(require_local(&file).is_err());
        assert!(require_local(tempfile::tempfile().unwrap()).is_ok());
    }
}
