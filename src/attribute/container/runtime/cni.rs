//! Addresses that a network plugin gave a container: libcni caches the result of each call in
//! `results/NETWORK-CONTAINER-INTERFACE` (containernetworking/cni, libcni/api.go). containerd's
//! pods, nerdctl's containers and podman's on CNI networks have theirs there.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::json_file::{Source, read};

const RESULTS: &str = "var/lib/cni/results";
/// Files looked at. A host has some hundred pods with two files each.
const MAX_RESULTS: usize = 65_536;

#[derive(Deserialize)]
struct CachedResult {
    result: AddResult,
}

/// A plugin's answer: CNI specification, "ADD Success".
#[derive(Deserialize)]
struct AddResult {
    #[serde(default)]
    ips: Vec<AssignedIp>,
}

#[derive(Deserialize)]
struct AssignedIp {
    /// With its prefix length: `10.244.1.7/24`.
    address: String,
}

/// The first address of a container or pod sandbox, from the files below `root`.
pub fn address(root: &Path, id: &str) -> Option<String> {
    let mine = format!("-{id}-");
    let results = fs::read_dir(root.join(RESULTS)).ok()?;
    let mut paths: Vec<_> = results
        .flatten()
        .take(MAX_RESULTS)
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.contains(&mine) && !name.ends_with("-lo")
        })
        .map(|entry| entry.path())
        .collect();
    paths.sort(); // with several networks, the same one each time
    paths.iter().find_map(|path| {
        let cached: CachedResult = read(path, Source::System)?;
        let ip = cached.result.ips.into_iter().next()?;
        ip.address.split('/').next().map(str::to_string)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_is_of_the_first_network_and_not_loopback() {
        let root = tempfile::tempdir().unwrap();
        let results = root.path().join(RESULTS);
        fs::create_dir_all(&results).unwrap();
        let write = |name: &str, text: &str| fs::write(results.join(name), text).unwrap();
        let cached = |address: &str| {
            format!(
                r#"{{"kind":"cniCacheV1","containerId":"s1","ifName":"eth0","networkName":"pods",
                    "result":{{"cniVersion":"1.0.0","ips":[{{"address":"{address}","interface":2}}]}}}}"#
            )
        };
        assert_eq!(address(root.path(), "s1"), None);
        write("cni-loopback-s1-lo", &cached("127.0.0.1/8"));
        write("pods-s1-eth0", &cached("10.244.1.7/24"));
        write("zone-s1-net1", &cached("192.168.9.9/24"));
        write("pods-s2-eth0", "{");
        write("pods-default-s3-eth0", &cached("fd00::7/64"));
        assert_eq!(address(root.path(), "s1").as_deref(), Some("10.244.1.7"));
        assert_eq!(address(root.path(), "s2"), None);
        assert_eq!(address(root.path(), "s3").as_deref(), Some("fd00::7"));
        assert_eq!(address(root.path(), "s"), None);
    }
}
