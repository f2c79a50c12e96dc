//! All tests of `dsc-resume` in one program, which is linked once; a file by its name: `cargo test -p dsc-resume NAME::`.

mod ftp;
mod fuzz;
mod resume;
mod server;
