//! A request on its way into the access log: it is written when its response ends.

use crate::access_log::{AccessLog, Ended, Entry};
use crate::connection::Client;
use crate::service::{Service, Setup};
use dsc_resume::ftp::Command;
use hyper::StatusCode;
use hyper::http::request::Parts;
use std::net::SocketAddr;
use std::sync::Arc;

/// A request that will be logged.
pub(crate) struct Logged {
    entry: Entry,
    log: Arc<AccessLog>,
    service: Arc<Service>,
    /// What the client was told.
    pub status: StatusCode,
}

impl Logged {
    /// A request begins; none if nothing is logged.
    pub fn begin(client: &Client, setup: &Setup, head: &Parts) -> Option<Logged> {
        let log = setup.log.as_ref()?.clone();
        let entry = Entry::new(client.peer, head, head.version);
        let service = client.service.clone();
        Some(Logged { entry, log, service, status: StatusCode::OK })
    }

    /// A transfer of FTP begins; none if nothing is logged.
    pub fn transfer(
        service: &Arc<Service>,
        client: SocketAddr,
        command: &Command,
    ) -> Option<Logged> {
        let log = service.setup().log.as_ref()?.clone();
        let entry = Entry::transfer(client, command);
        Some(Logged { entry, log, service: service.clone(), status: StatusCode::OK })
    }

    /// It ended with an answer of our own, or with a tunnel.
    pub fn end(self, status: StatusCode, backend: Option<SocketAddr>) {
        self.ended(Ended { status, sent: 0, whole: true, backend, resumes: 0 });
    }

    /// It ended.
    pub fn ended(self, end: Ended) {
        if !self.log.write(&self.entry, &end) {
            self.service.counters.log_lines_dropped.add();
        }
    }
}
