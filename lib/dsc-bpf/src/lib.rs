//! dsc-bpf
