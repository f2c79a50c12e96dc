//! All tests of `dsc-bpf` in one program, which is linked once; a file by its name: `cargo test -p dsc-bpf NAME::`.

mod begun;
mod early;
mod frames;
mod inject;
mod lease;
mod model;
mod node;
mod packets;
mod place;
mod puts;
mod rows;
mod run;
mod source;
mod table;
mod wire;
