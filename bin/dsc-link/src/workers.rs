//! The threads that serve: each has a loop of its own, and all of them accept from the same listening sockets, each for all.

use crate::backend::lock;
use crate::connection;
use crate::seats::{Hand, Seats};
use crate::service::{Accepting, Service};
use std::io;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Duration, Instant, interval};

/// Between two looks for connections that have waited for too long.
const SWEEP: Duration = Duration::from_secs(1);
/// The pause after the system had no descriptor or memory for a connection.
const SHORT: Duration = Duration::from_millis(50);
/// Most orders that a worker has not begun; the daemon makes one for each end of a link.
const ORDERS_MAX: usize = 4096;

/// A listening socket, and the service behind it.
pub struct Ear {
    socket: TcpListener,
    service: Arc<Service>,
    deaf: AtomicBool,
    stopped: Notify,
}

impl Ear {
    /// Not heard yet.
    pub fn new(socket: TcpListener, service: Arc<Service>) -> Arc<Ear> {
        Arc::new(Ear { socket, service, deaf: AtomicBool::new(false), stopped: Notify::new() })
    }

    /// The socket, to be handed on.
    pub fn socket(&self) -> &TcpListener {
        &self.socket
    }

    /// Behind it.
    pub fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// Accepts no more; connections go on.
    pub fn stop(&self) {
        self.deaf.store(true, Ordering::Relaxed);
        self.stopped.notify_waiters();
    }
}

/// To accept from a socket; it counts from when it is given.
type Order = (Arc<Ear>, Accepting);

struct Worker {
    orders: mpsc::Sender<Order>,
    thread: JoinHandle<()>,
}

/// All of them.
pub struct Workers(Vec<Worker>);

impl Workers {
    /// Starts so many.
    ///
    /// # Errors
    /// The system's, when it has no thread or descriptor left.
    pub fn start(count: usize) -> io::Result<Workers> {
        let (seats, hands) = Seats::new(count);
        let one = |(number, hand): (usize, Hand)| {
            let (orders, taken) = mpsc::channel(ORDERS_MAX);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let name = format!("worker-{number}");
            let seats = seats.clone();
            let run = move || runtime.block_on(work(number, seats, taken, hand));
            let thread = std::thread::Builder::new().name(name).spawn(run)?;
            Ok(Worker { orders, thread })
        };
        hands.into_iter().enumerate().map(one).collect::<io::Result<_>>().map(Workers)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// All of them accept from a socket.
    ///
    /// # Errors
    /// One of them has too many already, or has ended; then none accepts.
    pub fn hear(&self, ear: &Arc<Ear>) -> Result<(), String> {
        for worker in &self.0 {
            if let Err(e) = worker.orders.try_send((ear.clone(), ear.service.accept())) {
                ear.stop();
                return Err(format!("a worker: {e}"));
            }
        }
        Ok(())
    }

    /// Ends them; what they serve ends with them.
    pub fn end(self) {
        for Worker { orders, thread } in self.0 {
            drop(orders);
            if thread.join().is_err() {
                tracing::error!("a worker had panicked");
            }
        }
    }
}

async fn work(number: usize, seats: Arc<Seats>, mut orders: mpsc::Receiver<Order>, mut hand: Hand) {
    let services: Mutex<Vec<Arc<Service>>> = Mutex::new(Vec::new());
    let mut sweep = interval(SWEEP);
    loop {
        tokio::select! {
            order = orders.recv() => {
                let Some((ear, accepting)) = order else { return };
                let mut known = lock(&services);
                if !known.iter().any(|s| Arc::ptr_eq(s, &ear.service)) {
                    known.push(ear.service.clone());
                }
                tokio::spawn(hear(ear, accepting, seats.clone(), number));
            }
            handed = hand.next() => if let Some(accepted) = handed {
                tokio::spawn(connection::serve(accepted, number));
            },
            _ = sweep.tick() => {
                let mut known = lock(&services);
                known.retain(|s| !s.is_closing());
                for service in known.iter() {
                    let setup = service.setup();
                    let Some(oldest) = Instant::now().checked_sub(setup.link.idle) else { continue };
                    setup.backends.iter().for_each(|b| b.pool.sweep(number, oldest));
                }
            }
        }
    }
}

/// Accepts until it is stopped.
async fn hear(ear: Arc<Ear>, _accepting: Accepting, seats: Arc<Seats>, worker: usize) {
    let socket = ear.socket.try_clone().and_then(tokio::net::TcpListener::from_std);
    let socket = match socket {
        Ok(socket) => socket,
        Err(e) => return tracing::error!("{}: cannot listen: {e}", ear.service.name),
    };
    let mut stopped = std::pin::pin!(ear.stopped.notified());
    stopped.as_mut().enable();
    while !ear.deaf.load(Ordering::Relaxed) {
        tokio::select! {
            accepted = socket.accept() => match accepted {
                Ok((stream, peer)) => {
                    let seated = seats.seat(worker, stream, peer, ear.service.clone());
                    if let Some(accepted) = seated {
                        tokio::spawn(connection::serve(accepted, worker));
                    }
                }
                Err(e) => {
                    tracing::warn!("{}: cannot accept: {e}", ear.service.name);
                    tokio::time::sleep(SHORT).await;
                }
            },
            () = &mut stopped => {}
        }
    }
}
