//! dscctl: the operator's command. Hands its arguments to the library and ends with the exit code it gives.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(dscctl::run(std::env::args_os()))
}
