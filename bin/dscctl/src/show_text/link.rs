//! Prints the downloads of this node's proxy for people. Decides nothing.

use super::{dash, print_table, table};
use crate::shown::{Downloads, LinkRow};
use std::io::{self, Write};

/// Most characters of an object that a line has room for.
const OBJECT_MAX: usize = 48;

pub(super) fn show_downloads(out: &mut dyn Write, downloads: &Downloads) -> io::Result<()> {
    let header =
        ["SERVICE", "CLIENT", "OBJECT", "SENT", "LENGTH", "BACKEND", "RESUMABLE", "RESUMES", "AGE"];
    let mut table = table(&header, &[3, 4, 7, 8]);
    for row in &downloads.rows {
        table.add_row([
            row.service.clone(),
            row.client.clone(),
            object(&row.object),
            row.sent.to_string(),
            dash(&row.length.map(|bytes| bytes.to_string())),
            dash(&row.backend),
            if row.resumable { "yes" } else { "no" }.to_owned(),
            row.resumes.to_string(),
            format!("{:.1} s", row.age_ms as f64 / 1000.0),
        ]);
    }
    print_table(out, &table)?;
    let (shown, all) = (downloads.rows.len(), downloads.matched);
    writeln!(out, "\n{shown} of {all} downloads that run")
}

/// Clients choose it: no control character of theirs reaches a terminal.
fn object(object: &str) -> String {
    let text: String = object.escape_debug().collect();
    match text.char_indices().nth(OBJECT_MAX) {
        None => text,
        Some((at, _)) => format!("{}...", &text[..at]),
    }
}

pub(super) fn show_links(out: &mut dyn Write, links: &[LinkRow]) -> io::Result<()> {
    let header = [
        "SERVICE",
        "CONNECTIONS",
        "RUNNING",
        "ACCEPTED",
        "REFUSED",
        "REQUESTS",
        "BYTES",
        "RESUMES",
        "BROKEN",
    ];
    let mut table = table(&header, &[1, 2, 3, 4, 5, 6, 7, 8]);
    for link in links {
        let counts = [
            link.connections,
            link.running,
            link.accepted,
            link.refused,
            link.requests,
            link.bytes,
            link.resumes,
            link.broken,
        ];
        table.add_row([link.name.clone()].into_iter().chain(counts.map(|n| n.to_string())));
    }
    print_table(out, &table)
}
