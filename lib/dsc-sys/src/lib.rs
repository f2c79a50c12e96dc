//! The only room with clock, sockets, netlink, ZeroMQ and the scheduler. Programs use it; the pure crates never see
//! it. One file, one door to the system; nothing here decides anything about the cluster.
//!
//! ```text
//!   clock  alarm     paths, udp        local            link  nic  load      realtime  notify  single
//!     |      |            |              |                |    |    |            |        |      |
//!  BOOTTIME timerfd   peers' packets  /run/dsc/*      netlink getifaddrs /proc  sched  systemd  flock
//! ```

pub mod address;
mod advice;
mod arrival;
pub mod capability;
pub mod clock;
pub mod connect;
pub mod echo;
pub mod end;
pub mod frames;
pub mod keyfile;
pub mod link;
pub mod listen;
pub mod load;
pub mod local;
pub mod log;
pub mod nic;
pub mod notify;
pub mod packets;
pub mod paths;
pub mod random;
pub mod readiness;
pub mod realtime;
pub mod script;
pub mod sighting;
pub mod single;
pub mod udp;
