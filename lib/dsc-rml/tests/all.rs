//! All tests of `dsc-rml` in one program, which is linked once; a file by its name: `cargo test -p dsc-rml NAME::`.

mod chaos;
mod fuzz;
mod links;
mod lives;
mod messages;
mod net;
mod tacit;
