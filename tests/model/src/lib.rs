//! The explorer: forks a small world of real rings at every tick for every fault of a menu, so that every pair of
//! faults is tried, not only those that chance finds (RULES.md of dsc-ring). Messages are
//! exchanged by a few lines of its own, one tick a hop; `tests/sim` runs the ring on the real reliable messages.

pub mod exchange;
pub mod explore;
pub mod menu;
pub mod world;
