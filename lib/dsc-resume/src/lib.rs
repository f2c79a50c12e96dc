//! How a download goes on after its server failed: validators, ranges, what may be repeated (RFC 9110), and the FTP protocol as
//! far as a relay needs it. Pure: no clock, no sockets.
//!
//! ```text
//!   object   0        first             first + sent                end       total
//!            ├──────────┼───────────────────┼──────────────────────────┼─────────┤
//!   response            │ sent to the client│  the rest, of another    │
//!                                    ├──────┤  backend: 206, If-Range
//!                                   overlap: fetched again and compared
//! ```

mod date;
pub mod ftp;
mod head;
mod range;
mod resume;
mod tail;
mod validator;

pub use date::http_date;
pub use head::{Field, Head};
pub use range::{Asked, ContentRange, RANGES_MAX};
pub use resume::{Continue, Refusal, Rest, Resumable, Unfit};
pub use tail::Tail;
pub use validator::{STRONG_AFTER_S, Validator, Weakness};

/// Most bytes that are fetched again and compared.
pub const OVERLAP_MAX: u32 = 65_536;
