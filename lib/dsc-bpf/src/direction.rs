//! Where on an interface there is a program, and the kernel's numbers for it. There is one program for each.

/// Which frames a program sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Direction {
    /// Those that the driver has received, before the stack: native XDP.
    Driver,
    /// Those that come into the stack.
    Ingress,
    /// Those that leave it.
    Egress,
}

impl Direction {
    /// The two of the stack, which every interface has.
    pub(crate) const BOTH: [Direction; 2] = [Direction::Ingress, Direction::Egress];
    pub(crate) const ALL: [Direction; 3] =
        [Direction::Driver, Direction::Ingress, Direction::Egress];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Direction::Driver => "driver",
            Direction::Ingress => "ingress",
            Direction::Egress => "egress",
        }
    }

    /// For a link.
    pub(crate) fn attach_type(self) -> u32 {
        match self {
            Direction::Driver => 37,
            Direction::Ingress => 46,
            Direction::Egress => 47,
        }
    }

    /// For a link: in the driver or nowhere; before all other programs of the stack.
    pub(crate) fn link_flags(self) -> u32 {
        match self {
            Direction::Driver => 1 << 2,
            Direction::Ingress | Direction::Egress => 1 << 3,
        }
    }

    /// For a filter of a clsact qdisc.
    pub(crate) fn parent(self) -> u32 {
        match self {
            Direction::Driver => unreachable!("no qdisc holds a driver's program"),
            Direction::Ingress => 0xFFFF_FFF2,
            Direction::Egress => 0xFFFF_FFF3,
        }
    }
}
