//! Operators' commands, entered at any member. In each of its turns the member that was asked looks at the token:
//! is the effect there, is it still possible, has it to be applied (again)? It is done when every member has passed
//! a token that shows it. Applying twice does no harm, so a token that is lost and made again loses no command.

use crate::Output;
use crate::ring::{Ring, State};
use dsc_wire::local::{Command, Duty, EventKind};
use dsc_wire::token::Token;
use dsc_wire::{Epoch, Key, NodeId, Persistence, Time, VipId};
use std::time::Duration;

/// Commands in progress at one member.
const PENDING_MAX: usize = 64;
/// A command that could not be carried out for so long is refused.
const PATIENCE: Duration = Duration::from_secs(60);

const UNDONE: &str = "another command has undone it";

/// A command in progress.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    id: u64,
    command: Command,
    pub until: Time,
    /// Key of the token on which its effect was first seen.
    seen: Option<Key>,
    /// Formation in which it was applied last.
    applied: Option<Epoch>,
}

/// What the token says about a command.
enum Progress {
    /// Its effect is there.
    Visible,
    /// It is under way.
    Waiting,
    /// It has to be applied.
    Missing,
    /// It cannot be carried out.
    Refused(String),
}

impl Ring {
    pub(crate) fn on_command(
        &mut self,
        now: Time,
        id: u64,
        command: Command,
        out: &mut Vec<Output>,
    ) {
        let refusal = if self.leaving.is_some() || matches!(self.state, State::Gone) {
            Some("this node is leaving the ring".to_owned())
        } else if self.pending.len() >= PENDING_MAX {
            Some(format!("{PENDING_MAX} commands are in progress here already"))
        } else {
            self.nonsense(&command)
        };
        if let Some(reason) = refusal {
            return out.push(Output::Done { id, result: Err(reason) });
        }
        self.pending.push(Pending {
            id,
            command,
            until: now + PATIENCE,
            seen: None,
            applied: None,
        });
        self.turn_now(now, out);
    }

    /// A command that no state of the cluster could make possible.
    fn nonsense(&self, command: &Command) -> Option<String> {
        let (vip, node) = match *command {
            Command::MoveVip { vip, node } => (Some(vip), Some(node)),
            Command::Pin { vip, node } => (Some(vip), node),
            Command::Unpin { vip } => (Some(vip), None),
            Command::Duty { node, .. } => (None, Some(node)),
            Command::Backend { backend, .. } => {
                let there = self.cluster.is_backend(backend);
                return (!there).then(|| format!("there is no {backend}"));
            }
            Command::Check { node: Some(node), .. } => {
                let there = node.index() < self.cluster.nodes.len();
                return (!there).then(|| format!("there is no {node}"));
            }
            Command::Check { node: None, .. } => (None, None),
        };
        if let Some(vip) = vip.filter(|v| !self.cluster.is_vip(*v)) {
            return Some(format!("there is no {vip}"));
        }
        let node = node?;
        let Some(plan) = self.cluster.nodes.get(node.index()).filter(|n| !n.is_hole()) else {
            return Some(format!("there is no {node}"));
        };
        if plan.witness {
            return Some(format!("{node} is a witness and never hosts"));
        }
        let subnet = vip.map(|v| self.cluster.vips[v.index()].subnet);
        if subnet.is_some_and(|s| !plan.subnets.contains(s)) {
            return Some(format!("{node} has no address on the subnet of that VIP"));
        }
        match *command {
            Command::Duty { duty: Duty::Witness, .. } => {
                Some("only the configuration makes a node a witness".to_owned())
            }
            Command::MoveVip { .. }
            | Command::Pin { .. }
            | Command::Unpin { .. }
            | Command::Duty { .. }
            | Command::Backend { .. }
            | Command::Check { .. } => None,
        }
    }

    /// Does what the commands entered here need, in this node's turn.
    pub(crate) fn work_commands(&mut self, now: Time, token: &mut Token, out: &mut Vec<Output>) {
        self.drop_wishes(token);
        let mut pending = std::mem::take(&mut self.pending);
        pending.retain_mut(|p| {
            // A token of another formation may have been made from a copy that did not show it: what was passed before says
            // nothing about who has seen it.
            p.seen = p.seen.filter(|key| key.epoch == token.key.epoch);
            match self.progress(token, p) {
                Progress::Visible => {}
                Progress::Waiting => {
                    p.seen = None;
                    return true;
                }
                // Only another command takes away what was applied to a token that was not lost since.
                Progress::Missing if p.applied == Some(token.key.epoch) => {
                    out.push(Output::Done { id: p.id, result: Err(UNDONE.to_owned()) });
                    return false;
                }
                Progress::Missing => {
                    p.seen = None;
                    p.applied = Some(token.key.epoch);
                    self.apply(now, token, &p.command);
                    self.stir(token);
                    return true;
                }
                Progress::Refused(reason) => {
                    out.push(Output::Done { id: p.id, result: Err(reason) });
                    return false;
                }
            }
            let key = *p.seen.get_or_insert(token.key);
            let all = token.members.iter().all(|m| m.node == self.me || m.rec > key);
            if all {
                let text = done_text(&p.command);
                out.push(Output::Done { id: p.id, result: Ok(text) });
            } else {
                self.stir(token);
            }
            !all
        });
        self.pending = pending;
    }

