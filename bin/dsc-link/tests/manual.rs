//! The manual page and the program offer the same options and commands.

#[test]
fn the_page_and_the_program_agree() {
    let wrong = dsc_test_workspace::manual::compare("dsc-link", env!("CARGO_BIN_EXE_dsc-link"));
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}
