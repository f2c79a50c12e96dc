//! Rooms of the data path daemon that need no kernel program.

pub mod share;
