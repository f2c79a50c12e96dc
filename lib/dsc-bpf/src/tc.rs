//! The part of netlink that has to do with filters: the qdisc that holds them, their list, one put there or taken away.
//! Called by `clsact` alone; it knows nothing of whose they are.

use crate::direction::Direction;
use crate::netlink::{NESTED, Netlink, attribute, attributes, text, u32_at};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// `struct tcmsg`.
const TC: usize = 20;

const HANDLE_CLSACT: u32 = 0xFFFF_0000;
const PARENT_CLSACT: u32 = 0xFFFF_FFF1;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_BPF_FD: u16 = 6;
const TCA_BPF_NAME: u16 = 7;
const TCA_BPF_FLAGS: u16 = 8;
const TCA_BPF_FLAGS_GEN: u16 = 9;
/// The program's answer is the action.
const DIRECT_ACTION: u32 = 1;
/// No card that could run the program itself is offered it: it would not share our maps.
const SKIP_HARDWARE: u32 = 1;

/// A filter, or the priority of which it is one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    pub priority: u16,
    /// `ETH_P_ALL`, or the only kind of frames it sees.
    pub protocol: u16,
    /// 0: the priority itself.
    pub handle: u32,
    /// `bpf`, `u32`, `flower` ...
    pub kind: String,
    /// Of a program, as given by whoever put it there.
    pub name: String,
}

/// A connection with the kernel's traffic control.
pub(crate) struct Tc(Netlink);

impl Tc {
    pub(crate) fn open() -> io::Result<Tc> {
        Netlink::open(libc::NETLINK_ROUTE).map(Tc)
    }

    /// The interfaces that have a qdisc for filters, by index, and its kind: `clsact`, or the older `ingress`.
    pub(crate) fn qdiscs(&mut self) -> io::Result<Vec<(u32, String)>> {
        let mut found = Vec::new();
        let request = message(0, 0, 0, 0);
        let asked = self.0.ask(libc::RTM_GETQDISC, libc::NLM_F_DUMP, &request, |message| {
            if u32_at(message, 12) == Some(PARENT_CLSACT) {
                let kind = attributes(message.get(TC..).unwrap_or_default())
                    .find(|(kind, _)| *kind == TCA_KIND);
                found.extend(u32_at(message, 4).zip(kind.map(|(_, value)| text(value))));
            }
        });
        match asked {
            // A kernel without qdiscs.
            Err(e) if e.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(found),
            other => other.map(|()| found),
        }
    }

    /// Gives `nic` a clsact qdisc; an error if it has one, or one of kind `ingress`.
    pub(crate) fn add_qdisc(&mut self, nic: u32) -> io::Result<()> {
        let mut request = message(nic, HANDLE_CLSACT, PARENT_CLSACT, 0);
        attribute(&mut request, TCA_KIND, b"clsact\0");
        self.0.ask(libc::RTM_NEWQDISC, libc::NLM_F_CREATE | libc::NLM_F_EXCL, &request, |_| {})
    }

    /// Takes the qdisc of `nic` away, with whatever is in it.
    pub(crate) fn delete_qdisc(&mut self, nic: u32) -> io::Result<()> {
        let request = message(nic, HANDLE_CLSACT, PARENT_CLSACT, 0);
        self.0.ask(libc::RTM_DELQDISC, 0, &request, |_| {})
    }

    /// The filters in the clsact qdisc of `nic`, in the order in which frames meet them.
    pub(crate) fn filters(&mut self, nic: u32, direction: Direction) -> io::Result<Vec<Filter>> {
        let mut found = Vec::new();
        let request = message(nic, 0, direction.parent(), 0);
        self.0.ask(libc::RTM_GETTFILTER, libc::NLM_F_DUMP, &request, |message| {
            found.extend(parse(message));
        })?;
        Ok(found)
    }

    /// Puts `program` there as the filter of this priority and handle. One that is there is replaced: each frame meets
    /// the old program or the new one.
    pub(crate) fn put(
        &mut self,
        nic: u32,
        direction: Direction,
        filter: &Filter,
        program: BorrowedFd<'_>,
    ) -> io::Result<()> {
        let mut options = Vec::new();
        attribute(&mut options, TCA_BPF_FD, &program.as_raw_fd().to_ne_bytes());
        attribute(&mut options, TCA_BPF_NAME, format!("{}\0", filter.name).as_bytes());
        attribute(&mut options, TCA_BPF_FLAGS, &DIRECT_ACTION.to_ne_bytes());
        attribute(&mut options, TCA_BPF_FLAGS_GEN, &SKIP_HARDWARE.to_ne_bytes());
        let mut request = message(nic, filter.handle, direction.parent(), filter.info());
        attribute(&mut request, TCA_KIND, format!("{}\0", filter.kind).as_bytes());
        attribute(&mut request, TCA_OPTIONS | NESTED, &options);
        let flags = libc::NLM_F_CREATE | libc::NLM_F_REPLACE;
        self.0.ask(libc::RTM_NEWTFILTER, flags, &request, |_| {})
    }

    /// Takes one filter away.
    pub(crate) fn delete(
        &mut self,
        nic: u32,
        direction: Direction,
        filter: &Filter,
    ) -> io::Result<()> {
        let request = message(nic, filter.handle, direction.parent(), filter.info());
        self.0.ask(libc::RTM_DELTFILTER, 0, &request, |_| {})
    }
}

impl Filter {
    /// Priority and protocol, as `tcm_info` holds them.
    fn info(&self) -> u32 {
        u32::from(self.priority) << 16 | u32::from(self.protocol.to_be())
    }
}

fn message(nic: u32, handle: u32, parent: u32, info: u32) -> Vec<u8> {
    [0, nic, handle, parent, info].map(u32::to_ne_bytes).concat()
}

fn parse(message: &[u8]) -> Option<Filter> {
    let info = u32_at(message, 16)?;
    let mut filter = Filter {
        priority: (info >> 16) as u16,
        protocol: u16::from_be(info as u16),
        handle: u32_at(message, 8)?,
        ..Filter::default()
    };
    for (kind, value) in attributes(&message[TC..]) {
        match kind {
            TCA_KIND => filter.kind = text(value),
            TCA_OPTIONS if filter.kind == "bpf" => {
                let name = attributes(value).find(|(kind, _)| *kind == TCA_BPF_NAME);
                filter.name = name.map(|(_, value)| text(value)).unwrap_or_default();
            }
            _ => {}
        }
    }
    Some(filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter() -> Filter {
        let (kind, name) = ("bpf".to_owned(), "mine".to_owned());
        Filter { priority: 7, protocol: 3, handle: 0x1234, kind, name }
    }

    fn dumped(filter: &Filter) -> Vec<u8> {
        let mut bytes = message(9, filter.handle, Direction::Egress.parent(), filter.info());
        attribute(&mut bytes, TCA_KIND, b"bpf\0");
        let mut options = Vec::new();
        attribute(&mut options, TCA_BPF_NAME, b"mine\0");
        attribute(&mut bytes, TCA_OPTIONS, &options);
        bytes
    }

    #[test]
    fn a_filter_reads_back() {
        let bytes = dumped(&filter());
        assert_eq!(bytes[16..20], [0, 3, 7, 0], "protocol in the order of the wire, then priority");
        assert_eq!(parse(&bytes), Some(filter()));
    }

    #[test]
    fn a_cut_message_is_harmless() {
        let bytes = dumped(&filter());
        for cut in 0..bytes.len() {
            assert_ne!(parse(&bytes[..cut]), Some(filter()), "cut to {cut}");
        }
    }
}
