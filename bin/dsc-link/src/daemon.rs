//! The loop: a view, a second that has passed, a question, a signal, a process that takes this one's place. The workers serve
//! meanwhile; nothing here waits for a client.

use crate::control::answer_waiting;
use crate::links::Links;
use dsc_conf::Config;
use dsc_link::workers::Workers;
use dsc_sys::clock;
use dsc_sys::listen::{Elder, Heir, Heirs};
use dsc_sys::local::{Access, Context, Server, Views};
use dsc_sys::notify::{self, Watchdog};
use dsc_sys::single::Single;
use dsc_wire::NodeId;
use dsc_wire::local::socket;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior};

/// Between two looks at files and at what could not be done before.
const INTERVAL: Duration = Duration::from_secs(1);
/// Between two looks for a process that takes this one's place, and at the connections that are left.
const LOOK: Duration = Duration::from_millis(50);
/// Longest time for what runs to come to its end after a planned stop; the service manager's own limit may be shorter.
const DRAIN_MAX: Duration = Duration::from_secs(3600);
/// Where a process waits for its heir, below the run directory.
pub const HEIRS: &str = "link.heirs";

/// Where things are found, and who this is.
pub struct Place<'a> {
    /// What the daemon was started with.
    pub file: &'a Path,
    /// Where dsc-ringd keeps what is in force.
    pub state_dir: &'a Path,
    /// Where the sockets are.
    pub run_dir: &'a Path,
    /// This node.
    pub me: NodeId,
}

/// How this process began.
pub enum Start {
    /// It is the only one.
    Alone(Single),
    /// It takes the place of another.
    Instead(Elder, Vec<TcpListener>),
}

/// What only the one process has that serves now.
struct Office {
    server: Server,
    heirs: Heirs,
    _single: Single,
}

impl Office {
    fn open(context: &Context, run_dir: &Path, single: Single) -> Result<Office, String> {
        let path = run_dir.join(socket::LINK);
        let server = Server::open(context, &path, Access::Read).map_err(|e| e.to_string())?;
        let path = run_dir.join(HEIRS);
        let heirs = Heirs::open(&path);
        let heirs = heirs.map_err(|e| format!("cannot wait at {}: {e}", path.display()))?;
        Ok(Office { server, heirs, _single: single })
    }
}

/// The signals that ask to stop.
struct Stop(Signal, Signal);

impl Stop {
    async fn asked(&mut self) {
        tokio::select! {
            _ = self.0.recv() => {}
            _ = self.1.recv() => {}
        }
    }
}

fn on(kind: SignalKind) -> Result<Signal, String> {
    signal(kind).map_err(|e| format!("cannot wait for signals: {e}"))
}

