//! What is counted, each with the name that people see.

dsc_wire::counts! {
    /// Handed to the driver.
    PacketSent = "packets_sent",
    /// Taken from the driver.
    PacketReceived = "packets_received",
    /// For another node, or on a path that its header does not name, or from nobody configured.
    PacketMisaddressed = "packets_misaddressed",
    /// For another life of this node.
    PacketForOtherLife = "packets_for_other_life",
    /// From a life of the sender that has not answered a challenge.
    PacketUnproven = "packets_unproven",
    /// Seen before, or too old to tell.
    PacketReplayed = "packets_replayed",
    /// A reply to no challenge of ours.
    ReplyUnasked = "replies_unasked",
    /// A peer's life was proven to be the present one.
    LifeProven = "lives_proven",
    /// A challenge went out.
    HelloSent = "hellos_sent",
    /// A path was asked whether it works.
    ProbeSent = "probes_sent",
    /// A path that worked stopped.
    PathLost = "paths_lost",
    /// Messages taken from the layer above.
    MessageSent = "messages_sent",
    /// Judged by their receivers.
    MessageDelivered = "messages_delivered",
    /// Known by the layer above to have arrived, without an acknowledgement.
    MessageArrived = "messages_arrived",
    /// Not acknowledged in time.
    MessageFailed = "messages_failed",
    /// Too long, to a node that shares no path, or above the bound of messages in flight.
    MessageRefused = "messages_refused",
    /// A message was sent again after a time-out.
    MessageRetried = "messages_retried",
    /// Received whole for the first time.
    MessageReceived = "messages_received",
    /// A piece of a message that was already judged: its acknowledgement had been lost or late.
    MessageRepeated = "messages_repeated",
    /// A piece of a message that its sender gave up long ago, or that contradicts its other pieces.
    MessageStale = "messages_stale",
    /// Pieces thrown away for want of room or because no further one came.
    MessageEvicted = "messages_evicted",
    /// A verdict too long, or for a message that is no longer waiting for one.
    VerdictRefused = "verdicts_refused",
    /// A further copy of a datagram.
    DatagramRepeated = "datagrams_repeated",
    /// Too long, or to a node that shares no path.
    DatagramRefused = "datagrams_refused",
    /// Not sent because the peer's life was not proven in time.
    DatagramUnsent = "datagrams_unsent",
    /// Ticks so late that attempts started again.
    Stall = "stalls",
}
