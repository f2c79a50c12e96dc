//! dsc-ring
