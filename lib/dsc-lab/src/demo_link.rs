//! The demo's downloads through the link: the server that sends some of them dies, and each still comes to its end.

use crate::demo_text::say;
use crate::error::{Error, Result};
use crate::lab::Lab;
use crate::services::host_address;
use crate::topology::host_machine;
use crate::transfers::{Tally, Transfers};
use crate::{fault, links, program, services};

/// Downloads at once.
pub const DOWNLOADS: usize = 50;
/// The server that dies; nobody else's connections end there.
const VICTIM: usize = 2;
/// Longest wait for all to be under way, and for all to have ended, ms.
const LIMIT_MS: u64 = 30_000;

/// It dies in the middle of the downloads, and is started again when they have ended. Returns when it died.
pub fn dies(lab: &Lab, json: bool) -> Result<u64> {
    let downloads = Transfers::start(lab, &services::link(&lab.plan), DOWNLOADS)?;
    downloads.wait_running(LIMIT_MS)?;
    let (server, machine) = (host_address(VICTIM, false), host_machine(VICTIM).name);
    let running = links::all_running(lab)?;
    let own = running.iter().filter(|r| r.backend.is_some_and(|b| b.ip() == server)).count();
    let (before, _) = links::resumes(lab)?;
    let at_ns = fault::kill_on(lab, &machine, program::NGINX)?;
    let tally = downloads.wait_ended(LIMIT_MS)?;
    let (resumes, _) = links::resumes(lab)?;
    say(
        json,
        &format!(
            "it sent {own} of {DOWNLOADS} downloads; {} went on from another server; {} complete, every byte compared",
            resumes - before,
            tally.complete
        ),
    );
    let whole = Tally { asked: DOWNLOADS, complete: DOWNLOADS, ..Tally::default() };
    if tally != whole || own == 0 {
        return Err(Error::new("see every download complete", format!("{tally:?}")));
    }
    program::start_web(lab, &machine)?;
    Ok(at_ns)
}
