//! The metrics of this node's proxy, service by service. Pure.

use super::text::Text;
use dsc_wire::local::LinkService;

/// Adds them all.
pub fn fill(text: &mut Text, links: &[LinkService]) {
    type Value = fn(&LinkService) -> u64;
    let gauges: [(&str, &str, Value); 2] = [
        ("dsc_link_connections", "Connections of clients of the link", |l| l.connections),
        ("dsc_link_running", "Downloads that run through the link", |l| l.running),
    ];
    for (name, help, value) in gauges {
        let mut family = text.gauge(name, help);
        links.iter().for_each(|link| family.add(&[("service", &link.name)], value(link)));
    }
    let counters: [(&str, &str, Value); 6] = [
        ("dsc_link_accepted_total", "Connections of clients that were taken", |l| l.accepted),
        ("dsc_link_refused_total", "Connections of clients beyond the most", |l| l.refused),
        ("dsc_link_requests_total", "Requests to the link", |l| l.requests),
        ("dsc_link_bytes_total", "Bytes of bodies sent to clients", |l| l.bytes),
        ("dsc_link_resumes_total", "Downloads that another backend continued", |l| l.resumes),
        ("dsc_link_broken_total", "Downloads that nobody could continue", |l| l.broken),
    ];
    for (name, help, value) in counters {
        let mut family = text.counter(name, help);
        links.iter().for_each(|link| family.add(&[("service", &link.name)], value(link)));
    }
}
