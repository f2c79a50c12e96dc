//! `metrics`: what this node knows, as text for Prometheus, for the textfile collector of its node exporter. Asks the
//! daemons, dsc-link only where a service is a link; one that does not answer is told by a metric, and the others' are still
//! written. What stands in the text is in `metrics/ring.rs`, `metrics/path.rs` and `metrics/link.rs`, how it is written in
//! `metrics/text.rs`.

mod link;
mod path;
mod ring;
mod text;

use crate::arguments::MetricsArguments;
use crate::ask::{self, Ask};
use crate::failure::{DONE, Failure, reason};
use crate::show::lost;
use dsc_wire::local::{
    Event, FlowFilter, FlowTotals, FwdCounters, FwdServices, LinkRequest, LinkService, View,
};
use dsc_wire::{ServiceKind, Time};
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use text::Text;

/// The node exporter, or whoever collects, reads it as another user.
const MODE: u32 = 0o644;

/// What the ring daemon answered.
struct Ring {
    view: View,
    events: Vec<Event>,
    now: Time,
    wall_ms: u64,
}

/// What the data path daemon answered.
struct DataPath {
    counters: FwdCounters,
    services: FwdServices,
    totals: FlowTotals,
}

impl DataPath {
    fn has_link(&self) -> bool {
        self.services.there().any(|service| service.kind == ServiceKind::Link)
    }
}

/// Writes the metrics to the file, or else to `out`. Fails after that if a daemon did not answer.
pub fn run(
    world: &dyn Ask,
    out: &mut dyn Write,
    wanted: &MetricsArguments,
    timeout: Duration,
) -> Result<u8, Failure> {
    let ring = ask_ring(world, timeout);
    let path = ask_path(world, timeout);
    let link = path.as_ref().ok().filter(|path| path.has_link()).map(|_| ask_link(world, timeout));
    let text = fill(ring.as_ref().ok(), path.as_ref(), link.as_ref().map(|l| l.as_deref().ok()));
    match &wanted.output {
        Some(file) => put(file, text.as_bytes())?,
        None => out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(lost)?,
    }
    ring.and(path)?;
    link.transpose().map(|_| DONE)
}

fn ask_ring(world: &dyn Ask, timeout: Duration) -> Result<Ring, Failure> {
    let view = ask::view(world, 0, Duration::ZERO, timeout)?;
    let events = ask::events(world, 0, Duration::ZERO, timeout)?;
    Ok(Ring { view, events, now: world.now(), wall_ms: world.wall_ms() })
}

fn ask_path(world: &dyn Ask, timeout: Duration) -> Result<DataPath, Failure> {
    let counters = world.counters(timeout)?;
    let services = world.services(timeout)?;
    let totals = world.flows(FlowFilter::default(), 0, timeout)?.totals;
    Ok(DataPath { counters, services, totals })
}

fn ask_link(world: &dyn Ask, timeout: Duration) -> Result<Vec<LinkService>, Failure> {
    let request = LinkRequest::Downloads { service: None, limit: 0 };
    world.link(&request, timeout).map(|answer| answer.services)
}

/// The whole text; `link` is none where no service is a link. Metrics that nobody answered for are left out.
fn fill(
    ring: Option<&Ring>,
    path: Result<&DataPath, &Failure>,
    link: Option<Option<&[LinkService]>>,
) -> String {
    let mut text = Text::default();
    let mon = ring.is_some_and(|r| r.view.heard.mon.is_some_and(|last| ring::speaks(last, r.now)));
    let up = [("dsc-ringd", ring.is_some()), ("dsc-fwd", path.is_ok()), ("dsc-mon", mon)];
    let up = up.into_iter().chain(link.map(|link| ("dsc-link", link.is_some())));
    let mut family = text.gauge("dsc_up", "1 if the daemon answers, or for dsc-mon, speaks");
    for (daemon, up) in up {
        family.add(&[("daemon", daemon)], u64::from(up));
    }
    if let Some(ring) = ring {
        ring::fill(&mut text, ring, path.map(|p| &p.counters));
    }
    if let Ok(path) = path {
        path::fill(&mut text, ring.map(|r| &r.view.names), path);
    }
    if let Some(links) = link.flatten() {
        link::fill(&mut text, links);
    }
    text.into_string()
}

/// Into a file that is there or not, or whatever a link leads to; a device or a pipe is written to, and stays.
fn put(file: &Path, text: &[u8]) -> Result<(), Failure> {
    let written = match fs::symlink_metadata(file).map(|_| fs::metadata(file)) {
        Ok(Ok(there)) if there.is_file() => fs::canonicalize(file).and_then(|f| replace(&f, text)),
        Ok(Ok(there)) if there.file_type().is_char_device() || there.file_type().is_fifo() => {
            OpenOptions::new().write(true).open(file).and_then(|mut open| open.write_all(text))
        }
        Ok(Ok(there)) if there.is_dir() => Err(ErrorKind::IsADirectory.into()),
        Ok(Ok(_)) => Err(io::Error::other("it is no file")),
        Ok(Err(broken)) => Err(broken),
        Err(absent) if absent.kind() == ErrorKind::NotFound => replace(file, text),
        Err(error) => Err(error),
    };
    written.map_err(|error| {
        Failure::Refused(format!("cannot write {}: {}", file.display(), reason(&error)))
    })
}

/// Writes another file beside it and gives it its name: whoever collects meanwhile reads all of the old or all of the new.
fn replace(file: &Path, text: &[u8]) -> io::Result<()> {
    let fresh = beside(file);
    let written = write_new(&fresh, text).and_then(|()| fs::rename(&fresh, file));
    written.inspect_err(|_| {
        let left = fs::remove_file(&fresh);
        debug_assert!(left.is_ok() || !fresh.exists());
    })
}

/// Its end is not that of the file: a collector that takes all files of one end does not take this.
fn beside(file: &Path) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".new-{}", std::process::id()));
    file.with_file_name(name)
}

fn write_new(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(path)?;
    // Whatever the umask is.
    file.set_permissions(Permissions::from_mode(MODE))?;
    file.write_all(text)
}
