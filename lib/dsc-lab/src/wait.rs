//! Waiting for a condition, with a bound: nothing in the lab sleeps a guess.

use crate::error::{Error, Result};
use std::time::{Duration, Instant};

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// Asks until `condition` gives something; `what` is what is waited for, for the error.
///
/// # Errors
/// `limit_ms` have passed.
pub fn until<T>(what: &str, limit_ms: u64, mut condition: impl FnMut() -> Option<T>) -> Result<T> {
    let end = Instant::now() + Duration::from_millis(limit_ms);
    loop {
        if let Some(value) = condition() {
            return Ok(value);
        }
        if Instant::now() >= end {
            return Err(Error::new(format!("see that {what}"), format!("not in {limit_ms} ms")));
        }
        std::thread::sleep(LOOK);
    }
}

/// Lets a stretch of observation pass: for "nothing happens in this time", where there is no condition.
pub fn observe(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}
