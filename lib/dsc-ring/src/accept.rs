//! Rules 1 and 13, receiving side: is a token that arrived taken, and what does its sender learn?

use crate::Output;
use crate::ring::{Ring, State};
use dsc_wire::message::{Outcome, TokenVerdict, Verdict};
use dsc_wire::token::Token;
use dsc_wire::{Cluster, NodeId, Receipt, Time};

impl Ring {
    /// A token arrived, from `from` itself or relayed for it.
    pub(crate) fn on_token(
        &mut self,
        now: Time,
        from: NodeId,
        receipt: Receipt,
        mut token: Box<Token>,
        out: &mut Vec<Output>,
    ) {
        self.recognize(now, &mut token, out);
        if matches!(self.state, State::Gone) {
            out.push(Output::Answer { receipt, verdict: Verdict::Quiet });
            return;
        }
        let outcome = self.judge(&token);
        if token.digest != self.cluster.digest {
            self.same_config(now, Some(from), token.config.version, token.digest, out);
        }
        self.heard = self.heard.max(match outcome {
            Outcome::Accepted => token.key.epoch.counter,
            // A stale token teaches nothing; a stranger's counter may be of another cluster.
            Outcome::Stale | Outcome::Stranger => 0,
        });
        let member = outcome == Outcome::Accepted || self.is_member(from);
        let counter = self.seen.epoch.counter.max(self.heard);
        let verdict = Verdict::Token(TokenVerdict { outcome, counter, member });
        out.push(match outcome {
            Outcome::Accepted => Output::Keep { receipt, verdict },
            Outcome::Stale | Outcome::Stranger => Output::Answer { receipt, verdict },
        });
        if outcome == Outcome::Accepted && token.key != self.accepted {
            self.accept(now, token, out);
        }
    }

    /// A repeat of the token taken last is accepted again.
    fn judge(&self, token: &Token) -> Outcome {
        let for_me = token.member(self.me).map(|m| m.incarnation);
        if self.foreign(token) || for_me.is_some_and(|i| i != self.incarnation) {
            Outcome::Stranger
        } else if token.key == self.accepted {
            Outcome::Accepted
        } else if token.key <= self.seen || for_me.is_none() {
            Outcome::Stale
        } else {
            Outcome::Accepted
        }
    }

    fn foreign(&self, token: &Token) -> bool {
        Ring::is_foreign(&self.cluster, token)
    }

    /// Is it of another configuration? Besides the digest, everything that will index something is checked, so
    /// that a faulty peer cannot stop us.
    pub(crate) fn is_foreign(cluster: &Cluster, token: &Token) -> bool {
        let nodes = cluster.nodes.len();
        let ok = |n: &NodeId| n.index() < nodes;
        let backends = cluster.backends.len();
        token.digest != cluster.digest
            || token.vips.len() != cluster.vips.len()
            || !token.members.iter().all(|m| ok(&m.node))
            || !token.absent.iter().all(|a| ok(&a.node))
            || !token.links.iter().all(|l| ok(&l.from) && ok(&l.to))
            || !token.reports.iter().all(|r| ok(&r.node))
            || !token.backends.iter().all(|b| b.backend.index() < backends)
            || !token.health.iter().all(|h| {
                ok(&h.node) && h.verdicts.last().is_none_or(|v| v.backend.index() < backends)
            })
            || !token.vips.iter().all(|v| {
                let named = [v.owner, v.heir, v.next, v.wish, v.preferred];
                named.iter().flatten().all(ok) && v.past.iter().all(ok)
            })
    }

    /// Takes the token: whatever this node held or was passing is void.
    pub(crate) fn accept(&mut self, now: Time, mut token: Box<Token>, out: &mut Vec<Output>) {
        if let State::Pass { id, .. } = std::mem::replace(&mut self.state, State::Wait) {
            out.push(Output::Cancel { id });
        }
        let same = self.same_lineage(&token);
        self.end_tacit(&token, out);
        self.measure(now, same);
        self.seen = self.seen.max(token.key);
        self.acc = token.key;
        self.accepted = token.key;
        self.acc_at = now;
        self.base = now;
        self.last_token = now;
        self.last_real = Some(now);
        self.calling = false;
        self.drop_round(out);
        if same {
            self.bound_spans(now, &mut token);
        } else {
            self.switch_lineage(now, &mut token);
        }
        self.renew(now, &token, same);
        self.begin_sweep(now, &token);
        self.unload(&mut token);
        self.turn(now, token, out);
    }
}
