//! One request of a client: to which backends it goes, and the answer that the client gets.

use crate::connection::Client;
use crate::exchange::{Answer, Failed, Question, exchange};
use crate::logged::Logged;
use crate::pump::{Pump, Told};
use crate::reply::{Reply, Running, line};
use crate::request::Wanted;
use crate::rest::head_of;
use crate::service::Setup;
use crate::source::Resume;
use crate::strip::strip;
use crate::tunnel::tunnel;
use crate::upload::{Broken, Upload};
use dsc_resume::Resumable;
use hyper::body::{Body, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode, Version};
use std::convert::Infallible;
use std::sync::Arc;

/// Most backends that one request is sent to.
const TRIES_MAX: usize = 3;
/// A response that is shorter is not listed as a download.
const LISTED_MIN: u64 = 64 << 10;

/// Answers a request.
pub(crate) async fn relay(
    client: Arc<Client>,
    mut request: Request<Incoming>,
) -> Result<Response<Reply>, Infallible> {
    let running = Running::begin(&client.doing);
    let setup = client.service.setup();
    let on_upgrade = hyper::upgrade::on(&mut request);
    let (head, body) = request.into_parts();
    let entry = Logged::begin(&client, &setup, &head);
    let wanted = match Wanted::read(head, &body, &client, &setup.link) {
        Ok(wanted) => wanted,
        Err((status, what)) => {
            client.service.counters.requests_refused.add();
            tracing::debug!("{}: a request of {}: {what}", client.service.name, client.peer);
            if let Some(logged) = entry {
                logged.end(status, None);
            }
            return Ok(line(status, what, true));
        }
    };
    client.service.counters.requests.add();
    let mut upload = Some(Upload::of(body, client.doing.is_h2(), setup.link.idle));
    Ok(match ask(&client, &setup, &wanted, &mut upload).await {
        Ok(answer) if answer.response.status() == StatusCode::SWITCHING_PROTOCOLS => {
            let backend = answer.active.backend().address;
            let response = switch(client, &wanted, running, on_upgrade, answer);
            if let Some(logged) = entry {
                logged.end(response.status(), Some(backend));
            }
            response
        }
        Ok(answer) => respond(client, setup, wanted, running, entry, answer),
        Err(failed) => {
            client.service.counters.requests_failed.add();
            let (status, what) = match failed {
                None => (StatusCode::SERVICE_UNAVAILABLE, "no server can be asked now"),
                Some(Failed::Client(Broken::Slow)) => {
                    client.service.counters.clients_slow.add();
                    (StatusCode::REQUEST_TIMEOUT, "the request does not come to its end")
                }
                Some(Failed::Client(Broken::Gone)) => {
                    (StatusCode::BAD_REQUEST, "the request did not come to its end")
                }
                Some(Failed::Late) => (StatusCode::GATEWAY_TIMEOUT, "the server did not answer"),
                Some(_) => (StatusCode::BAD_GATEWAY, "the server failed"),
            };
            if let Some(logged) = entry {
                logged.end(status, None);
            }
            line(status, what, !wanted.repeatable)
        }
    })
}

/// Asks one backend after the other, as far as the request may be sent again.
async fn ask(
    client: &Client,
    setup: &Setup,
    wanted: &Wanted,
    upload: &mut Option<Upload>,
) -> Result<Answer, Option<Failed>> {
    let question =
        Question { head: &wanted.head, repeatable: wanted.repeatable, limit: setup.link.head };
    let mut tried = Vec::new();
    let mut last = None;
    while tried.len() < TRIES_MAX {
        let Some(at) = setup.choose(&tried) else { break };
        if !tried.is_empty() {
            client.service.counters.requests_repeated.add();
        }
        let backend = &setup.backends[at];
        match exchange(client, &setup.link, backend, &question, upload).await {
            Ok(answer) => return Ok(answer),
            Err(failed) => {
                let (name, address) = (&client.service.name, backend.address);
                tracing::info!("{name}: request to {address}: {failed}");
                tried.push(at);
                // No byte of it was sent if there was no connection, or if the body is here again.
                let unsent = matches!(failed, Failed::Connect(_)) || upload.is_some();
                last = Some(failed);
                if !wanted.repeatable && !unsent {
                    break;
                }
            }
        }
    }
    Err(last)
}

/// The backend goes on with what the client asked for; what nobody asked for is no answer.
fn switch(
    client: Arc<Client>,
    wanted: &Wanted,
    running: Running,
    of_client: OnUpgrade,
    answer: Answer,
) -> Response<Reply> {
    let Answer { mut response, active, .. } = answer;
    let protocol = response.headers().get(header::UPGRADE).cloned();
    let same = |a: &HeaderValue, b: &HeaderValue| a.as_bytes().eq_ignore_ascii_case(b.as_bytes());
    let asked = wanted.upgrade.as_ref().zip(protocol.as_ref()).is_some_and(|(a, b)| same(a, b));
    let Some(protocol) = protocol.filter(|_| asked) else {
        client.service.counters.answers_refused.add();
        return line(StatusCode::BAD_GATEWAY, "the server failed", true);
    };
    let of_backend = hyper::upgrade::on(&mut response);
    let (mut head, _) = response.into_parts();
    strip(&mut head.headers);
    head.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    head.headers.insert(header::UPGRADE, protocol);
    tokio::spawn(async move {
        tunnel(client, running, of_client, of_backend).await;
        drop(active);
    });
    Response::from_parts(head, Reply::Line(None))
}

/// The answer as the client gets it.
fn respond(
    client: Arc<Client>,
    setup: Arc<Setup>,
    wanted: Wanted,
    running: Running,
    mut logged: Option<Logged>,
    answer: Answer,
) -> Response<Reply> {
    let Answer { response, sender, active } = answer;
    if let Some(logged) = &mut logged {
        logged.status = response.status();
    }
    let (mut head, body) = response.into_parts();
    let is_get = wanted.head.method == Method::GET;
    let resumable = match body.is_end_stream() || !setup.link.resume {
        true => None,
        false => Resumable::of(is_get, wanted.asked, &head_of(head.status, &head.headers)).ok(),
    };
    strip(&mut head.headers);
    head.version = Version::HTTP_11;
    let length = match &resumable {
        Some(resumable) => resumable.length(),
        None => body.size_hint().exact(),
    };
    let listed = (length.is_none_or(|l| l >= LISTED_MIN) && !body.is_end_stream()).then(|| {
        let service = &client.service;
        let (name, backend) = (&service.name, active.backend().address);
        let object = wanted.object();
        service.downloads.list(name, client.peer, object, length, resumable.is_some(), backend)
    });
    let verify = setup.link.verify_overlap;
    let version = wanted.version;
    let resume = resumable.map(|resumable| Resume::new(resumable, wanted.head, verify));
    let told = Told { _running: running, listed, logged };
    let pump = Pump::new(client, &setup.link, version, told, resume, body, sender, active);
    Response::from_parts(head, Reply::Pump(Box::new(pump)))
}