    /// A move to a node that cannot take the VIP any more is given up.
    fn drop_wishes(&self, token: &mut Token) {
        for i in 0..token.vips.len() {
            let subnet = self.cluster.vips[i].subnet;
            let v = &token.vips[i];
            let Some(wish) = v.wish else { continue };
            let there = v.owner == Some(wish) && v.heir.is_none();
            if there || !self.eligible(token, wish, subnet) {
                token.vips[i].wish = None;
            }
        }
    }

    fn progress(&self, token: &Token, pending: &Pending) -> Progress {
        match pending.command {
            Command::MoveVip { vip, node } => self.move_progress(token, vip, node),
            Command::Pin { vip, node } => {
                let v = &token.vips[vip.index()];
                let wanted = match node {
                    Some(_) => (Persistence::Preferred, node),
                    None => (Persistence::Current, None),
                };
                visible((v.persistence, v.preferred) == wanted)
            }
            Command::Unpin { vip } => {
                visible(token.vips[vip.index()].persistence == Persistence::Free)
            }
            Command::Duty { node, duty } => self.duty_progress(token, node, duty),
            // It is applied also if it changes nothing here: a ring that this one merges with may have another state. This
            // node has not forgotten it, so only a later word can have undone it.
            Command::Backend { backend, state } => match pending.applied {
                None => Progress::Missing,
                Some(_) if self.backend_state(backend) == state => Progress::Visible,
                Some(_) => Progress::Refused(UNDONE.to_owned()),
            },
            Command::Check { check, node, on } => match pending.applied {
                None => Progress::Missing,
                Some(_) if self.is_switched(check, node, on) => Progress::Visible,
                Some(_) => Progress::Refused(UNDONE.to_owned()),
            },
        }
    }

    fn move_progress(&self, token: &Token, vip: VipId, node: NodeId) -> Progress {
        let v = &token.vips[vip.index()];
        let subnet = self.cluster.vips[vip.index()].subnet;
        if v.owner == Some(node) && v.heir.is_none() {
            return Progress::Visible;
        }
        let Some(member) = token.member(node) else {
            return Progress::Refused(format!("{node} is not a member of the ring"));
        };
        let refusal = match member.duty {
            Duty::Draining => Some(format!("{node} is being drained")),
            Duty::Closed => Some(format!("{node} is closed")),
            Duty::Witness => Some(format!("{node} is a witness and never hosts")),
            Duty::Open if member.leaving => Some(format!("{node} is leaving the ring")),
            Duty::Open if !self.able_on(token, node, subnet) => {
                Some(format!("{node} cannot host {vip} now: no carrier or no contact there"))
            }
            Duty::Open if !self.eligible(token, node, subnet) => {
                Some(format!("{node} should not host {vip} now: a critical check is red there"))
            }
            Duty::Open => None,
        };
        if let Some(reason) = refusal {
            return Progress::Refused(reason);
        }
        let home = v.preferred.filter(|home| {
            v.persistence == Persistence::Preferred
                && *home != node
                && self.eligible(token, *home, subnet)
        });
        match home {
            Some(home) => {
                Progress::Refused(format!("{vip} is pinned to {home}, which is able: unpin it"))
            }
            None if v.wish == Some(node) => Progress::Waiting,
            None => Progress::Missing,
        }
    }

    fn duty_progress(&self, token: &Token, node: NodeId, duty: Duty) -> Progress {
        // A node outside has nothing left to drain.
        let outside = |duty| if duty == Duty::Draining { Duty::Closed } else { duty };
        let absent = token.absent.iter().find(|a| a.node == node).map(|a| outside(a.duty));
        let now = token.member(node).map(|m| m.duty).or(absent).unwrap_or(Duty::Open);
        let hosts = |i: usize| {
            let v = &token.vips[i];
            !self.cluster.vips[i].is_hole()
                && token.has(node)
                && [v.owner, v.heir].contains(&Some(node))
        };
        let stays = |i: &usize| {
            let subnet = self.cluster.vips[*i].subnet;
            let others = token.members.iter().filter(|m| m.node != node);
            !others.into_iter().any(|m| self.eligible(token, m.node, subnet))
        };
        let hosted: Vec<usize> = (0..token.vips.len()).filter(|i| hosts(*i)).collect();
        let stuck = hosted.iter().copied().filter(stays).count();
        let cannot = format!("hosts {stuck} VIPs that no other member can host");
        match (duty, now) {
            (Duty::Open, Duty::Open) => Progress::Visible,
            (Duty::Closed | Duty::Draining, Duty::Closed) if hosted.is_empty() => Progress::Visible,
            // Whoever could have taken them was lost after the command was applied: they stay served.
            (Duty::Closed | Duty::Draining, Duty::Closed) if stuck == hosted.len() => {
                Progress::Refused(format!("{node} is closed, but {cannot}"))
            }
            (Duty::Draining, Duty::Draining) if stuck > 0 && stuck == hosted.len() => {
                Progress::Refused(format!("{node} is being drained, but {cannot}"))
            }
            (Duty::Closed, Duty::Closed) | (Duty::Draining, Duty::Draining | Duty::Closed) => {
                Progress::Waiting
            }
            (Duty::Open, _) => Progress::Missing,
            (Duty::Closed | Duty::Draining | Duty::Witness, _) => match stuck {
                0 => Progress::Missing,
                _ => Progress::Refused(format!("{node} {cannot}")),
            },
        }
    }

