//! All tests of `dscctl` in one program, which is linked once; a file by its name: `cargo test -p dscctl NAME::`.

mod answer;
mod backend;
mod check;
mod config;
mod fake;
mod golden;
mod link;
mod longest;
mod manual;
mod metrics;
mod page;
mod program;
mod prometheus;
mod pty;
mod terminal;
mod top;
