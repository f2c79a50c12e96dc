//! All tests of `dsc-fwd` in one program, which is linked once; a file by its name: `cargo test -p dsc-fwd NAME::`.

mod clsact;
mod flows;
mod manual;
mod net;
mod real;
mod share;
mod states;
