//! Answers what `dscctl link` asks.

use crate::links::{Links, counted};
use dsc_link::downloads::Download;
use dsc_sys::local::Server;
use dsc_wire::local::{DOWNLOADS_LISTED_MAX, LinkDownload, LinkDownloads, LinkRequest};
use std::io;
use std::sync::Arc;

/// Questions answered in one turn; the rest wait for the next.
const TURN_MAX: usize = 32;

/// Answers the questions that wait; true if there may be more. One that cannot be understood gets no answer and is counted.
///
/// # Errors
/// The socket is beyond use.
pub fn answer_waiting(server: &mut Server, links: &Links) -> io::Result<bool> {
    for _ in 0..TURN_MAX {
        let Some((asker, question)) = server.take()? else { return Ok(false) };
        match serde_json::from_slice(&question).map(|q| serde_json::to_vec(&answer(q, links))) {
            Ok(Ok(text)) => server.answer(&asker, text),
            Ok(Err(e)) => tracing::warn!("cannot encode an answer: {e}"),
            Err(_) => server.malformed += 1,
        }
    }
    Ok(true)
}

fn answer(question: LinkRequest, links: &Links) -> LinkDownloads {
    let LinkRequest::Downloads { service, limit } = question;
    let wanted = |s: &&Arc<dsc_link::service::Service>| {
        service.as_ref().is_none_or(|name| *s.name == **name)
    };
    let mut running: Vec<_> =
        links.services().filter(wanted).flat_map(|s| s.downloads.all()).collect();
    running.sort_by_key(|d| d.since);
    let listed = limit.min(DOWNLOADS_LISTED_MAX) as usize;
    LinkDownloads {
        matched: running.len() as u32,
        downloads: running.iter().take(listed).map(|d| told(d)).collect(),
        services: links.services().map(|s| counted(s)).collect(),
    }
}

fn told(download: &Download) -> LinkDownload {
    LinkDownload {
        service: download.service.to_string(),
        client: download.client,
        object: download.object.clone(),
        sent: download.bytes(),
        length: download.length,
        backend: (!download.is_searching()).then(|| download.backend()),
        resumable: download.resumable,
        resumes: download.resumes(),
        age_ms: download.since.elapsed().as_millis() as u64,
    }
}
