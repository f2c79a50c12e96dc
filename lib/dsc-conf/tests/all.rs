//! All tests of `dsc-conf` in one program, which is linked once; a file by its name: `cargo test -p dsc-conf NAME::`.

mod changes;
mod fuzz;
mod golden;
mod import;
mod join;
mod link;
mod numbers;
mod reading;
mod stored;
