//! dsc-fwd

fn main() {}
