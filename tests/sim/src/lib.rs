//! A cruel little universe: a whole cluster in one process, in virtual time, from one seed. The real ring and the
//! real reliable messages (`dsc_ringd::member`) run on simulated machines and wires; audits look after every
//! step; in the end everything is healed and must come to rest within a bound.
//!
//! ```text
//!   seed -> plan + draw (faults) -> run -> inject -> world -- turn --> Member
//!                                    |                |  \-- network (fate of packets)
//!                                 settle            audit (kernel maps, keys) - backends
//! ```

pub mod audit;
pub mod backends;
pub mod clock;
pub mod configs;
pub mod disk;
mod draw;
mod facts;
pub mod fault;
pub mod health;
mod inject;
pub mod kernel;
pub mod lights;
pub mod machine;
pub mod network;
pub mod plan;
pub mod random;
pub mod run;
pub mod settle;
pub mod trace;
pub mod world;
