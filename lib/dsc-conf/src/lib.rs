//! dsc-conf
