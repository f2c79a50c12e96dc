//! Which worker serves a connection. The one that is awake accepts whatever waits, so that one could have them all while another has
//! nothing to do: what is more than its share goes to the worker that has fewest.

use crate::service::{Connected, Service};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// Most connections on their way to a worker; it keeps what is more.
const HANDED_MAX: usize = 1024;
/// So many more than the fewest are no reason to hand one on.
const SLACK: usize = 1;

/// An accepted connection.
pub struct Accepted {
    pub(crate) stream: TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) service: Arc<Service>,
    /// None if there are too many.
    pub(crate) connected: Option<Connected>,
    pub(crate) seat: Seat,
}

/// One for another worker: its socket belongs to no loop.
struct Handed {
    stream: std::net::TcpStream,
    peer: SocketAddr,
    service: Arc<Service>,
    connected: Option<Connected>,
    seat: Seat,
}

struct Row {
    taken: AtomicUsize,
    hands: mpsc::Sender<Handed>,
}

/// All workers'.
pub struct Seats(Vec<Row>);

/// Where a worker gets what others hand it.
pub struct Hand(mpsc::Receiver<Handed>);

/// A connection's place at a worker, until it is dropped.
pub(crate) struct Seat(Arc<Seats>, usize);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.0[self.1].taken.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Seats {
    /// Of so many workers, and the hand of each.
    pub fn new(workers: usize) -> (Arc<Seats>, Vec<Hand>) {
        let one = |_| {
            let (hands, hand) = mpsc::channel(HANDED_MAX);
            (Row { taken: AtomicUsize::new(0), hands }, Hand(hand))
        };
        let (rows, hands) = (0..workers).map(one).unzip();
        (Arc::new(Seats(rows)), hands)
    }

    /// A connection that worker `own` has accepted; none if it went to another.
    pub fn seat(
        self: &Arc<Seats>,
        own: usize,
        stream: TcpStream,
        peer: SocketAddr,
        service: Arc<Service>,
    ) -> Option<Accepted> {
        let connected = service.connect();
        let at = self.best(own);
        if at == own {
            let seat = self.take(own);
            return Some(Accepted { stream, peer, service, connected, seat });
        }
        // A socket that cannot be taken out of this loop is none that could be served.
        let stream = stream.into_std().ok()?;
        let handed = Handed { stream, peer, service, connected, seat: self.take(at) };
        let refused = self.0[at].hands.try_send(handed).err()?;
        let mut back = refused.into_inner();
        back.seat = self.take(own);
        back.accepted()
    }

    fn best(&self, own: usize) -> usize {
        let taken = |at: usize| self.0[at].taken.load(Ordering::Relaxed);
        let fewest = (0..self.0.len()).min_by_key(|at| taken(*at)).unwrap_or(own);
        if taken(own) > taken(fewest) + SLACK { fewest } else { own }
    }

    fn take(self: &Arc<Seats>, at: usize) -> Seat {
        self.0[at].taken.fetch_add(1, Ordering::Relaxed);
        Seat(self.clone(), at)
    }
}

impl Handed {
    fn accepted(self) -> Option<Accepted> {
        let Handed { stream, peer, service, connected, seat } = self;
        let stream = TcpStream::from_std(stream).ok()?;
        Some(Accepted { stream, peer, service, connected, seat })
    }
}

impl Hand {
    /// The next that another worker hands this one; none if it cannot be served.
    pub async fn next(&mut self) -> Option<Accepted> {
        match self.0.recv().await {
            Some(handed) => handed.accepted(),
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dsc_conf::{Link, Speaks};
    use tokio::net::TcpListener;

    #[test]
    fn one_who_accepts_all_keeps_its_share() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a loop").block_on(async {
            let link = Link::of(Speaks::Http);
            let (counters, downloads) = (Arc::default(), Arc::default());
            let service = Service::new("shop", link, &[], 3, counters, downloads);
            let service: Arc<Service> = Arc::new(service);
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("an address");
            let (seats, mut hands) = Seats::new(3);
            let mut clients = Vec::new();
            let mut kept = Vec::new();
            let mut accept = async |count: usize| {
                let mut kept = Vec::new();
                for _ in 0..count {
                    clients.push(TcpStream::connect(address).await.expect("a connection"));
                    let (stream, peer) = listener.accept().await.expect("a connection");
                    kept.extend(seats.seat(0, stream, peer, service.clone()));
                }
                kept
            };
            kept.extend(accept(30).await);
            let taken = || [0, 1, 2].map(|at| seats.0[at].taken.load(Ordering::Relaxed));
            assert!(taken().iter().all(|n| (9..=11).contains(n)), "{:?}", taken());
            assert_eq!((kept.len(), service.connections()), (taken()[0], 30));
            let of_second = taken()[1];
            for _ in 0..of_second {
                assert!(hands[1].next().await.is_some());
            }
            assert_eq!((taken()[1], service.connections()), (0, 30 - of_second as u32));
            // Who has gone gets nothing; what it would have had is kept.
            hands.truncate(1);
            let more = accept(6).await;
            assert_eq!(more.len(), 6);
            drop((kept, more));
            assert_eq!(taken()[0], 0);
        });
    }
}
