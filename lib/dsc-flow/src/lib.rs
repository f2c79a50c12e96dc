//! The decisions of the load balancer, and how the nodes come to know each other's flows, without a world: no clock, no
//! socket, no kernel. What depends on the configuration alone comes out the same on every node.
//!
//! ```text
//!   backends of a service --maglev--> table --dsc-fwd--> kernel: a new flow's hash picks a row
//!   silent flow ------------age-----> how long it is kept
//!   flow made here ---------share---> datagrams to the members; theirs --share--> the kernel's table
//!   reply without its flow --packet-> as the kernel would have sent it
//!   any packet -------------model---> what the kernel must do with it (for tests)
//! ```

pub mod age;
pub mod maglev;
pub mod model;
pub mod packet;
pub mod share;
