//! One check, pure: when to probe, and what light follows from how the probes end (§A.6). The driver makes the probes and feeds
//! their ends and the time. No clock, no sockets; what is probed is unknown here.
//!
//! ```text
//!            rise successes                       fall failures
//!   yellow ────────────────▶ green ◀────────────▶ red          a probe that cannot run, or has no end, has failed
//!                                  held red while it changed too often in the last hour
//! ```

mod check;
mod damping;

pub use check::{Check, Input, Output, Settings, Start};
pub use damping::CHANGES_MAX;
