//! A bar whose length is the logarithm of a load: an idle node and a busy one can both be read off it. Pure.

/// Shares of a cell, from an eighth to the whole.
const EIGHTHS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];

/// Where a scale begins and where it is full. What is below the first is nothing, what is above the second is full.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    low: f64,
    high: f64,
}

/// Busy share of the processors in permille, three decades.
pub const CPU: Scale = Scale { low: 1.0, high: 1000.0 };
/// Bytes per second, seven decades: from 1 kB/s to 10 GB/s.
pub const TRAFFIC: Scale = Scale { low: 1e3, high: 1e10 };

/// A bar of `cells` characters.
pub fn bar(scale: Scale, value: f64, cells: usize) -> String {
    let share = (value / scale.low).log10() / (scale.high / scale.low).log10();
    // Nothing at all has no logarithm: it is as far below the scale as can be.
    let eighths = (share.clamp(0.0, 1.0) * (cells * 8) as f64).round() as usize;
    let mut bar = "█".repeat(eighths / 8);
    bar.extend((eighths % 8).checked_sub(1).map(|part| EIGHTHS[part]));
    let empty = cells - bar.chars().count();
    bar + &"·".repeat(empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_decade_is_as_long_as_any_other() {
        for (permille, expected) in [
            (0.0, "······"),
            (1.0, "······"),
            (10.0, "██····"),
            (100.0, "████··"),
            (1000.0, "██████"),
        ] {
            assert_eq!(bar(CPU, permille, 6), expected, "{permille}");
        }
        let bytes: Vec<String> = (3..=10).map(|e| bar(TRAFFIC, 10f64.powi(e), 7)).collect();
        for (full, bar) in bytes.iter().enumerate() {
            assert_eq!(*bar, "█".repeat(full) + &"·".repeat(7 - full));
        }
    }

    #[test]
    fn every_bar_is_as_wide_as_it_should_be() {
        for cells in 0..9 {
            for value in [0.0, 0.5, 1.0, 3.0, 999.0, 1e4, 123_456.0, 1e9, 1e300, f64::MAX] {
                for scale in [CPU, TRAFFIC] {
                    assert_eq!(bar(scale, value, cells).chars().count(), cells, "{value}");
                }
            }
        }
        assert_eq!(bar(CPU, 2.0, 6), "▋·····");
    }
}
