//! The lease and the host table as two processes see them.

use crate::place;
use dsc_bpf::{Error, LeaseMap};
use dsc_wire::local::HostState;
use dsc_wire::{NodeId, Time, VipId};
use std::path::Path;

#[test]
fn two_openers_see_one_lease_that_outlives_them() {
    place::enter();
    let dir = Path::new(place::BPF_DIR);
    let writer = LeaseMap::open(dir).unwrap();
    let reader = LeaseMap::open(dir).unwrap();
    assert_eq!(reader.lease(), Time::ZERO);
    writer.set_lease(Time(77));
    writer.set_host(VipId(1023), HostState::Steer(NodeId(5)), &[NodeId(2), NodeId(1)]);
    assert_eq!(reader.lease(), Time(77));
    assert_eq!(reader.host(VipId(1023)), (HostState::Steer(NodeId(5)), vec![NodeId(2), NodeId(1)]));
    assert_eq!(reader.host(VipId(0)), (HostState::Off, vec![]));
    drop((writer, reader));
    assert_eq!(LeaseMap::open(dir).unwrap().lease(), Time(77));
}

#[test]
fn a_vip_beyond_the_bound_is_ignored() {
    place::enter();
    let map = LeaseMap::open(Path::new(place::BPF_DIR)).unwrap();
    map.set_host(VipId(1024), HostState::On, &[]);
    assert_eq!(map.host(VipId(1024)).0, HostState::Off);
}

#[test]
fn openers_at_once_agree_on_one_map() {
    place::enter();
    let dir = Path::new(place::BPF_DIR);
    // Threads made here inherit the namespaces of this one.
    let threads: Vec<_> =
        (0..8).map(|_| std::thread::spawn(move || LeaseMap::open(dir).unwrap())).collect();
    let maps: Vec<LeaseMap> = threads.into_iter().map(|t| t.join().unwrap()).collect();
    maps[3].set_lease(Time(9));
    assert!(maps.iter().all(|m| m.lease() == Time(9)));
}

#[test]
fn a_directory_elsewhere_gets_its_own_mount() {
    place::enter();
    nix::mount::mount(
        None::<&str>,
        "/mnt",
        Some("tmpfs"),
        nix::mount::MsFlags::empty(),
        None::<&str>,
    )
    .unwrap();
    LeaseMap::open(Path::new("/mnt/a")).unwrap().set_lease(Time(3));
    assert_eq!(LeaseMap::open(Path::new("/mnt/a")).unwrap().lease(), Time(3));
}

#[test]
fn something_else_under_the_name_is_refused() {
    place::enter();
    let dir = Path::new(place::BPF_DIR);
    drop(LeaseMap::open(dir).unwrap());
    std::fs::rename(dir.join("hosts"), dir.join("lease")).unwrap();
    let refused = LeaseMap::open(dir).unwrap_err();
    assert!(matches!(refused, Error::Layout { .. }), "{refused}");
}
