//! Every key that a configuration may have: one table for the reader, for its advice, and for the test that
//! compares it with the manual page. It reads no values.

/// A key of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyDoc {
    /// The table it stands in: `cluster`, `timing`, `subnet`, `node`, `vip`, `service`, `service.check`, `service.link`,
    /// `certificates`, `backends`, `source_nat`, `check`, `flows`, `balance` or `numbers`; empty at the top.
    pub table: &'static str,
    /// The key.
    pub key: &'static str,
    /// Must it be there?
    pub required: bool,
}

const fn must(table: &'static str, key: &'static str) -> KeyDoc {
    KeyDoc { table, key, required: true }
}

const fn may(table: &'static str, key: &'static str) -> KeyDoc {
    KeyDoc { table, key, required: false }
}

/// Those of a file that only says where to get the configuration, see [`crate::Join`].
const JOIN_KEYS: &[KeyDoc] = &[
    must("joining", "cluster"),
    may("joining", "node"),
    must("cluster to join", "join"),
    may("cluster to join", "key_file"),
    may("cluster to join", "port"),
    may("node that joins", "name"),
];

/// All of them, in the order in which they are explained.
pub const KEYS: &[KeyDoc] = &[
    must("", "cluster"),
    must("", "subnet"),
    must("", "node"),
    may("", "vip"),
    may("", "service"),
    may("", "source_nat"),
    may("", "check"),
    may("", "flows"),
    may("", "balance"),
    may("", "numbers"),
    must("cluster", "name"),
    may("cluster", "key_file"),
    may("cluster", "port"),
    may("cluster", "partition"),
    may("cluster", "rejoin"),
    may("cluster", "timing"),
    may("cluster", "version"),
    may("timing", "profile"),
    may("timing", "rotation_ms"),
    may("timing", "removal_ms"),
    may("timing", "starve_ms"),
    may("timing", "lease_ms"),
    may("timing", "beacon_ms"),
    may("timing", "stall_ms"),
    must("subnet", "name"),
    must("subnet", "networks"),
    may("subnet", "pool"),
    must("node", "name"),
    must("node", "addresses"),
    may("node", "witness"),
    must("vip", "address"),
    may("vip", "preferred"),
    may("vip", "persistence"),
    must("service", "name"),
    must("service", "vips"),
    may("service", "protocol"),
    must("service", "port"),
    may("service", "kind"),
    may("service", "backends"),
    may("service", "check"),
    may("service", "on_red"),
    may("service", "slow_start_s"),
    may("service", "link"),
    must("service.check", "kind"),
    may("service.check", "every_ms"),
    may("service.check", "timeout_ms"),
    may("service.check", "rise"),
    may("service.check", "fall"),
    may("service.check", "port"),
    may("service.check", "path"),
    may("service.check", "host"),
    may("service.check", "status"),
    may("service.check", "body"),
    may("service.check", "days"),
    may("service.check", "send"),
    may("service.check", "expect"),
    may("service.check", "command"),
    must("service.link", "speaks"),
    may("service.link", "certificates"),
    may("service.link", "backend_http2"),
    may("service.link", "balance"),
    may("service.link", "resume"),
    may("service.link", "silence_ms"),
    may("service.link", "connect_ms"),
    may("service.link", "head_ms"),
    may("service.link", "client_head_ms"),
    may("service.link", "idle_s"),
    may("service.link", "verify_overlap"),
    may("service.link", "forwarded"),
    may("service.link", "proxy_in"),
    may("service.link", "proxy_out"),
    may("service.link", "connections"),
    may("service.link", "access_log"),
    must("certificates", "chain"),
    must("certificates", "key"),
    must("backends", "address"),
    may("backends", "port"),
    may("backends", "weight"),
    may("backends", "state"),
    must("source_nat", "from"),
    must("source_nat", "vips"),
    may("source_nat", "ports"),
    must("check", "name"),
    must("check", "kind"),
    may("check", "nodes"),
    may("check", "critical"),
    may("check", "hold_down_s"),
    may("check", "every_ms"),
    may("check", "timeout_ms"),
    may("check", "rise"),
    may("check", "fall"),
    may("check", "address"),
    may("check", "port"),
    may("check", "path"),
    may("check", "host"),
    may("check", "status"),
    may("check", "body"),
    may("check", "days"),
    may("check", "send"),
    may("check", "expect"),
    may("check", "command"),
    may("check", "subnet"),
    may("check", "errors"),
    may("check", "from"),
    may("check", "protocol"),
    may("flows", "max"),
    may("flows", "routing"),
    may("flows", "hold_ms"),
    may("flows", "tcp_timeout_syn_sent_s"),
    may("flows", "tcp_timeout_established_s"),
    may("flows", "tcp_timeout_fin_wait_s"),
    may("flows", "tcp_timeout_time_wait_s"),
    may("flows", "udp_timeout_s"),
    may("flows", "udp_timeout_stream_s"),
    may("balance", "mode"),
    may("balance", "hysteresis_percent"),
    may("balance", "cooldown_s"),
    may("numbers", "subnets"),
    may("numbers", "nodes"),
    may("numbers", "vips"),
    may("numbers", "services"),
    may("numbers", "backends"),
    may("numbers", "checks"),
];

/// The keys of one table.
pub(crate) fn of(table: &str) -> impl Iterator<Item = &'static KeyDoc> {
    KEYS.iter().chain(JOIN_KEYS).filter(move |k| k.table == table)
}

/// The one of `known` that `word` was probably meant to be.
pub(crate) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().count();
    let tolerance = (length / 3).clamp(1, 3);
    let without_unit =
        |k: &str| length > 2 && ["_ms", "_s"].iter().any(|unit| k.strip_suffix(unit) == Some(word));
    known
        .map(|k| (if without_unit(k) { 0 } else { distance(word, k) }, k))
        .filter(|(d, _)| *d <= tolerance)
        .min_by_key(|(d, _)| *d)
        .map(|(_, k)| k)
}

/// Letters to change, insert or delete to make one word of the other (Levenshtein); words longer than any
/// key are cut, so that its cost is bounded.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(80).collect();
    let b: Vec<char> = b.chars().take(80).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_finds_its_key() {
        let keys = || of("vip").map(|k| k.key);
        assert_eq!(nearest("prefered", keys()), Some("preferred"));
        assert_eq!(nearest("adress", keys()), Some("address"));
        assert_eq!(nearest("colour", keys()), None);
        assert_eq!(nearest("lease", of("timing").map(|k| k.key)), Some("lease_ms"));
    }

    #[test]
    fn distance_counts_letters() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("n1", "n1"), 0);
    }
}
