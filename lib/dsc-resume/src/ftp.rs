//! The FTP protocol (RFC 959, 2428, 3659) as far as a relay between a client and several equal servers needs it: what is said
//! on the control connection, what a session has to be told again elsewhere, and whether another server may go on with a
//! download.
//!
//! ```text
//!   client -- line --> command --+--> session --- replay ------> commands for another server
//!                                |
//!   server -- line --> reply ----+--> transfer -- judgement ---> go on, or Refusal
//! ```

mod address;
mod command;
mod line;
mod refusal;
mod reply;
mod session;
mod transfer;

pub use address::{
    BadAddress, active, epsv_reply, extended_passive, extended_port, passive, pasv_reply, port,
};
pub use command::{BadCommand, Command, Verb};
pub use line::{BadLine, LINE_MAX, Lines};
pub use refusal::Refusal;
pub use reply::{BadReply, REPLY_MAX, Replies, Reply};
pub use session::{Replay, Representation, Session};
pub use transfer::{End, Step, Transfer};
