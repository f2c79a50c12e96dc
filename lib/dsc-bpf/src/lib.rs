//! The kernel's part of DSC: the programs (C, in `bpf/`), the maps they share with the daemons, and their loader.
//!
//! ```text
//!   dsc-ringd --- LeaseMap ---> lease, hosts ---+        (one store per change, no call into the kernel)
//!                                               v
//!   dsc-fwd ----- Datapath ---> vips, peers --> ingress, egress on each subnet's interface
//!                     ^                            |
//!                     +--- counters, conflicts ----+
//! ```
//! Called by `dsc-ringd` (the lease alone) and `dsc-fwd` (everything else). It never decides who hosts what.

mod bpffs;
mod call;
mod claims;
mod clsact;
mod datapath;
mod direction;
mod error;
mod hook;
mod layout;
mod lease;
mod links;
mod tc;

pub use claims::Claims;
pub use datapath::{Datapath, Nic, VipCount};
pub use error::Error;
pub use hook::Hook;
pub use lease::LeaseMap;

/// Directory below `<bpf-dir>` that holds everything pinned. It changes when a layout changes, so that programs
/// and daemons of two builds that disagree never meet.
pub const LAYOUT: &str = "v1";
