//! One UDP socket per subnet, for packets between nodes. It moves bytes: `paths` seals and opens them. It is
//! bound to the node's address and its interface, so that a path that looks alive is alive.

use crate::{clock, readiness};
use dsc_wire::Time;
use dsc_wire::seal::SEALED_MAX;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Most bytes taken of one datagram: one more than any that can be opened, so that a longer one is seen to be too long.
pub const DATAGRAM_MAX: usize = SEALED_MAX + 1;
/// Most datagrams taken in one system call. One wake-up seldom brings more than two.
pub const BATCH: usize = 8;
/// DSCP CS6, network control: switches that look at it let us through first.
const CS6: u32 = 0xc0;
/// The highest that needs no privilege.
const PRIORITY: u32 = 6;
/// A burst of all nodes at once fits many times; the kernel's default limit grants about this much.
const RECEIVE_BUFFER: usize = 256 * 1024;

/// The socket.
pub struct UdpPort {
    fd: AsyncFd<Socket>,
    batch: Box<Batch>,
    /// Datagrams that the kernel did not take: its queue was full or there was no route.
    pub unsent: u64,
}

/// Buffers for one `recvmmsg`, made once.
struct Batch {
    bytes: [[u8; DATAGRAM_MAX]; BATCH],
    from: [libc::sockaddr_storage; BATCH],
    length: [usize; BATCH],
    arrived: [Time; BATCH],
}

/// Room for the time of arrival beside a datagram, aligned as the kernel wants it.
type Control = [u64; 8];

/// Whether the kernel says when a datagram came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// It does not.
    Plain,
    /// It does, for which it looks at its clock for every packet of this machine, as for a packet capture: some 20 ns each.
    Stamped,
}

