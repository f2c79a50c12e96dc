//! Traffic through the cluster: hosts behind reach the clients' side through an internal virtual address, before and
//! after the node that carries it has crashed.

use dsc_lab::error::{Doing, Error};
use dsc_lab::probe::Prober;
use dsc_lab::topology::{Plan, Subnet};
use dsc_lab::{fault, scenario, wait};
use dsc_test_lab::TestLab;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// A host behind sends a word to the client and gets it back.
fn word_goes_through(lab: &TestLab) -> dsc_lab::error::Result<()> {
    let client = SocketAddr::new(Subnet::Ext.v4(250).into(), 9);
    let listener = lab
        .space("client")?
        .inside(|| TcpListener::bind(client).doing(|| "listen on the client".into()))?;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // If nobody comes, the host's error is the one to tell; its connection then ends this.
            let Ok((mut connection, _)) = listener.accept() else { return };
            let mut word = [0; 4];
            if connection.read_exact(&mut word).is_ok() {
                let _ = connection.write_all(&word);
            }
        });
        let said = lab.space("h1")?.inside(|| {
            let doing = || "reach the client from h1".into();
            let patience = Duration::from_secs(2);
            let mut connection = TcpStream::connect_timeout(&client, patience).doing(doing)?;
            connection.set_read_timeout(Some(patience)).doing(doing)?;
            connection.write_all(b"word").doing(doing)?;
            let mut word = [0; 4];
            connection.read_exact(&mut word).doing(doing)?;
            if &word == b"word" { Ok(()) } else { Err(Error::new("hear the word", "another")) }
        });
        if said.is_err() {
            // Let the listener go.
            let _ = lab.space("client").and_then(|c| c.inside(|| Ok(TcpStream::connect(client))));
        }
        said
    })
}

#[test]
fn a_host_behind_reaches_the_clients_through_an_internal_address_whoever_hosts_it() {
    let mut lab = TestLab::up(Plan::default());
    let vips = lab.vips();
    let prober = Prober::start(&lab, &vips).unwrap();
    scenario::calm(&lab, &prober).unwrap();
    word_goes_through(&lab).unwrap();
    let gateway = lab.plan.vip_list().iter().position(|v| v.subnet == Subnet::Int).unwrap();
    let status = dsc_lab::cluster::status(&lab, 0).unwrap();
    let host = status["vips"][gateway]["host"].as_str().unwrap().to_owned();
    let host = lab.plan.node_index(&host).unwrap();
    fault::crash(&mut lab, host).unwrap();
    scenario::calm(&lab, &prober).unwrap();
    wait::until("the host behind reaches the client again", 10_000, || {
        word_goes_through(&lab).ok()
    })
    .unwrap();
}
