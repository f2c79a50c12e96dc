//! dsc-lab
