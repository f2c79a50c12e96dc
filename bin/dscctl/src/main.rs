//! dscctl

fn main() {}
