//! dsc-rml
