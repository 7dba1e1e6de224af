//! Where public addresses are, and whose network they are in.

/// What the files of `--geo` say of an address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Geo {
    /// Two letters, ISO 3166-1.
    pub country: Option<String>,
    /// Number of the autonomous system.
    pub asn: Option<u32>,
    /// Who runs that.
    pub as_org: Option<String>,
}
