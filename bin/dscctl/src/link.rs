//! The command `link`: the downloads that run through this node's proxy, as dsc-link answers. Called by `lib.rs`; no other
//! daemon is asked.

use crate::arguments::LinkArguments;
use crate::ask::Ask;
use crate::failure::{DONE, Failure};
use crate::names;
use crate::reads::Reader;
use crate::show::Shown;
use crate::shown::{DownloadRow, Downloads};
use dsc_wire::local::{LinkDownload, LinkRequest};

/// `link`: those that match, or what there is of each service.
pub fn show(world: &dyn Ask, reader: &mut Reader, wanted: &LinkArguments) -> Result<u8, Failure> {
    let limit = if wanted.count { 0 } else { wanted.limit };
    let request = LinkRequest::Downloads { service: wanted.service.clone(), limit };
    let mut answer = world.link(&request, reader.timeout)?;
    if let Some(name) = &wanted.service {
        if answer.services.iter().all(|service| service.name != *name) {
            return Err(names::no_link(name, &answer.services));
        }
        answer.services.retain(|service| service.name == *name);
    }
    if wanted.count {
        reader.print(&Shown::Links(answer.services))?;
        return Ok(DONE);
    }
    let rows = answer.downloads.into_iter().map(row).collect();
    reader.print(&Shown::Downloads(Downloads { rows, matched: answer.matched }))?;
    Ok(DONE)
}

fn row(download: LinkDownload) -> DownloadRow {
    let LinkDownload { service, object, sent, length, resumable, resumes, age_ms, .. } = download;
    DownloadRow {
        service,
        client: download.client.to_string(),
        object,
        sent,
        length,
        backend: download.backend.map(|backend| backend.to_string()),
        resumable,
        resumes,
        age_ms,
    }
}