/// Runs until a signal asks to stop, or another process has taken its place, and what ran has come to its end.
///
/// # Errors
/// What could not be opened, or that a source failed for good.
pub async fn run(config: Config, place: Place<'_>, start: Start) -> Result<(), String> {
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = Workers::start(count).map_err(|e| format!("cannot start the workers: {e}"))?;
    let mut stop = Stop(on(SignalKind::terminate())?, on(SignalKind::interrupt())?);
    let (mut hang_up, mut renewal) = (on(SignalKind::hangup())?, on(SignalKind::user_defined2())?);
    // Its locks end with it: it must go before another process can have them.
    let context = Context::new();
    let (links, mut office) = match start {
        Start::Alone(single) => {
            let office = Office::open(&context, place.run_dir, single)?;
            let mut links = Links::new(workers, Vec::new());
            links.change(&config);
            (links, office)
        }
        Start::Instead(elder, sockets) => {
            let mut links = Links::new(workers, sockets);
            links.change(&config);
            let heard = elder.heard();
            heard.map_err(|e| format!("the process whose place this takes does not go: {e}"))?;
            let single = Single::take(place.run_dir, "dsc-link").map_err(|e| e.to_string())?;
            (links, Office::open(&context, place.run_dir, single)?)
        }
    };
    let mut links = links;
    let mut seconds = tokio::time::interval(INTERVAL);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut watchdog = Watchdog::new(clock::now());
    let mut digest = config.digest();
    let mut asked = Box::pin(Views::new(&context, place.run_dir).next());
    notified(notify::ready("serving"));
    let mut child: Option<Child> = None;
    let heir = loop {
        tokio::select! {
            _ = seconds.tick() => {
                watchdog.turn(clock::now());
                place.follow(digest, &mut links);
                links.refresh(false);
                links.listen();
                // One that did not take this one's place has told why.
                if child.as_mut().is_some_and(|c| !is_running(c)) {
                    child = None;
                }
            }
            (views, result) = &mut asked => {
                match result {
                    Ok(view) => {
                        digest = view.config_digest;
                        place.follow(digest, &mut links);
                        links.follow(&view);
                    }
                    Err(e) => tracing::debug!("no view: {e}"),
                }
                asked = Box::pin(views.next());
            }
            news = office.server.news() => {
                news.map_err(|e| format!("cannot wait for questions: {e}"))?;
                while answer_waiting(&mut office.server, &links)
                    .map_err(|e| format!("cannot read questions: {e}"))? {}
            }
            _ = looks.tick() => match office.heirs.take() {
                Ok(Some(heir)) => if let Some(heir) = give(heir, &links) {
                    break Some(heir);
                },
                Ok(None) => {}
                Err(e) => tracing::warn!("cannot be replaced: {e}"),
            },
            _ = hang_up.recv() => links.refresh(true),
            _ = renewal.recv() => if child.is_none() {
                child = replace();
            },
            () = stop.asked() => break None,
        }
    };
    match &heir {
        Some(_) => tracing::info!("what runs here comes to its end"),
        None => notified(notify::stopping("what runs comes to its end")),
    }
    links.close();
    // The heir waits for the locks; they go before it is told.
    drop(asked);
    drop(office);
    drop(context);
    drop(heir);
    drain(&links, &mut stop).await;
    links.end();
    Ok(())
}

/// Waits until nothing runs, or is told again to stop.
async fn drain(links: &Links, stop: &mut Stop) {
    let until = Instant::now() + DRAIN_MAX;
    let mut looks = tokio::time::interval(LOOK);
    while !links.is_over() && Instant::now() < until {
        tokio::select! {
            _ = looks.tick() => {}
            () = stop.asked() => {
                tracing::warn!("{} connections are cut", links.connections());
                return;
            }
        }
    }
}

/// Hands the sockets on; none if the other did not take them.
fn give(mut heir: Heir, links: &Links) -> Option<Heir> {
    match heir.give(&links.sockets()) {
        Ok(()) => {
            if let Ok(pid) = heir.pid() {
                tracing::info!("process {pid} takes this one's place");
                notified(notify::replaced(pid));
            }
            Some(heir)
        }
        Err(e) => {
            tracing::warn!("a process that would take this one's place did not: {e}");
            None
        }
    }
}

/// Starts the program again, as it is installed now, to take this process's place.
fn replace() -> Option<Child> {
    let mut arguments = std::env::args_os();
    let program = arguments.next().map(PathBuf::from)?;
    let mut command = Command::new(program);
    command.args(arguments.filter(|a| a != "--replace")).arg("--replace");
    // It is watched as soon as it is the main process, under a number that is not known yet.
    command.env_remove("WATCHDOG_PID");
    match command.spawn() {
        Ok(child) => Some(child),
        Err(e) => {
            tracing::error!("cannot start the program again: {e}");
            None
        }
    }
}

fn is_running(child: &mut Child) -> bool {
    matches!(child.try_wait(), Ok(None))
}

impl Place<'_> {
    /// Goes on with the configuration of this digest, if it is another one and is there; the caller tries again until then.
    fn follow(&self, digest: u64, links: &mut Links) {
        if digest == links.digest() {
            return;
        }
        match Config::of_digest(self.file, self.state_dir, digest) {
            // A node that was taken out serves what it has, until it is stopped.
            Ok(Some(config)) if config.nodes.get(self.me).is_some() => {
                links.change(&config);
                tracing::info!("version {} of the configuration is in force", config.version);
            }
            Ok(_) => {}
            Err(problems) => {
                problems.to_string().lines().for_each(|line| tracing::error!("{line}"));
            }
        }
    }
}

fn notified(result: std::io::Result<()>) {
    if let Err(e) = result {
        tracing::warn!("cannot reach the service manager: {e}");
    }
}
