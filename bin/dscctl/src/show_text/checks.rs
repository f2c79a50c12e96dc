//! Prints checks of nodes for people. Decides nothing.

use super::{print_table, table, words};
use crate::shown::CheckRow;
use std::io::{self, Write};

pub(super) fn show_checks(out: &mut dyn Write, checks: &[CheckRow]) -> io::Result<()> {
    let mut table = table(&["CHECK", "NODE", "LIGHT", "WHY", "CRITICAL"], &[]);
    for check in checks {
        let why = match check.age_s {
            Some(age_s) => format!("{} for {age_s} s", check.reason),
            None => check.reason.clone(),
        };
        table.add_row([
            check.check.clone(),
            check.node.clone(),
            check.light.to_string(),
            why,
            words(&check.critical),
        ]);
    }
    print_table(out, &table)
}
