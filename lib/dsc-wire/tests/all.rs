//! All tests of `dsc-wire` in one program, which is linked once; a file by its name: `cargo test -p dsc-wire NAME::`.

mod fuzz;
mod packet;
mod token;
mod tokens;
