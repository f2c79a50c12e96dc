//! What this node carries for each VIP that it hosts, in bytes per second, from the kernel's counters: once a second. The daemon
//! reads the counters and the clock; here is what they mean.

use dsc_bpf::Datapath;
use dsc_conf::Config;
use dsc_wire::local::VipLoad;
use dsc_wire::{BackendId, Routing, SubnetId, Time, VipId};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Readings sooner after each other than this say little, ms.
const LEAST_MS: u128 = 500;

/// The last reading, and what came of it.
#[derive(Default)]
pub struct Rates {
    at: Time,
    vips: BTreeMap<VipId, u64>,
    replies: BTreeMap<BackendId, u64>,
    loads: Vec<VipLoad>,
}

/// The kernel's counters, since its maps were made.
pub trait Counted {
    /// Bytes that this node forwarded or delivered as the VIP's host.
    ///
    /// # Errors
    /// The kernel refused to read a map.
    fn of_vip(&self, vip: VipId) -> Result<u64, String>;

    /// Bytes of a backend's replies that this node forwarded.
    ///
    /// # Errors
    /// The kernel refused to read a map.
    fn replies_of(&self, backend: BackendId) -> Result<u64, String>;
}

impl Counted for Datapath {
    fn of_vip(&self, vip: VipId) -> Result<u64, String> {
        self.vip_count(vip).map(|count| count.bytes).map_err(|e| e.to_string())
    }

    fn replies_of(&self, backend: BackendId) -> Result<u64, String> {
        self.backend_count(backend).map(|count| count.reply_bytes).map_err(|e| e.to_string())
    }
}

impl Rates {
    /// As of the last reading: the VIPs that this node hosted then and before, and that carried something.
    pub fn loads(&self) -> Vec<VipLoad> {
        self.loads.clone()
    }

