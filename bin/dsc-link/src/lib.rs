//! The highly available link: a proxy on the VIP that goes on with a download on another backend when the one that sends it
//! fails (P6; §B.5, claim 9).
//!
//! ```text
//!   client ── connection ── relay ── exchange ── backend A ✕           one request of a client; what it says to backends
//!                             │
//!                            pump ─────────────── backend A ✕          the answer's body, byte for byte
//!                             └── rest ────────── backend B            when A fails: Range and If-Range, only an exact 206 goes on
//! ```

pub mod access_log;
pub mod backend;
pub mod balance;
pub mod certificates;
pub mod connection;
pub mod counters;
mod dial;
pub mod downloads;
mod drive;
mod exchange;
mod ftp;
mod limits;
mod logged;
mod piece;
mod pool;
mod prefixed;
mod proxy_header;
mod pump;
mod relay;
mod reply;
mod request;
mod rest;
pub mod seats;
mod sender;
pub mod service;
mod source;
mod strip;
mod tunnel;
mod upload;
mod watched;
pub mod workers;
