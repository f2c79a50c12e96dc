//! The end of a service whose socket goes on: what it has accepted it serves, and the rest is another's.

use crate::net::backend::{Backend, End};
use crate::net::client::Client;
use crate::net::object::Object;
use crate::net::{self, LIMIT, Running, link};
use std::net::TcpListener;
use std::time::Instant;

const CLIENTS: u64 = 16;
const ROUNDS: u64 = 100;

#[test]
fn a_service_that_accepts_is_not_over() {
    let backend = Backend::start(|_| (Vec::new(), End::Close));
    let run = Running::start(link(), &[&backend]);
    assert_eq!((run.service.connections(), run.service.is_over()), (0, false));
    run.ear.stop();
    net::until("nobody accepts", || run.service.is_over());
}

/// One look is enough: a connection that was accepted is counted before nobody accepts any more.
#[test]
fn a_service_is_over_when_all_that_it_accepted_is_served() {
    let object = Object::new(10);
    let backend = Backend::start(move |request| (object.serve(request), End::Keep));
    let plans = net::plans(&[&backend]);
    for round in 0..ROUNDS {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = socket.local_addr().expect("an address");
        // All wait to be accepted.
        let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::connect(address)).collect();
        for client in &mut clients {
            client.send(b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        }
        let old = Running::on(socket.try_clone().expect("a socket"), link(), &plans);
        let end = Instant::now() + LIMIT;
        let look = |is_so: &dyn Fn() -> bool| {
            while !is_so() {
                assert!(Instant::now() < end, "not in time");
                std::hint::spin_loop();
            }
        };
        look(&|| old.count("connections") >= round % CLIENTS);
        old.ear.stop();
        old.service.close();
        look(&|| old.service.is_over());
        let accepted = old.count("connections");
        old.end();
        let heir = Running::on(socket, link(), &plans);
        for (number, client) in clients.iter_mut().enumerate() {
            let response = client.response(true);
            assert_eq!(response.map(|r| r.status), Some(200), "client {number} of round {round}");
        }
        assert_eq!(heir.count("connections"), CLIENTS - accepted);
    }
}
