//! The table [balance]: reads it. Its values do not depend on any other.

use crate::fields::{Fields, mistyped};
use crate::problem::Problems;
use crate::{COOLDOWN_MOST_S, HYSTERESIS_MOST};
use dsc_wire::Balance;
use std::time::Duration;
use toml::Spanned;

const MODES: &[(&str, bool)] = &[("on", true), ("off", false)];

/// What the file says, and the defaults where it says nothing or something that is wrong.
pub(crate) fn read(file: &Fields, problems: &mut Problems) -> Balance {
    let mut balance = Balance::DEFAULT;
    let Some(value) = file.get("balance") else { return balance };
    let Some(table) = value.get_ref().as_table() else {
        problems.add(mistyped("balance", value, "a table that begins with [balance]"));
        return balance;
    };
    let fields = Fields::open("balance", value.span(), table, problems);
    if let Some(on) = fields.choice("mode", MODES, problems) {
        balance.on = Spanned::into_inner(on);
    }
    if let Some(percent) = fields.integer("hysteresis_percent", 1, HYSTERESIS_MOST, problems) {
        balance.hysteresis_percent = percent as u8;
    }
    if let Some(s) = fields.integer("cooldown_s", 1, COOLDOWN_MOST_S, problems) {
        balance.vip_cooldown = Duration::from_secs(s as u64);
    }
    balance
}

/// As it is written.
pub(crate) fn word(on: bool) -> &'static str {
    MODES.iter().find(|(_, m)| *m == on).map_or("", |(word, _)| word)
}
