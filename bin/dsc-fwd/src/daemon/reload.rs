//! Another configuration comes into force while the daemon runs: the kernel is brought in line in place. What stays keeps its
//! number, so only what has changed is written, and no packet finds a table that is half new: what leads to something comes
//! after it, and goes before it.

use super::Daemon;
use crate::balance::{self, Given};
use crate::{ground, sources};
use dsc_conf::Config;
use dsc_sys::{clock, nic};
use dsc_wire::local::View;
use dsc_wire::{NodeId, Time};
use std::path::PathBuf;
use std::time::Duration;

/// Between two looks for a configuration that the ring daemon speaks of and that is not stored yet.
const RETRY: Duration = Duration::from_millis(10);
/// The same when what is stored cannot be read.
const RETRY_BAD: Duration = Duration::from_secs(1);

/// Where the configuration is found.
#[derive(Clone, Debug)]
pub struct Files {
    /// What the daemon was started with.
    pub config: PathBuf,
    /// Where dsc-ringd keeps what is in force.
    pub state_dir: PathBuf,
}

/// Why [`Daemon::run`] has ended.
#[derive(Debug)]
pub enum Ended {
    /// A signal asked for it.
    Asked,
    /// A configuration came into force for which everything has to be opened anew, as this node; the kernel goes on meanwhile.
    Anew(Box<Config>, NodeId),
}

/// What is known of configurations that are not in force here.
#[derive(Default)]
pub(super) struct Pending {
    /// A view of another configuration, to be looked at again.
    view: Option<(Time, Box<View>)>,
    /// What was wrong with it, which is said once.
    problem: Option<String>,
    /// It needs everything opened anew.
    pub anew: Option<(Box<Config>, NodeId)>,
}

impl Pending {
    /// When [`Daemon::look_for_config`] is due.
    pub fn deadline(&self) -> Time {
        self.view.as_ref().map_or(Time::NEVER, |(due, _)| *due)
    }
}

impl Daemon {
    /// The ring has another configuration than this daemon: takes it, or looks for it again soon.
    pub(super) fn follow_config(&mut self, now: Time, view: &View) {
        self.pending.view = None;
        let Files { config, state_dir } = &self.files;
        let retry = match Config::of_digest(config, state_dir, view.config_digest) {
            Ok(Some(config)) => {
                self.pending.problem = None;
                return self.change(now, config, view);
            }
            Ok(None) => RETRY,
            Err(problems) => {
                let problem = Some(problems.to_string());
                if self.pending.problem != problem {
                    problems.to_string().lines().for_each(|line| tracing::error!("{line}"));
                    self.pending.problem = problem;
                }
                RETRY_BAD
            }
        };
        self.pending.view = Some((now + retry, Box::new(view.clone())));
    }

    /// Looks again for the configuration of the last view, if it is time.
    pub(super) fn look_for_config(&mut self, now: Time) {
        if now >= self.pending.deadline()
            && let Some((_, view)) = self.pending.view.take()
        {
            self.view(&view);
        }
    }

    fn change(&mut self, now: Time, new: Config, view: &View) {
        let version = new.version;
        if new.nodes.get(view.me).is_none() {
            tracing::warn!(
                "this node is not in version {version} of the configuration: dsc-fwd goes on with what it has, for the \
                 connections that end here, until it is stopped"
            );
            self.pending.problem = Some(String::new());
            return;
        }
        let fixed = |c: &Config| (c.flows.routing, balance::flows_max(c), balance::has_flows(c));
        // A ring daemon that has begun anew may count otherwise.
        let renumbered = view.me != self.me || !new.keeps_numbers_of(&self.config);
        if renumbered || fixed(&new) != fixed(&self.config) {
            self.pending.anew = Some((Box::new(new), view.me));
            return;
        }
        let old = std::mem::replace(&mut self.config, new);
        match self.bring_in_line(now, view) {
            Ok(()) => tracing::info!("version {version} of the configuration is in force"),
            Err(e) => {
                // All of it is done again with the next view, and nothing is told as ready before.
                tracing::error!("cannot go on with version {version} of the configuration: {e}");
                self.config = old;
                self.pending.view = Some((now + RETRY_BAD, Box::new(view.clone())));
            }
        }
    }

    /// Everything that follows from the configuration.
    fn bring_in_line(&mut self, now: Time, view: &View) -> Result<(), String> {
        let config = &self.config;
        let vips = ground::vips(config, self.me);
        let given = balance::given(config, view).unwrap_or_else(|| Given::of_file(config));
        let (services, backends) = balance::rows(config, &given, &mut self.tables);
        let zones = sources::zones(config);
        // Who is told of a flow has to know its ends first.
        self.flows.change(config.backends.bound(), config.flows.timeouts);
        self.flows.know(&vips, &backends, &zones)?;
        self.datapath.set_vips(&vips).map_err(|e| e.to_string())?;
        self.datapath.set_services(&services, &backends).map_err(|e| e.to_string())?;
        self.prompts.ending(now, balance::ending(config, &given));
        self.vips = vips;
        (self.wanted, self.given, self.informed) = (given.clone(), given, true);
        self.waiting.set_hold(config.flows.hold);
        self.signs.change(config, now);
        self.conflicts.keep(|vip| config.vips.get(vip).is_some());
        self.macs.retain(|(node, subnet), _| {
            config.nodes.get(*node).is_some_and(|n| n.address_on(*subnet).is_some())
        });
        self.gifts.retain(|node, _| config.nodes.get(*node).is_some());
        self.set_macs()?;
        self.set_sources()?;
        if let Some(sharing) = &mut self.sharing {
            let nics = nic::nics();
            let nics = nics.map_err(|e| format!("cannot read this machine's addresses: {e}"))?;
            sharing.change(now, &self.config, &nics);
        }
        // Interfaces of new subnets, and the addresses of new VIPs; those of VIPs that are gone go.
        self.programs().and_then(|_| self.addresses(false))?;
        self.look_at_hosts(clock::now());
        Ok(())
    }
}
