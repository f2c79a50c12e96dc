//! The decisions of the load balancer, without a world: no clock, no socket, no kernel. Every node comes to the
//! same ones, because they depend on the configuration only.
//!
//! ```text
//!   backends of a service --maglev--> table --dsc-fwd--> kernel: a new flow's hash picks a row
//!   silent flow ------------age-----> how long it is kept
//!   reply without its flow --packet-> as the kernel would have sent it
//!   any packet -------------model---> what the kernel must do with it (for tests)
//! ```

pub mod age;
pub mod maglev;
pub mod model;
pub mod packet;
