//! dsc-mon

fn main() {}
