//! The kernel's part of DSC: the programs (C, in `bpf/`), the maps they share with the daemons, and their loader.
//!
//! ```text
//!   dsc-ringd --- LeaseMap ---> lease, hosts ---+        (one store per change, no call into the kernel)
//!                                               v
//!   dsc-fwd ----- Datapath ---> vips, peers, --> ingress, egress on each subnet's interface
//!                     ^         services          |  |
//!                     |  <----> flows <-----------+  |
//!                     +- counters, conflicts, news --+
//! ```
//! Called by `dsc-ringd` (the lease alone), `dsc-mon` (frames that its filter checks bring in) and `dsc-fwd` (everything else).
//! It never decides who hosts what.

mod bpffs;
mod call;
mod claims;
mod clsact;
mod datapath;
mod direction;
mod early;
mod entry;
mod error;
mod features;
mod flows;
mod hook;
mod inject;
mod layout;
mod lease;
mod leftovers;
mod links;
mod maps;
mod netlink;
mod news;
mod outgrown;
mod programs;
mod puts;
mod services;
mod sources;
mod tc;

pub use claims::Claims;
pub use datapath::{Datapath, Nic, Opened, VipCount};
pub use error::Error;
pub use flows::{FlowTable, Seen, Walk};
pub use hook::Hook;
pub use inject::Inject;
pub use layout::{MAGLEV_EMPTY, MAGLEV_SIZE};
pub use lease::LeaseMap;
pub use news::{Held, News, Told};
pub use puts::Put;
pub use services::{Backend, BackendCount, Service};
pub use sources::{Source, Zone};

/// Directory below `<bpf-dir>` that holds the maps of `dsc-fwd`. It changes when a layout changes, so that programs and maps
/// of two builds that disagree never meet. The lease, who hosts what, and where programs are attached are beside it: they
/// are the same for all builds, whichever of them `dsc-ringd` and `dsc-fwd` are of.
pub const LAYOUT: &str = "v6";

/// An address as the maps hold it: IPv4 in the first four bytes.
fn octets(address: std::net::IpAddr) -> [u8; 16] {
    match address {
        std::net::IpAddr::V4(a) => {
            let mut octets = [0; 16];
            octets[..4].copy_from_slice(&a.octets());
            octets
        }
        std::net::IpAddr::V6(a) => a.octets(),
    }
}
