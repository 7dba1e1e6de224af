//! TUN and TAP devices: what a process writes into one leaves the host without a socket, so that
//! no hook can tell whose it is. This names them and the processes that hold them.

use std::fs;
use std::path::Path;

use procfs::process::{FDTarget, Process};

/// IFF_TAP, include/uapi/linux/if_tun.h.
const IFF_TAP: u32 = 2;
/// Devices that are looked at: users can make any number in their own network namespaces.
const MAX_DEVICES: usize = 64;

/// A device of egrets' own network namespace.
#[derive(Debug, PartialEq, Eq)]
pub struct TunDevice {
    pub name: String,
    pub tap: bool,
    /// Processes that have it open: pid and short name.
    pub holders: Vec<(i32, String)>,
}

/// Devices that are there now. What can't be read is left out.
pub fn devices() -> Vec<TunDevice> {
    let mut devices: Vec<TunDevice> = fs::read_dir("/sys/class/net")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| device(&entry.path()))
        .take(MAX_DEVICES)
        .collect();
    if !devices.is_empty() {
        for process in procfs::process::all_processes().into_iter().flatten() {
            // A process may end at any moment.
            let _ = process.map(|process| add_holder(&mut devices, &process));
        }
    }
    devices.sort_by(|a, b| a.name.cmp(&b.name));
    devices
}

fn device(path: &Path) -> Option<TunDevice> {
    let flags = fs::read_to_string(path.join("tun_flags")).ok()?;
    let flags = u32::from_str_radix(flags.trim().strip_prefix("0x")?, 16).ok()?;
    Some(TunDevice {
        name: path.file_name()?.to_str()?.to_owned(),
        tap: flags & IFF_TAP != 0,
        holders: Vec::new(),
    })
}

fn add_holder(devices: &mut [TunDevice], process: &Process) -> Option<()> {
    let mut names: Vec<String> = process
        .fd()
        .ok()?
        .flatten()
        .filter(|fd| matches!(&fd.target, FDTarget::Path(path) if path == "/dev/net/tun"))
        .filter_map(|fd| {
            let info = fs::read_to_string(format!("/proc/{}/fdinfo/{}", process.pid, fd.fd));
            interface(&info.ok()?).map(str::to_owned)
        })
        .collect();
    names.sort();
    names.dedup();
    for device in devices.iter_mut().filter(|d| names.contains(&d.name)) {
        let comm = process.stat().ok()?.comm;
        device.holders.push((process.pid, comm));
    }
    Some(())
}

/// tun_chr_show_fdinfo() in drivers/net/tun.c.
fn interface(fdinfo: &str) -> Option<&str> {
    let name = fdinfo.lines().find_map(|line| line.strip_prefix("iff:"))?;
    Some(name.trim()).filter(|name| !name.is_empty())
}
