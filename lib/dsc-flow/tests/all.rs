//! All tests of `dsc-flow` in one program, which is linked once; a file by its name: `cargo test -p dsc-flow NAME::`.

mod chaos;
mod fuzz;
mod maglev;
mod share;
mod world;