    fn apply(&mut self, now: Time, token: &mut Token, command: &Command) {
        match *command {
            Command::MoveVip { vip, node } => token.vips[vip.index()].wish = Some(node),
            Command::Pin { vip, node } => {
                let persistence = match node {
                    Some(_) => Persistence::Preferred,
                    None => Persistence::Current,
                };
                self.pin(now, token, vip, persistence, node);
            }
            Command::Unpin { vip } => {
                let preferred = self.cluster.vips[vip.index()].preferred;
                self.pin(now, token, vip, Persistence::Free, preferred);
            }
            Command::Duty { node, duty } => {
                match token.member_mut(node) {
                    Some(m) => m.duty = duty,
                    // Nothing to drain: it is closed when it comes back.
                    None => {
                        let duty = if duty == Duty::Draining { Duty::Closed } else { duty };
                        let steer_us = token.absent.iter().find(|a| a.node == node);
                        let steer_us = steer_us.map_or(0, |a| a.steer_us);
                        self.remember(token, node, duty, steer_us);
                    }
                }
                if node == self.me {
                    self.duty = duty;
                }
                self.report(now, EventKind::DutyChanged { peer: node, duty });
            }
            Command::Backend { backend, state } => self.set_backend(now, token, backend, state),
            Command::Check { check, node, on } => self.set_switch(now, token, check, node, on),
        }
    }

    fn pin(
        &mut self,
        now: Time,
        token: &mut Token,
        vip: VipId,
        persistence: Persistence,
        preferred: Option<NodeId>,
    ) {
        let v = &mut token.vips[vip.index()];
        v.persistence = persistence;
        v.preferred = preferred;
        self.report(now, EventKind::Pinned { vip, preferred, persistence });
    }

    /// A node that was drained is closed when its last VIP has gone.
    pub(crate) fn settle_duty(&mut self, now: Time, token: &mut Token) {
        let me = self.me;
        let vips = token.vips.iter().zip(&self.cluster.vips).filter(|(_, plan)| !plan.is_hole());
        let named = vips.into_iter().any(|(v, _)| [v.owner, v.heir, v.next].contains(&Some(me)));
        let Some(m) = token.member_mut(me).filter(|m| m.duty == Duty::Draining && !named) else {
            return;
        };
        m.duty = Duty::Closed;
        self.duty = Duty::Closed;
        self.stir(token);
        self.report(now, EventKind::DutyChanged { peer: me, duty: Duty::Closed });
    }

    pub(crate) fn tick_commands(&mut self, now: Time, out: &mut Vec<Output>) {
        self.pending.retain(|p| {
            if now >= p.until {
                let reason = format!("not carried out within {} s", PATIENCE.as_secs());
                out.push(Output::Done { id: p.id, result: Err(reason) });
            }
            now < p.until
        });
    }

    /// Commands about what another configuration does not have any more.
    pub(crate) fn refuse_nonsense(&mut self, out: &mut Vec<Output>) {
        for pending in std::mem::take(&mut self.pending) {
            match self.nonsense(&pending.command) {
                Some(reason) => out.push(Output::Done { id: pending.id, result: Err(reason) }),
                None => self.pending.push(pending),
            }
        }
    }

    pub(crate) fn refuse_commands(&mut self, reason: &str, out: &mut Vec<Output>) {
        let pending = std::mem::take(&mut self.pending);
        out.extend(pending.iter().map(|p| {
            let result = Err(reason.to_owned());
            Output::Done { id: p.id, result }
        }));
    }
}

fn visible(there: bool) -> Progress {
    if there { Progress::Visible } else { Progress::Missing }
}

fn done_text(command: &Command) -> String {
    match *command {
        Command::MoveVip { vip, node } => format!("{vip} is on {node}"),
        Command::Pin { vip, node: Some(node) } => format!("{vip} is pinned to {node}"),
        Command::Pin { vip, node: None } => format!("{vip} stays where it is"),
        Command::Unpin { vip } => format!("{vip} is free to move"),
        Command::Backend { backend, state } => format!("{backend} is {state}"),
        Command::Check { check, node, on } => {
            let wherever = node.map_or("wherever it is made".to_owned(), |n| format!("on {n}"));
            format!("{check} is switched {} {wherever}", if on { "on" } else { "off" })
        }
        Command::Duty { node, duty: Duty::Open } => format!("{node} is open"),
        Command::Duty { node, duty: Duty::Draining } => format!("{node} is drained and closed"),
        Command::Duty { node, duty: Duty::Closed | Duty::Witness } => format!("{node} is closed"),
    }
}
