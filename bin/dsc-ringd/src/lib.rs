//! The ring daemon's rooms. The simulator uses [`member`] alone, which touches no system.
//!
//! ```text
//!   peers -- paths --+                  +-- lease map
//!                    +--> daemon <------+
//!    node -- doors --+      |  ^        +-- control (questions, events)
//!                           v  |        +-- facts
//!                          member
//! ```

pub mod control;
pub mod daemon;
pub mod doors;
pub mod facts;
pub mod member;
pub mod words;
