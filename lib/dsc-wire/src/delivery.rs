//! The words between a protocol and the reliable messages under it (§B.1). The protocol names each message it
//! sends and each verdict it owes; neither crate knows the other.

/// Names a message that the layer above sent; chosen by it, never reused in one incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SendId(pub u64);

/// Names a message that arrived whole and waits for its verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Receipt(pub u64);

/// Most bytes of a verdict; it travels inside the last acknowledgement.
pub const VERDICT_MAX: usize = 64;
/// Most bytes of one reliable message.
pub const MESSAGE_MAX: usize = 256 * 1024;
