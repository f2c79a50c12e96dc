//! A packet through this node's own filters and forwarding (§A.6): brought in on the interface near its source, looked for where it
//! leaves or where the node's own programs would receive it. It must pass, or must not.

mod packet;

use super::{place, reason};
use dsc_bpf::Inject;
use dsc_conf::FilterProtocol;
use dsc_sys::nic::{self, Nic};
use dsc_sys::random;
use dsc_sys::sighting::Sighting;
use dsc_wire::Reason;
use packet::Packet;
use std::net::IpAddr;
use std::time::Duration;

/// What is sent, and what is expected.
pub struct Plan {
    /// From this neighbour.
    pub from: IpAddr,
    /// To this one; to the node itself if none is named.
    pub to: Option<IpAddr>,
    /// What it is.
    pub protocol: FilterProtocol,
    /// To this port; 0 for an echo.
    pub port: u16,
    /// It must come through; else it must not.
    pub pass: bool,
}

/// Sends one and looks for it so long, after as long at most for the machine that it is for to say that it is there. The node has these addresses, by subnet.
pub async fn through(plan: &Plan, own: &[Option<IpAddr>], limit: Duration) -> Result<(), Reason> {
    let nics = nic::nics().map_err(reason)?;
    let near = place::near(&nics, plan.from).ok_or(Reason::Down)?;
    let (number, mac) = place::numbers(near)?;
    let to = match plan.to {
        Some(to) => to,
        None => itself(near, own, plan.from).ok_or(Reason::Down)?,
    };
    let packet = Packet::new(plan, to, random_words()?);
    let (v6, protocol) = (to.is_ipv6(), packet.number());
    let sighting = match plan.to {
        None => Sighting::arriving(v6, protocol, packet.mark()),
        Some(to) => {
            // What nobody would take never leaves, whatever the filter says.
            let there = tokio::time::timeout(limit, place::neighbour(own, to)).await;
            there.unwrap_or(Err(Reason::Unreachable))?;
            let far = place::near(&nics, to).ok_or(Reason::Down)?;
            Sighting::leaving(place::numbers(far)?.0, v6, protocol, packet.mark())
        }
    };
    let sighting = sighting.map_err(reason)?;
    let inject = Inject::open(number).map_err(reason)?;
    inject.frame(&packet.frame(mac)).map_err(reason)?;
    let seen = match tokio::time::timeout(limit, sighting.seen()).await {
        Ok(result) => result.map(|()| true).map_err(reason)?,
        Err(_not_in_time) => false,
    };
    if let Some(end) = packet.end(mac).filter(|_| seen) {
        // Else the other end would wait for the rest of a handshake.
        inject.frame(&end).map_err(reason)?;
    }
    match (seen, plan.pass) {
        (true, true) | (false, false) => Ok(()),
        (true, false) => Err(Reason::Passed),
        (false, true) => Err(Reason::Stopped),
    }
}

/// The node's own address where the packet comes in.
fn itself(near: &Nic, own: &[Option<IpAddr>], from: IpAddr) -> Option<IpAddr> {
    let mut all = own.iter().flatten().copied();
    all.find(|a| a.is_ipv6() == from.is_ipv6() && near.addresses.iter().any(|(b, _)| a == b))
}

