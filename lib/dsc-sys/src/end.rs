//! How a daemon ends that cannot start or go on: what it says, and the exit code that its service manager goes by.

use crate::log;
use std::process::ExitCode;

/// `EX_CONFIG` of sysexits.h. The units do not start again what ended so.
const CONFIGURATION: u8 = 78;

/// Why a daemon ends.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// Its configuration is broken: another try would meet the same one.
    Configuration(String),
    /// Another try may go better.
    Other(String),
}

impl From<String> for End {
    fn from(problem: String) -> End {
        End::Other(problem)
    }
}

/// The exit code of `program`, which says on standard error what the problem is, if there is one.
pub fn of(program: &str, result: Result<(), End>) -> ExitCode {
    let (problem, code) = match result {
        Ok(()) => return ExitCode::SUCCESS,
        Err(End::Configuration(problem)) => (problem, ExitCode::from(CONFIGURATION)),
        Err(End::Other(problem)) => (problem, ExitCode::FAILURE),
    };
    log::last_words(program, &problem);
    code
}
