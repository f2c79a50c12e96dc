//! What of a transfer goes into the access log.

use super::control::Server;
use super::session::{Gone, Session};
use crate::access_log::Ended;
use crate::logged::Logged;
use dsc_resume::ftp::Reply;
use hyper::StatusCode;

/// The transfer was cut, and the client could not be told.
const CUT: u16 = 426;

/// What was seen of a transfer.
#[derive(Default)]
pub(super) struct Tally {
    /// Bytes that went to the client.
    pub(super) sent: u64,
    /// Did all come to where it was sent?
    pub(super) is_whole: bool,
    /// So often it went on from another server.
    pub(super) resumes: u32,
}

impl Session {
    /// Writes a transfer into the access log, if there is one.
    pub(super) fn log(
        &self,
        logged: Option<Logged>,
        tally: &Tally,
        end: &Result<Option<Reply>, Gone>,
    ) {
        let Some(logged) = logged else { return };
        let code = match end {
            Ok(Some(reply)) => reply.code,
            _ => CUT,
        };
        logged.ended(Ended {
            status: StatusCode::from_u16(code).unwrap_or_default(),
            sent: tally.sent,
            whole: tally.is_whole,
            backend: self.server.as_ref().map(Server::address),
            resumes: tally.resumes,
        });
    }
}
