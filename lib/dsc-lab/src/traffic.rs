//! Something that an operator does to a running cluster on purpose, beside all the traffic there is: probes of every address
//! of `ext`, live downloads and new connections through the services. It tells what the clients lived through, and judges
//! nothing.

use crate::downloads::{Downloads, Report};
use crate::error::Result;
use crate::figures::{self, Figures};
use crate::lab::Lab;
use crate::openings::{Counts, Openings};
use crate::pace::Pace;
use crate::probe::Prober;
use crate::topology::Subnet;
use crate::{clock, scenario, services, wait};

/// Live downloads.
const DOWNLOADS: usize = 200;
/// New connections per second.
const PER_S: u32 = 100;
/// Longest wait for the traffic to begin, ms.
const BEGIN_MS: u64 = 60_000;
/// Longest wait for the downloads to flow again after it, ms: what is silent then is broken.
const FLOW_MS: u64 = 20_000;

/// What the clients lived through.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The probes.
    pub figures: Figures,
    /// The live downloads.
    pub downloads: Report,
    /// The new connections.
    pub openings: Counts,
}

impl Seen {
    /// Connections that broke: live ones, and new ones that had been accepted.
    pub fn broken(&self) -> u64 {
        self.downloads.broken as u64 + self.openings.broken
    }
}

/// Does something beside the traffic of a lab with services, from calm to calm. Addresses may move meanwhile, from and to
/// whom it likes: moves are in the figures.
///
/// # Errors
/// The lab is not calm before or after, the traffic does not begin, or a step of `act` fails.
pub fn beside<T>(lab: &mut Lab, act: impl FnOnce(&mut Lab) -> Result<T>) -> Result<(T, Seen)> {
    let list = lab.plan.vip_list();
    let vips: Vec<usize> = (0..list.len()).filter(|v| list[*v].subnet == Subnet::Ext).collect();
    let to = services::web(&lab.plan, false);
    let prober = Prober::start(lab, &vips)?;
    scenario::calm(lab, &prober)?;
    let downloads = Downloads::start(lab, &to, DOWNLOADS, Pace::Steady)?;
    downloads.wait_live(BEGIN_MS)?;
    let openings = Openings::start(lab, &to, PER_S)?;
    openings.wait_served(u64::from(PER_S), BEGIN_MS)?;
    wait::observe(Pace::Steady.every_ms());
    downloads.mark();
    let at_ns = clock::now_ns();
    let done = act(lab)?;
    scenario::calm(lab, &prober)?;
    // Without it the time is up, and the report says what is silent.
    let _ = wait::until("the downloads flow", FLOW_MS, || {
        downloads.flowing(Pace::Steady.every_ms()).then_some(())
    });
    let openings = openings.stop();
    let seen = prober.stop()?.between(at_ns, u64::MAX);
    let figures = figures::judge(&seen, at_ns, &[]);
    Ok((done, Seen { figures, downloads: downloads.report(), openings }))
}