fn random_words() -> Result<[u32; 3], Reason> {
    let mut bytes = [0; 12];
    random::fill(&mut bytes).map_err(reason)?;
    let word = |at: usize| u32::from_ne_bytes([0, 1, 2, 3].map(|i| bytes[at + i]));
    Ok([word(0), word(4), word(8)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sched::{CloneFlags, unshare};
    use std::process::Command;
    use std::time::Instant;

    fn run(line: &str) {
        let mut words = line.split(' ');
        let status = Command::new(words.next().unwrap()).args(words).status().unwrap();
        assert!(status.success(), "{line}");
    }

    const OWN: [&str; 4] = ["10.1.0.1", "10.2.0.1", "fd00:1::1", "fd00:2::1"];

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    fn is_there(own: &[Option<IpAddr>], to: &str) -> bool {
        runtime().block_on(async {
            let asked = place::neighbour(own, to.parse().unwrap());
            tokio::time::timeout(Duration::from_millis(200), asked).await.is_ok()
        })
    }

    /// The node's namespace is that of the test's thread; the neighbours' is one with a name.
    struct Place(String);

    impl Place {
        fn new(test: &str) -> Place {
            // Of this thread only.
            unshare(CloneFlags::CLONE_NEWNET).expect("this test needs root");
            let far = format!("dmf{}{test}", std::process::id());
            run(&format!("ip netns add {far}"));
            let place = Place(far);
            let far = &place.0;
            run("ip link set lo up");
            for (nic, net) in [("eth0", 1), ("eth1", 2)] {
                run(&format!("ip link add {nic} type veth peer name {nic} netns {far}"));
                run(&format!("ip address add 10.{net}.0.1/24 dev {nic}"));
                run(&format!("ip address add fd00:{net}::1/64 dev {nic} nodad"));
                run(&format!("ip link set {nic} up"));
                run(&format!("ip -n {far} address add 10.{net}.0.9/24 dev {nic}"));
                run(&format!("ip -n {far} address add fd00:{net}::9/64 dev {nic} nodad"));
                run(&format!("ip -n {far} link set {nic} up"));
            }
            // An interface that has just come up loses what comes too early.
            let own = OWN.map(|a| Some(a.parse().unwrap()));
            let end = Instant::now() + Duration::from_secs(10);
            for to in ["10.2.0.9", "fd00:2::9"] {
                while !is_there(&own, to) {
                    assert!(Instant::now() < end, "{to} does not answer");
                }
            }
            place
        }

        fn forward(&self, on: bool) {
            for path in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
                std::fs::write(format!("/proc/sys/net/{path}"), if on { "1" } else { "0" })
                    .unwrap();
            }
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _best_effort = Command::new("ip").args(["netns", "del", &self.0]).status();
        }
    }

    fn found(
        protocol: FilterProtocol,
        from: &str,
        to: Option<&str>,
        pass: bool,
    ) -> Result<(), Reason> {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let own = OWN.map(|a| Some(ip(a)));
        let port = if protocol == FilterProtocol::Icmp { 0 } else { 4433 };
        let plan = Plan { from: ip(from), to: to.map(ip), protocol, port, pass };
        let limit = Duration::from_millis(if pass { 3000 } else { 200 });
        runtime().block_on(through(&plan, &own, limit))
    }

    const ALL: [FilterProtocol; 3] =
        [FilterProtocol::Tcp, FilterProtocol::Udp, FilterProtocol::Icmp];

    #[test]
    fn what_is_forwarded_is_seen_to_leave_and_what_is_filtered_is_not() {
        let place = Place::new("a");
        place.forward(true);
        // Connection tracking looks at the checksums.
        run("nft add table inet c");
        run("nft add chain inet c f { type filter hook forward priority 0 ; }");
        run("nft add rule inet c f ct state invalid drop");
        let ways = [("10.1.0.9", "10.2.0.9"), ("fd00:1::9", "fd00:2::9")];
        for protocol in ALL {
            for (from, to) in ways {
                let told = format!("{protocol:?} {from}");
                assert_eq!(found(protocol, from, Some(to), true), Ok(()), "{told}");
                assert_eq!(found(protocol, from, Some(to), false), Err(Reason::Passed), "{told}");
            }
        }
        run("nft add table inet t");
        run("nft add chain inet t f { type filter hook forward priority 0 ; }");
        run("nft add rule inet t f iifname eth0 oifname eth1 th dport 4433 drop");
        run("nft add rule inet t f iifname eth0 icmp type echo-request drop");
        run("nft add rule inet t f iifname eth0 icmpv6 type echo-request drop");
        for protocol in ALL {
            for (from, to) in ways {
                let told = format!("{protocol:?} {from}");
                assert_eq!(found(protocol, from, Some(to), false), Ok(()), "{told}");
            }
        }
        assert_eq!(found(FilterProtocol::Udp, "10.2.0.9", Some("10.1.0.9"), true), Ok(()));
        run("nft delete table inet t");
        place.forward(false);
        let stopped = found(FilterProtocol::Udp, "10.1.0.9", Some("10.2.0.9"), true);
        assert_eq!(stopped, Err(Reason::Stopped));
    }

    #[test]
    fn what_is_for_the_node_is_seen_to_arrive_behind_its_filter() {
        let _place = Place::new("b");
        for protocol in ALL {
            for from in ["10.1.0.9", "fd00:1::9"] {
                assert_eq!(found(protocol, from, None, true), Ok(()), "{protocol:?} {from}");
            }
        }
        run("nft add table inet t");
        run("nft add chain inet t i { type filter hook input priority 0 ; }");
        run("nft add rule inet t i iifname eth0 th dport 4433 drop");
        for from in ["10.1.0.9", "fd00:1::9"] {
            assert_eq!(found(FilterProtocol::Udp, from, None, false), Ok(()), "{from}");
            assert_eq!(found(FilterProtocol::Tcp, from, None, false), Ok(()), "{from}");
            assert_eq!(found(FilterProtocol::Icmp, from, None, true), Ok(()), "{from}");
        }
    }

    #[test]
    fn nothing_is_said_of_a_filter_before_a_machine_that_is_not_there() {
        let place = Place::new("c");
        place.forward(true);
        let found = |to| found(FilterProtocol::Udp, "10.1.0.9", Some(to), false);
        assert_eq!(found("10.2.0.77"), Err(Reason::Unreachable));
        run("ip link set eth1 down");
        assert!(found("10.2.0.9").is_err());
        run("ip link delete eth0");
        assert_eq!(found("10.2.0.9"), Err(Reason::Down));
    }
}
