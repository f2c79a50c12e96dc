//! dsc-sys
