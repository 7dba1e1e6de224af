//! A container as Docker describes it, in an answer or in a file.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::attribute::container::runtime::json_file;
use crate::model::ContainerDetails;

/// The answer of `GET /containers/ID/json`. The file that Docker keeps of a container has the
/// same keys.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Inspect {
    name: Option<String>,
    config: Option<InspectConfig>,
    network_settings: Option<InspectNetworks>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InspectConfig {
    hostname: Option<String>,
    image: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InspectNetworks {
    /// Removed in API 1.52.
    #[serde(rename = "IPAddress")]
    ip_address: Option<String>,
    networks: Option<BTreeMap<String, InspectNetwork>>,
}

#[derive(Deserialize)]
struct InspectNetwork {
    #[serde(rename = "IPAddress")]
    ip_address: Option<String>,
    #[serde(rename = "GlobalIPv6Address")]
    ipv6_address: Option<String>,
}

/// Docker writes what is unset as an empty text.
pub fn non_empty(text: Option<String>) -> Option<String> {
    text.filter(|t| !t.is_empty())
}

/// What the container's file below Docker's data root says.
pub fn file_in(
    data_root: &Path,
    id: &str,
    source: json_file::Source<'_>,
) -> Option<ContainerDetails> {
    let path = data_root.join("containers").join(id).join("config.v2.json");
    json_file::read::<Inspect>(&path, source).map(Inspect::details)
}

impl Inspect {
    pub fn details(self) -> ContainerDetails {
        let (hostname, image) = self.config.map_or((None, None), |c| (c.hostname, c.image));
        let ip = self.network_settings.and_then(|n| {
            non_empty(n.ip_address).or_else(|| {
                let networks = n.networks.unwrap_or_default();
                networks
                    .into_values()
                    .find_map(|n| non_empty(n.ip_address).or(non_empty(n.ipv6_address)))
            })
        });
        ContainerDetails {
            name: non_empty(self.name).map(|n| n.trim_start_matches('/').to_string()),
            image: non_empty(image),
            hostname: non_empty(hostname),
            ip,
            runtime: Some("docker"),
            ..ContainerDetails::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn details(json: &str) -> ContainerDetails {
        serde_json::from_str::<Inspect>(json).unwrap().details()
    }

    #[test]
    fn answers_of_old_and_new_daemons_are_read() {
        let old = r#"{"Name":"/web","Config":{"Hostname":"h","Image":"img:1"},
            "NetworkSettings":{"IPAddress":"172.17.0.2","Networks":{}}}"#;
        let new = r#"{"Name":"/web","Config":{"Hostname":"h","Image":"img:1"},
            "NetworkSettings":{"Networks":{"own":{"IPAddress":"172.17.0.2"}}}}"#;
        let expected = ContainerDetails {
            name: Some("web".into()),
            image: Some("img:1".into()),
            hostname: Some("h".into()),
            ip: Some("172.17.0.2".into()),
            runtime: Some("docker"),
            ..ContainerDetails::default()
        };
        assert_eq!(details(old), expected);
        assert_eq!(details(new), expected);
    }

    #[test]
    fn what_the_daemon_leaves_out_is_unknown() {
        let host = r#"{"Name":"/x","NetworkSettings":{"IPAddress":"","Networks":{"host":{"IPAddress":""}}}}"#;
        let details = details(host);
        assert_eq!((details.ip, details.hostname), (None, None));
    }
}
