//! The ring daemon without its sockets: what one member of the cluster is. The program's main adds the clock,
//! the sockets and the kernel's maps; the simulator adds none of them.

pub mod member;
