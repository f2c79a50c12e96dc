//! The words of DSC: identifiers, time, messages and their codecs. No clock, no sockets, no policy.
//! Every other crate depends on this one; it depends on none of them.

mod backend_codec;
pub mod cluster;
mod config_codec;
mod counts;
pub mod cursor;
pub mod delivery;
pub mod event;
pub mod flow;
pub mod health;
mod health_codec;
pub mod ids;
pub mod key;
mod lights_codec;
pub mod local;
pub mod message;
pub mod packet;
pub mod seal;
pub mod time;
pub mod token;
mod token_codec;
mod vip_codec;

pub use cluster::{Balance, Cluster, NodePlan, Partition, Persistence, Rejoin, Timing, VipPlan};
pub use delivery::{Receipt, SendId};
pub use flow::{
    BackendId, BackendState, Flow, FlowKey, FlowKind, FlowState, FlowTimeouts, Protocol, Routing,
    ServiceId, ServiceKind,
};
pub use health::{CheckId, Light, Reason};
pub use ids::{Incarnation, NodeId, NodeSet, SubnetId, SubnetSet, VipId};
pub use key::{Epoch, Key};
pub use time::Time;
