//! What is counted, each with the name that people see.

dsc_wire::counts! {
    /// Records that this node put into its stream.
    RecordSent = "records_sent",
    /// Records of peers' streams, each once.
    RecordReceived = "records_received",
    /// Records that this node sent again because a peer asked.
    RecordRepeated = "records_repeated",
    /// Records of a peer that this node told again after the peer went.
    RecordRelayed = "records_relayed",
    /// Records that were here already.
    RecordKnown = "records_known",
    /// Records behind a gap for which there was no room; they are asked for later.
    RecordUnheld = "records_unheld",
    /// A flow that cannot be told: its ends are of different families.
    RecordRefused = "records_refused",
    /// Records were missing from a peer's stream.
    Gap = "gaps",
    /// Its sender could not repeat them any more: a copy was needed.
    GapLost = "gaps_lost",
    /// Records were asked for.
    AskSent = "gaps_asked",
    /// A copy was asked for.
    CopyAsked = "copies_asked",
    /// A copy was taken to its end.
    CopyWhole = "copies_whole",
    /// A copy came to no end: its giver was silent, gone, or had given it up.
    CopyAbandoned = "copies_abandoned",
    /// This node hosts without a copy, since no other node knows more.
    CopyForgone = "copies_forgone",
    /// A copy was begun for a peer.
    CopyGiven = "copies_given",
    /// A peer was refused one, because this node does not know all flows.
    CopyRefused = "copies_refused",
    /// Flows of a copy that had ended meanwhile.
    CopyFlowGone = "copy_flows_gone",
    /// Datagrams that mean nothing, or come from nobody.
    Malformed = "share_malformed",
    /// Pieces of a copy that nobody waits for, and positions that cannot be.
    Stale = "share_stale",
}
