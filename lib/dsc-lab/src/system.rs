//! What serves a lab's virtual addresses, by its word on the command line. Pure names: what each runs is `program.rs`'s.

use serde::{Deserialize, Serialize};

/// What serves the virtual addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum System {
    /// This project.
    Dsc,
    /// keepalived with one VRRP instance per virtual address.
    Keepalived {
        /// Advertisement interval, ms.
        advert_ms: u32,
        /// What carries connections to the hosts behind.
        #[serde(default)]
        beside: Beside,
    },
}

/// What runs beside keepalived, so that hosts behind serve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Beside {
    /// Nothing: the nodes serve themselves.
    #[default]
    Nothing,
    /// nftables DNAT, its connections copied to the other nodes by conntrackd.
    Conntrackd,
    /// HAProxy in TCP mode on every node.
    Haproxy,
}

impl Beside {
    /// Its word in a system's name.
    pub fn word(self) -> &'static str {
        match self {
            Beside::Nothing => "",
            Beside::Conntrackd => "+conntrackd",
            Beside::Haproxy => "+haproxy",
        }
    }
}

impl System {
    /// From the command line's word: `dsc`, `keepalived-10`, `keepalived-50+conntrackd` ...
    pub fn parse(word: &str) -> Result<System, String> {
        if word == "dsc" {
            return Ok(System::Dsc);
        }
        let beside = [Beside::Conntrackd, Beside::Haproxy, Beside::Nothing]
            .into_iter()
            .find(|b| word.ends_with(b.word()))
            .unwrap_or_default();
        word.strip_suffix(beside.word())
            .and_then(|word| word.strip_prefix("keepalived-")?.parse().ok())
            .filter(|ms| (10..=10_000).contains(ms))
            .map(|advert_ms| System::Keepalived { advert_ms, beside })
            .ok_or_else(|| {
                format!(
                    "system is dsc, keepalived-MS (10 to 10000), keepalived-MS+conntrackd or keepalived-MS+haproxy, not {word}"
                )
            })
    }

    /// Name without its profile.
    pub fn name(&self) -> &'static str {
        match self {
            System::Dsc => "dsc",
            System::Keepalived { .. } => "keepalived",
        }
    }

    /// The word that [`System::parse`] reads.
    pub fn word(&self) -> String {
        match self {
            System::Dsc => "dsc".into(),
            System::Keepalived { advert_ms, beside } => {
                format!("keepalived-{advert_ms}{}", beside.word())
            }
        }
    }

    /// What runs beside keepalived; nothing beside DSC.
    pub fn beside(&self) -> Beside {
        match self {
            System::Dsc => Beside::Nothing,
            System::Keepalived { beside, .. } => *beside,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systems_have_names_that_parse() {
        assert_eq!(System::parse("dsc"), Ok(System::Dsc));
        for word in ["dsc", "keepalived-50", "keepalived-1000+conntrackd", "keepalived-10+haproxy"]
        {
            assert_eq!(System::parse(word).unwrap().word(), word);
        }
        for word in ["keepalived-1", "keepalived-50+", "keepalived+haproxy", "dsc+haproxy", ""] {
            assert!(System::parse(word).is_err(), "{word}");
        }
    }
}
