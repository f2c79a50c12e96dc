//! The loop: an interface changed, a probe is due or came to its end, the ring has other members, or a second has passed; tell
//! the ring daemon everything. It decides nothing.

use crate::probes::Probes;
use crate::watch::Watch;
use dsc_conf::Config;
use dsc_sys::clock;
use dsc_sys::link::Links;
use dsc_sys::load::LoadReader;
use dsc_sys::local::{Context, Teller, Views};
use dsc_sys::nic;
use dsc_sys::notify::{self, Watchdog};
use dsc_wire::NodeId;
use dsc_wire::local::socket;
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
pub async fn run(config: Config, mut place: Place<'_>, run_dir: &Path) -> Result<(), String> {
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
    let mut watch = Watch::new(config.digest(), config.nodes[place.me].addresses.clone());
    let mut probes = Probes::new(&config, place.me)?;
    let mut asked = Box::pin(Views::new(&context, run_dir).next());
    let mut seen = (config.digest(), place.me);
    tell_changes(watch.locate(&nics()?));
    // All of them, so that the first facts are true: for a carrier that is not known, a host gives up addresses.
    tell_changes(watch.links(first_list(&mut links).await?));
    notified(notify::ready("watching"));
    loop {
        let mut news = false;
        probes.begin(clock::now())?;
        tokio::select! {
            changed = links.changed() => {
                let changed = changed.map_err(|e| format!("cannot watch interfaces: {e}"))?;
                tell_changes(watch.locate(&nics()?));
                tell_changes(watch.links(changed));
                news = true;
            }
            _ = seconds.tick() => {
                let now = clock::now();
                let bytes = load.nics().map_err(|e| format!("cannot read /proc/net/dev: {e}"))?;
                watch.readings(now, bytes, load.cpu().ok());
                watchdog.turn(now);
                place.follow(seen, &mut probes, &mut watch)?;
                news = true;
            }
            (views, result) = &mut asked => {
                match result {
                    Ok(view) => {
                        seen = (view.config_digest, view.me);
                        place.follow(seen, &mut probes, &mut watch)?;
                        probes.follow(&view);
                    }
                    Err(e) => tracing::debug!("no view: {e}"),
                }
                asked = Box::pin(views.next());
            }
            result = probes.turn() => result?,
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
        news |= probes.is_news(clock::now());
        if news && let Err(e) = teller.tell(&watch.facts(&probes.told)) {
            tracing::warn!("{e}");
        }
    }
    notified(notify::stopping("stopping"));
    Ok(())
}

/// Where the configuration is found, and who this is.
pub struct Place<'a> {
    /// What the daemon was started with.
    pub file: &'a Path,
    /// Where dsc-ringd keeps what is in force.
    pub state_dir: &'a Path,
    /// This node.
    pub me: NodeId,
}

impl Place<'_> {
    /// Goes on with the configuration of this digest, in which this node has that number, if it is another one and is there; the
    /// caller tries again until then.
    fn follow(
        &mut self,
        (digest, me): (u64, NodeId),
        probes: &mut Probes,
        watch: &mut Watch,
    ) -> Result<(), String> {
        if digest == probes.digest() {
            return Ok(());
        }
        match Config::of_digest(self.file, self.state_dir, digest) {
            // A node that was taken out watches what it has, until it is stopped.
            Ok(Some(config)) if config.nodes.get(me).is_some() => {
                if me == self.me {
                    probes.change(&config);
                } else {
                    // What has been found was found under other numbers.
                    *probes = Probes::new(&config, me)?;
                    self.me = me;
                }
                watch.change(digest, config.nodes[me].addresses.clone());
                tell_changes(watch.locate(&nics()?));
                tracing::info!("version {} of the configuration is in force", config.version);
            }
            Ok(_) => {}
            Err(problems) => {
                problems.to_string().lines().for_each(|line| tracing::error!("{line}"))
            }
        }
        Ok(())
    }
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
