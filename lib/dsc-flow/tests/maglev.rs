//! The promises of the Maglev table: weights are honoured, little moves, every node has the same one.

use bolero::check;
use dsc_flow::maglev::{Candidate, EMPTY, MAGLEV_SIZE, table};
use dsc_wire::BackendId;
use dsc_wire::flow::BACKENDS_MAX;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Backend `n` of a row of neighbours on one network.
fn neighbour(n: u16, weight: u32) -> Candidate {
    let [high, low] = n.to_be_bytes();
    let address = SocketAddr::from((Ipv4Addr::new(10, 2, high, low), 8080));
    Candidate { id: BackendId(n), address, weight }
}

fn neighbours(weights: &[u32]) -> Vec<Candidate> {
    (0..).zip(weights).map(|(n, w)| neighbour(n, *w)).collect()
}

fn rows_of(table: &[u16], id: u16) -> usize {
    table.iter().filter(|row| **row == id).count()
}

/// Rows that neither were `gone`'s nor are the same now.
fn moved_besides(before: &[u16], after: &[u16], gone: u16) -> usize {
    before.iter().zip(after).filter(|(b, a)| **b != gone && a != b).count()
}

#[test]
fn the_size_is_prime() {
    let divides = |d: &usize| MAGLEV_SIZE.is_multiple_of(*d);
    assert_eq!((2..MAGLEV_SIZE).find(divides), None, "a stride could miss rows");
}

#[test]
fn without_weight_every_row_is_empty() {
    for candidates in [neighbours(&[]), neighbours(&[0, 0])] {
        assert_eq!(table(&candidates), vec![EMPTY; MAGLEV_SIZE]);
    }
}

#[test]
fn with_any_weight_no_row_is_empty() {
    assert_eq!(table(&neighbours(&[0, 1])), vec![1; MAGLEV_SIZE]);
    assert_eq!(rows_of(&table(&neighbours(&[u32::MAX, 1, 1])), EMPTY), 0);
    assert_eq!(rows_of(&table(&neighbours(&[1; 1024])), EMPTY), 0);
}

/// Turns are exact; only the last round may be cut short.
#[test]
fn weights_are_honoured() {
    for weights in
        [vec![1; 3], vec![2, 1], vec![1, 2, 3, 4], vec![100, 1], vec![7; 100], vec![3, 0, 5]]
    {
        let table = table(&neighbours(&weights));
        let all: u32 = weights.iter().sum();
        for (id, weight) in (0..).zip(&weights) {
            let share = MAGLEV_SIZE as f64 * f64::from(*weight) / f64::from(all);
            let rows = rows_of(&table, id) as f64;
            assert!((rows - share).abs() <= 2.0, "{weights:?}: {id} has {rows}, not {share}");
        }
    }
}

#[test]
fn the_order_of_the_list_does_not_matter() {
    let mut candidates = neighbours(&[1, 2, 3, 4, 5, 6, 7]);
    let straight = table(&candidates);
    candidates.reverse();
    assert_eq!(table(&candidates), straight);
    candidates.swap(1, 4);
    assert_eq!(table(&candidates), straight);
}

#[test]
fn the_number_of_a_backend_does_not_matter() {
    let candidates = neighbours(&[1, 2, 3]);
    let later: Vec<_> =
        candidates.iter().map(|c| Candidate { id: BackendId(c.id.0 + 500), ..*c }).collect();
    let shifted: Vec<u16> = table(&candidates).iter().map(|row| row + 500).collect();
    assert_eq!(table(&later), shifted);
}

/// What was somebody else's and moved all the same is the price of even shares; the paper measures it (section 5.3).
#[test]
fn a_backend_that_goes_takes_little_with_it() {
    for weights in [vec![1; 3], vec![1; 10], vec![1; 50], vec![2, 1, 1, 3, 1]] {
        let all = neighbours(&weights);
        let before = table(&all);
        for gone in 0..all.len() {
            let mut rest = all.clone();
            let id = rest.remove(gone).id.0;
            let moved = moved_besides(&before, &table(&rest), id);
            let bound = MAGLEV_SIZE * 2 / 100;
            assert!(moved <= bound, "{weights:?} without {gone}: {moved} rows moved besides");
            rest.insert(gone, Candidate { weight: 0, ..all[gone] });
            assert_eq!(moved_besides(&before, &table(&rest), id), moved, "weight 0 is absence");
        }
    }
}

/// The table is a contract between nodes of different builds.
#[test]
fn the_table_does_not_change_between_builds() {
    let mut candidates = neighbours(&[1, 2, 3]);
    let six: IpAddr = "fd00:2::65".parse().unwrap();
    candidates.push(Candidate { id: BackendId(3), address: (six, 80).into(), weight: 2 });
    let table = table(&candidates);
    let sum = table.iter().fold(0u64, |sum, row| sum.wrapping_mul(31).wrapping_add((*row).into()));
    assert_eq!((&table[..8], sum), (&[1, 3, 3, 1, 1, 0, 3, 1][..], 3_521_148_484_224_067_526));
}

#[test]
fn any_backends() {
    check!().with_iterations(200).with_type::<Vec<(u16, u32)>>().for_each(|given| {
        // The highest number of all would be taken for an empty row; no configuration has it.
        let number = |n: u16| n % BACKENDS_MAX as u16;
        let mut candidates: Vec<_> =
            given.iter().take(64).map(|(n, w)| neighbour(number(*n), *w)).collect();
        candidates.sort_by_key(|c| c.id);
        candidates.dedup_by_key(|c| c.id);
        let straight = table(&candidates);
        let weighty = candidates.iter().any(|c| c.weight > 0);
        assert_eq!(straight.len(), MAGLEV_SIZE);
        assert_eq!(rows_of(&straight, EMPTY), if weighty { 0 } else { MAGLEV_SIZE });
        candidates.reverse();
        assert_eq!(table(&candidates), straight);
    });
}
