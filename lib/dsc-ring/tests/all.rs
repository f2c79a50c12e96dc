//! All tests of `dsc-ring` in one program, which is linked once; a file by its name: `cargo test -p dsc-ring NAME::`.

mod backends;
mod balance;
mod config;
mod duty;
mod fuzz;
mod health;
mod lights;
mod ring;
mod tacit;
mod world;
