//! What a recorder has in the kernel: programs, maps and links.

use std::fs;
use std::mem::offset_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use egrets::capture::types::{egrets_share, egrets_shared, egrets_size};
use libbpf_rs::{MapCore, MapFlags, MapHandle, libbpf_sys};

use super::Recorder;

/// Their ids, with what opens each.
pub struct KernelObjects(Vec<(unsafe extern "C" fn(u32) -> i32, u32)>);

impl KernelObjects {
    pub fn of(recorder: &Recorder) -> KernelObjects {
        let mut ids = Vec::new();
        for info in descriptors(recorder) {
            let opens: [(_, unsafe extern "C" fn(u32) -> i32); 3] = [
                ("prog_id:", libbpf_sys::bpf_prog_get_fd_by_id),
                ("map_id:", libbpf_sys::bpf_map_get_fd_by_id),
                ("link_id:", libbpf_sys::bpf_link_get_fd_by_id),
            ];
            ids.extend(
                opens
                    .iter()
                    .filter_map(|(field, open)| Some((*open, id(&info, field)?))),
            );
        }
        assert!(ids.len() > 60, "{} objects", ids.len());
        KernelObjects(ids)
    }

    pub fn are_gone(&self) -> bool {
        let mut left = self.0.iter().filter(|(open, id)| {
            // SAFETY: takes any number.
            let fd = unsafe { open(*id) };
            // SAFETY: the kernel has just opened it.
            fd >= 0 && unsafe { OwnedFd::from_raw_fd(fd) }.as_raw_fd() >= 0
        });
        left.next().is_none()
    }
}

/// What the kernel tells of each descriptor of a recorder (proc_pid_fdinfo(5)).
fn descriptors(recorder: &Recorder) -> impl Iterator<Item = String> + use<> {
    let files = fs::read_dir(format!("/proc/{}/fdinfo", recorder.pid())).unwrap();
    files.filter_map(|file| fs::read_to_string(file.ok()?.path()).ok())
}

fn id(info: &str, field: &str) -> Option<u32> {
    let line = info.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().parse().ok()
}

/// A BPF map of that recorder.
pub fn bpf_map(recorder: &Recorder, name: &str) -> MapHandle {
    descriptors(recorder)
        .filter_map(|info| id(&info, "map_id:"))
        .map(|id| MapHandle::from_map_id(id).unwrap())
        .find(|map| map.name() == name)
        .unwrap()
}

/// What all users have of something, by the BPF programs' own count: a field of
/// `struct egrets_share`, by its offset.
pub fn sum_of_shares(recorder: &Recorder, field: usize) -> usize {
    let data = bpf_map(recorder, ".bss.shared").lookup(&0_u32.to_ne_bytes(), MapFlags::ANY);
    let data = data.unwrap().unwrap();
    let len = egrets_size::EGRETS_SHARES.0 as usize * size_of::<egrets_share>();
    let shares = &data[offset_of!(egrets_shared, shares)..][..len];
    let shares = shares.chunks_exact(size_of::<egrets_share>());
    let counts =
        shares.map(|share| u32::from_ne_bytes(share[field..field + 4].try_into().unwrap()));
    counts.map(|n| n as usize).sum()
}
