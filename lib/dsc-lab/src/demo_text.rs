//! What the demo prints besides its steps: who answered when, the last words of the programs, and the story's own lines.

use crate::answers::Observed;
use crate::lab::Lab;
use crate::topology::Plan;

/// Cells of the timeline.
const CELLS: usize = 72;

/// Who answered when: a row per address, a cell per stretch of time.
pub fn timeline(plan: &Plan, seen: &Observed, steps: &[(&str, u64)], begin_ns: u64, end_ns: u64) {
    let width = (end_ns - begin_ns) / CELLS as u64 + 1;
    println!(
        "\nwho answered (a cell is {:.1} s; the digit is the node, / two nodes one after the other, . nobody):\n",
        width as f64 / 1e9
    );
    for vip in &seen.vips {
        let stretches = seen.stretches(*vip);
        let cell = |k: u64| {
            let (from, to) = (begin_ns + k * width, begin_ns + (k + 1) * width);
            let mut nodes: Vec<usize> = stretches
                .iter()
                .filter(|s| s.from_ns < to && s.to_ns >= from)
                .map(|s| s.node)
                .collect();
            nodes.dedup();
            match nodes[..] {
                [] => '.',
                [node] => char::from_digit(node as u32 + 1, 36).unwrap_or('?'),
                _ => '/',
            }
        };
        let row: String = (0..CELLS as u64).map(cell).collect();
        println!("{:>14}  {row}", plan.vip_list()[*vip].address.to_string());
    }
    let mut marks = vec![b' '; CELLS + 16];
    for (step, from_ns) in steps {
        let at = ((from_ns - begin_ns) / width) as usize;
        for (place, letter) in marks[at.min(CELLS - 1)..].iter_mut().zip(step.bytes()) {
            *place = letter;
        }
    }
    println!("{:>14}  {}", "", String::from_utf8_lossy(&marks).trim_end());
}

/// The last words of every program of every node, for whoever has to find out what went wrong.
pub fn last_words(lab: &Lab) {
    for node in 0..lab.plan.nodes {
        for name in crate::program::daemons_of(&lab.plan) {
            let text = std::fs::read_to_string(crate::program::log_file(lab, node, name));
            let text = text.unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            for line in &lines[lines.len().saturating_sub(5)..] {
                eprintln!("{} {name}: {line}", lab.plan.node(node));
            }
        }
    }
}

/// A line of the story; beside the rows of `--json`.
pub fn say(json: bool, text: &str) {
    if json { eprintln!("# {text}") } else { println!("# {text}") }
}