/// Why a port could not be opened.
#[derive(Debug)]
pub struct BindError {
    /// The node's address on the subnet.
    pub address: SocketAddr,
    /// Its interface.
    pub device: String,
    /// The system's reason.
    pub source: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BindError { address, device, source } = self;
        write!(f, "cannot bind {address} on {device}: {source}")?;
        match source.kind() {
            io::ErrorKind::AddrInUse => write!(f, ": does another program use the port?"),
            io::ErrorKind::AddrNotAvailable => {
                write!(
                    f,
                    ": is {} still on {device}, and past its duplicate address detection?",
                    address.ip()
                )
            }
            io::ErrorKind::PermissionDenied => write!(f, ": run it as root or with CAP_NET_RAW"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for BindError {}

impl UdpPort {
    /// Binds `address` on interface `device`. Must be called inside a runtime.
    ///
    /// # Errors
    /// [`BindError`]; nothing stays bound.
    pub fn bind(
        address: SocketAddr,
        device: &str,
        arrivals: Arrivals,
    ) -> Result<UdpPort, BindError> {
        let failed = |source| BindError { address, device: device.to_owned(), source };
        let socket = open(address, device).map_err(failed)?;
        if arrivals == Arrivals::Stamped {
            setsockopt(&socket, sockopt::ReceiveTimestampns, &true)
                .map_err(|e| failed(e.into()))?;
        }
        let fd = readiness::watch(socket).map_err(failed)?;
        Ok(UdpPort { fd, batch: Box::new(Batch::empty()), unsent: 0 })
    }

    /// Ready when datagrams may be waiting. Leaves the readiness for [`UdpPort::receive`] to clear.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.fd.poll_read_ready(cx).map_ok(|_| ())
    }

    /// Takes up to [`BATCH`] datagrams and says how many. Without readiness it makes no system call, unless `insist`:
    /// a daemon that was not run for a while looks at what came meanwhile before it judges a time-out (rule 11).
    /// To drain, call it until it returns less than [`BATCH`].
    pub fn receive(&mut self, insist: bool) -> usize {
        let UdpPort { fd, batch, .. } = self;
        let taken = if insist {
            batch.take(fd.get_ref())
        } else {
            fd.try_io(Interest::READABLE, |socket| batch.take(socket))
        };
        let taken = taken.unwrap_or(0);
        if taken < BATCH {
            // A short batch means an empty queue; without this the next turn would ask once more in vain.
            readiness::forget(fd);
        }
        taken
    }

    /// The `index`-th datagram of the last [`UdpPort::receive`], which may be opened in place.
    pub fn datagram(&mut self, index: usize) -> &mut [u8] {
        &mut self.batch.bytes[index][..self.batch.length[index]]
    }

    /// Who sent the `index`-th datagram, as far as its address can be believed.
    pub fn sender(&self, index: usize) -> Option<SocketAddr> {
        read_address(&self.batch.from[index])
    }

    /// When the kernel had the `index`-th datagram, if arrivals are stamped; else when it was taken.
    pub fn arrived(&self, index: usize) -> Time {
        self.batch.arrived[index]
    }

    /// Sends one datagram, or counts it as [`UdpPort::unsent`]: a lost one is resent by the layer above anyway.
    pub fn send(&mut self, to: SocketAddr, bytes: &[u8]) {
        let socket = self.fd.get_ref();
        let mut result = socket.send_to(bytes, &SockAddr::from(to));
        if matches!(&result, Err(e) if e.kind() == io::ErrorKind::Interrupted) {
            result = socket.send_to(bytes, &SockAddr::from(to));
        }
        if result.is_err() {
            self.unsent += 1;
        }
    }

    /// The address it is bound to; the kernel's choice of port if it was given port 0.
    ///
    /// # Errors
    /// None that an open socket can cause.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.fd.get_ref().local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

fn open(address: SocketAddr, device: &str) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.bind_device(Some(device.as_bytes()))?;
    match address.ip() {
        IpAddr::V4(_) => socket.set_tos_v4(CS6)?,
        IpAddr::V6(_) => {
            socket.set_only_v6(true)?;
            socket.set_tclass_v6(CS6)?;
        }
    }
    socket.set_priority(PRIORITY)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

impl Batch {
    fn empty() -> Batch {
        // SAFETY: `sockaddr_storage` is a plain C structure for which all zeroes are valid.
        let from = unsafe { MaybeUninit::zeroed().assume_init() };
        Batch {
            bytes: [[0; DATAGRAM_MAX]; BATCH],
            from,
            length: [0; BATCH],
            arrived: [Time::ZERO; BATCH],
        }
    }

    fn take(&mut self, socket: &Socket) -> io::Result<usize> {
        let mut parts = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; BATCH];
        // SAFETY: `mmsghdr` is a plain C structure for which all zeroes are valid.
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { MaybeUninit::zeroed().assume_init() };
        let mut control = [Control::default(); BATCH];
        for (i, header) in headers.iter_mut().enumerate() {
            parts[i].iov_base = self.bytes[i].as_mut_ptr().cast();
            parts[i].iov_len = DATAGRAM_MAX;
            header.msg_hdr.msg_iov = &raw mut parts[i];
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_name = (&raw mut self.from[i]).cast();
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as u32;
            header.msg_hdr.msg_control = (&raw mut control[i]).cast();
            header.msg_hdr.msg_controllen = size_of::<Control>();
        }
        // SAFETY: every header points at buffers of this call or of `self`, which outlive it, with their true lengths.
        let taken = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                BATCH as u32,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        if taken < 0 {
            return Err(io::Error::last_os_error());
        }
        let now = clock::now();
        for (i, header) in headers.iter().enumerate().take(taken as usize) {
            self.length[i] = header.msg_len as usize;
            let waited = stamp(&header.msg_hdr).map_or(Duration::ZERO, clock::since_stamp);
            self.arrived[i] = now.before(waited);
        }
        Ok(taken as usize)
    }
}

/// The kernel's time of arrival, if it came with the datagram.
fn stamp(header: &libc::msghdr) -> Option<libc::timespec> {
    // SAFETY: `recvmmsg` has filled the header, whose buffer lives, is aligned, and has the length that it says.
    let mut part = unsafe { libc::CMSG_FIRSTHDR(header).as_ref() };
    while let Some(control) = part {
        if (control.cmsg_level, control.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) {
            // SAFETY: what follows a header of this kind is a `timespec`, of no certain alignment.
            return Some(unsafe {
                libc::CMSG_DATA(control).cast::<libc::timespec>().read_unaligned()
            });
        }
        // SAFETY: as for the first.
        part = unsafe { libc::CMSG_NXTHDR(header, control).as_ref() };
    }
    None
}

fn read_address(raw: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match i32::from(raw.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says which structure the storage holds, and it is large and aligned enough for it.
            let v4 = unsafe { &*(&raw const *raw).cast::<libc::sockaddr_in>() };
            let ip = IpAddr::from(v4.sin_addr.s_addr.to_ne_bytes());
            Some(SocketAddr::new(ip, u16::from_be(v4.sin_port)))
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let v6 = unsafe { &*(&raw const *raw).cast::<libc::sockaddr_in6>() };
            Some(SocketAddr::new(IpAddr::from(v6.sin6_addr.s6_addr), u16::from_be(v6.sin6_port)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    async fn next(port: &mut UdpPort) -> usize {
        loop {
            std::future::poll_fn(|cx| port.poll_readable(cx)).await.unwrap();
            match port.receive(false) {
                0 => {}
                n => return n,
            }
        }
    }

    fn check(address: &str) {
        runtime().block_on(async {
            let mut one = UdpPort::bind(address.parse().unwrap(), "lo", Arrivals::Plain).unwrap();
            let mut two = UdpPort::bind(address.parse().unwrap(), "lo", Arrivals::Plain).unwrap();
            let (one_at, two_at) = (one.local_address().unwrap(), two.local_address().unwrap());
            assert_eq!(two.receive(false), 0);
            assert_eq!(two.receive(true), 0);
            for n in 0..=BATCH as u8 {
                one.send(two_at, &[n; 3]);
            }
            let mut seen = 0;
            while seen <= BATCH {
                let n = next(&mut two).await;
                for i in 0..n {
                    assert_eq!(two.datagram(i), &[seen as u8; 3]);
                    assert_eq!(two.sender(i), Some(one_at));
                    seen += 1;
                }
            }
            assert_eq!(one.unsent, 0);
        });
    }

    #[test]
    fn datagrams_arrive_in_batches_with_their_senders() {
        check("127.0.0.1:0");
        check("[::1]:0");
    }

    #[test]
    fn a_stamped_datagram_says_how_long_it_waited() {
        runtime().block_on(async {
            let address = "127.0.0.1:0".parse().unwrap();
            let mut plain = UdpPort::bind(address, "lo", Arrivals::Plain).unwrap();
            let mut stamped = UdpPort::bind(address, "lo", Arrivals::Stamped).unwrap();
            let to = [plain.local_address().unwrap(), stamped.local_address().unwrap()];
            // The two clocks are read one after the other.
            let slack = Duration::from_millis(20);
            let mut alarm = clock::Alarm::new().unwrap();
            // The kernel begins to stamp a moment after it was asked to.
            for _ in 0..20 {
                let before = clock::now();
                to.into_iter().for_each(|to| plain.send(to, &[1]));
                let sent = clock::now();
                alarm.set(sent + slack * 3).unwrap();
                alarm.rang().await.unwrap();
                assert_eq!((plain.receive(true), stamped.receive(true)), (1, 1));
                assert!(plain.arrived(0) >= sent + slack * 3);
                if stamped.arrived(0) <= sent + slack {
                    assert!(stamped.arrived(0) + slack >= before);
                    return;
                }
            }
            panic!("never stamped");
        });
    }

    #[test]
    fn what_cannot_be_sent_is_counted() {
        runtime().block_on(async {
            let mut port =
                UdpPort::bind("127.0.0.1:0".parse().unwrap(), "lo", Arrivals::Plain).unwrap();
            port.send("127.0.0.1:9".parse().unwrap(), &[0; 70_000]);
            assert_eq!(port.unsent, 1);
        });
    }

    #[test]
    fn a_taken_port_and_a_foreign_address_say_what_to_look_at() {
        runtime().block_on(async {
            let first =
                UdpPort::bind("127.0.0.1:0".parse().unwrap(), "lo", Arrivals::Plain).unwrap();
            let taken =
                UdpPort::bind(first.local_address().unwrap(), "lo", Arrivals::Plain).err().unwrap();
            assert!(taken.to_string().contains("another program"), "{taken}");
            let foreign = UdpPort::bind("192.0.2.1:7946".parse().unwrap(), "lo", Arrivals::Plain)
                .err()
                .unwrap();
            assert!(foreign.to_string().contains("192.0.2.1"), "{foreign}");
        });
    }
}
