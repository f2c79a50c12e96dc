//! The loop: an interface changed, or a second has passed; tell the ring daemon everything. It decides nothing.

use crate::watch::Watch;
use dsc_sys::clock;
use dsc_sys::link::Links;
use dsc_sys::load::LoadReader;
use dsc_sys::local::{Context, Teller};
use dsc_sys::nic;
use dsc_sys::notify::{self, Watchdog};
use dsc_wire::local::socket;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::MissedTickBehavior;

/// Between two readings of the load; also how often the ring daemon hears that this one lives.
const INTERVAL: Duration = Duration::from_secs(1);
/// Longest wait for the kernel to list all interfaces; machines have thousands.
const LIST_MAX: Duration = Duration::from_secs(5);

/// Runs until a signal asks to stop. A ring daemon that is not there yet is told later.
///
/// # Errors
/// What could not be opened, or that a source failed for good.
pub async fn run(addresses: Vec<Option<IpAddr>>, run_dir: &Path) -> Result<(), String> {
    let links = Links::open_without_filters();
    let mut links = links.map_err(|e| format!("cannot watch interfaces: {e}"))?;
    let mut load = LoadReader::open().map_err(|e| format!("cannot read /proc: {e}"))?;
    let context = Context::new();
    let facts_path = run_dir.join(socket::FACTS);
    let mut teller = Teller::new(&context, &facts_path).map_err(|e| e.to_string())?;
    let unwatched = |e| format!("cannot wait for signals: {e}");
    let mut terminate = signal(SignalKind::terminate()).map_err(unwatched)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(unwatched)?;
    let mut seconds = tokio::time::interval(INTERVAL);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut watchdog = Watchdog::new(clock::now());
    let mut watch = Watch::new(addresses);
    tell_changes(watch.locate(&nics()?));
    // All of them, so that the first facts are true: for a carrier that is not known, a host gives up addresses.
    tell_changes(watch.links(first_list(&mut links).await?));
    notified(notify::ready("watching"));
    loop {
        tokio::select! {
            changed = links.changed() => {
                let changed = changed.map_err(|e| format!("cannot watch interfaces: {e}"))?;
                tell_changes(watch.locate(&nics()?));
                tell_changes(watch.links(changed));
            }
            _ = seconds.tick() => {
                let now = clock::now();
                let bytes = load.nics().map_err(|e| format!("cannot read /proc/net/dev: {e}"))?;
                watch.readings(now, bytes, load.cpu().ok());
                watchdog.turn(now);
            }
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
        if let Err(e) = teller.tell(&watch.facts()) {
            tracing::warn!("{e}");
        }
    }
    notified(notify::stopping("stopping"));
    Ok(())
}

async fn first_list(links: &mut Links) -> Result<Vec<dsc_sys::link::Link>, String> {
    let answer = tokio::time::timeout(LIST_MAX, links.list()).await;
    let answer = answer.map_err(|_| "the kernel does not list its interfaces".to_owned())?;
    answer.map_err(|e| format!("cannot list interfaces: {e}"))
}

fn nics() -> Result<Vec<nic::Nic>, String> {
    nic::nics().map_err(|e| format!("cannot read this machine's addresses: {e}"))
}

fn tell_changes(changes: Vec<String>) {
    for change in changes {
        tracing::info!("{change}");
    }
}

fn notified(result: std::io::Result<()>) {
    if let Err(e) = result {
        tracing::warn!("cannot reach the service manager: {e}");
    }
}