    /// Reads the counters of the VIPs that this node hosts.
    ///
    /// # Errors
    /// The kernel refused to read a map; the next reading is the first again.
    pub fn read(
        &mut self,
        now: Time,
        config: &Config,
        hosted: &[(VipId, IpAddr, SubnetId)],
        counted: &impl Counted,
    ) -> Result<(), String> {
        let ms = now.since(self.at).as_millis();
        if ms < LEAST_MS {
            return Ok(());
        }
        let old = std::mem::replace(self, Rates { at: now, ..Rates::default() });
        for (vip, ..) in hosted {
            self.vips.insert(*vip, counted.of_vip(*vip)?);
        }
        let per_s = |new: u64, old: u64| {
            let grown = u128::from(new.saturating_sub(old)) * 1000 / ms;
            u64::try_from(grown).unwrap_or(u64::MAX)
        };
        let mut loads: BTreeMap<VipId, u64> = BTreeMap::new();
        for (vip, bytes) in &self.vips {
            if let Some(before) = old.vips.get(vip) {
                loads.insert(*vip, per_s(*bytes, *before));
            }
        }
        // With symmetric routing a reply is its VIP's already; else it came for the backend's gateway.
        if config.flows.routing == Routing::Direct {
            for (id, backend) in config.backends.iter() {
                let same = |(_, address, subnet): &&(VipId, IpAddr, SubnetId)| {
                    *subnet == backend.subnet && address.is_ipv4() == backend.address.is_ipv4()
                };
                // Which of several it was is not counted.
                let gateways = hosted.iter().filter(same).count() as u64;
                if gateways == 0 {
                    continue;
                }
                let bytes = counted.replies_of(id)?;
                self.replies.insert(id, bytes);
                let Some(before) = old.replies.get(&id) else { continue };
                for (vip, ..) in hosted.iter().filter(same) {
                    if let Some(load) = loads.get_mut(vip) {
                        *load = load.saturating_add(per_s(bytes, *before) / gateways);
                    }
                }
            }
        }
        let load = |(vip, bytes_per_s)| VipLoad { vip, bytes_per_s };
        self.loads = loads.into_iter().filter(|(_, load)| *load > 0).map(load).collect();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOML: &str = r#"
[cluster]
name = "shop"
[[subnet]]
name = "ext"
networks = ["10.1.0.0/24"]
pool = ["10.1.0.100-10.1.0.101"]
[[subnet]]
name = "int"
networks = ["10.2.0.0/24"]
pool = ["10.2.0.100-10.2.0.101"]
[[node]]
name = "n1"
addresses = { ext = "10.1.0.1", int = "10.2.0.1" }
[[service]]
name = "web"
vips = ["10.1.0.100"]
port = 80
backends = [{ address = "10.2.0.201" }, { address = "10.2.0.202" }]
[flows]
"#;

    struct Kernel {
        vips: [u64; 4],
        replies: [u64; 2],
    }

    impl Counted for Kernel {
        fn of_vip(&self, vip: VipId) -> Result<u64, String> {
            Ok(self.vips[vip.index()])
        }

        fn replies_of(&self, backend: BackendId) -> Result<u64, String> {
            Ok(self.replies[backend.index()])
        }
    }

    fn config(flows: &str) -> Config {
        Config::parse(&format!("{TOML}{flows}"), "dsc.toml").unwrap()
    }

    fn hosted(config: &Config, which: &[u16]) -> Vec<(VipId, IpAddr, SubnetId)> {
        let vip = |id: &u16| {
            let vip = &config.vips[VipId(*id)];
            (VipId(*id), vip.address, vip.subnet)
        };
        which.iter().map(vip).collect()
    }

    fn loads(rates: &Rates) -> Vec<(u16, u64)> {
        rates.loads().iter().map(|load| (load.vip.0, load.bytes_per_s)).collect()
    }

    #[test]
    fn a_rate_is_what_came_between_two_readings() {
        let config = config("routing = \"symmetric\"");
        let mut rates = Rates::default();
        let mut kernel = Kernel { vips: [5_000, 7_000, 9_000, 0], replies: [99, 99] };
        let mine = hosted(&config, &[0, 2]);
        rates.read(Time::from_ms(10_000), &config, &mine, &kernel).unwrap();
        assert_eq!(loads(&rates), [], "nothing to compare with");
        kernel.vips = [6_000, 9_000, 9_000, 0];
        rates.read(Time::from_ms(10_400), &config, &mine, &kernel).unwrap();
        assert_eq!(loads(&rates), [], "too soon");
        kernel.replies = [1_000_000, 99];
        rates.read(Time::from_ms(12_000), &config, &mine, &kernel).unwrap();
        assert_eq!(loads(&rates), [(0, 500)], "only what it hosts");
        // One that came meanwhile is not known yet, one that went is no longer said.
        kernel.vips = [16_000, 10_000, 9_000, 0];
        rates.read(Time::from_ms(13_000), &config, &hosted(&config, &[1]), &kernel).unwrap();
        assert_eq!(loads(&rates), []);
    }

    #[test]
    fn replies_count_for_the_gateways_unless_routing_is_symmetric() {
        let config = config("");
        let mut rates = Rates::default();
        let mut kernel = Kernel { vips: [0; 4], replies: [10_000, 20_000] };
        for which in [&[0, 2][..], &[0, 2, 3]] {
            let mine = hosted(&config, which);
            rates
                .read(Time::from_ms(rates.at.0 / 1_000_000 + 1_000), &config, &mine, &kernel)
                .unwrap();
            kernel.vips[0] += 1_000;
            kernel.replies[0] += 30_000;
            kernel.replies[1] += 6_000;
            let at = Time::from_ms(rates.at.0 / 1_000_000 + 1_000);
            rates.read(at, &config, &mine, &kernel).unwrap();
            let wanted: &[(u16, u64)] = match which.len() {
                2 => &[(0, 1_000), (2, 36_000)],
                _ => &[(0, 1_000), (2, 18_000), (3, 18_000)],
            };
            assert_eq!(loads(&rates), wanted);
        }
    }
}
