//! The words of DSC: identifiers, time, messages and their codecs. No clock, no sockets, no policy.
//! Every other crate depends on this one; it depends on none of them.

mod backend_codec;
pub mod cluster;
mod counts;
pub mod cursor;
pub mod delivery;
pub mod event;
pub mod flow;
pub mod ids;
pub mod key;
pub mod local;
pub mod message;
pub mod packet;
pub mod seal;
pub mod time;
pub mod token;
mod token_codec;
mod vip_codec;

pub use cluster::{Cluster, NodePlan, Partition, Persistence, Timing, VipPlan};
pub use delivery::{Receipt, SendId};
pub use flow::{
    BackendId, BackendState, Flow, FlowKey, FlowKind, FlowState, FlowTimeouts, Protocol, Routing,
    ServiceId, ServiceKind,
};
pub use ids::{Incarnation, NodeId, NodeSet, SubnetId, SubnetSet, VipId};
pub use key::{Epoch, Key};
pub use time::Time;
