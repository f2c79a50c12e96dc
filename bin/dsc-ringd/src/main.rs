//! dsc-ringd

fn main() {}
