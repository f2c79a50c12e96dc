//! All tests of `dsc-mon` in one program, which is linked once; a file by its name: `cargo test -p dsc-mon NAME::`.

mod carrier;
mod manual;
