//! All tests of `dsc-ringd` in one program, which is linked once; a file by its name: `cargo test -p dsc-ringd NAME::`.

mod apply;
mod cluster;
mod fuzz;
mod manual;
mod ring;
