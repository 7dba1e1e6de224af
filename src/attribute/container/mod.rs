//! Containers: which one a process is in, by its cgroup path, and what its runtime reports
//! about it. In come cgroup paths; out go containers, and their details as updates. What a
//! runtime does not report stays unknown.

pub mod cgroup_path;
mod cgroups;
mod delegation;
mod entries;
mod query_budget;
mod runtime;
mod table;

pub use cgroups::{CgroupPaths, ROOT_ID};
pub use table::Containers;
