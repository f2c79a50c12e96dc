//! What a bench measures beside events: values of several runs under one name, and the row in which they are printed.
//! `bench_flows.rs`, `bench_forward.rs`, `bench_link.rs` and `bench_balance.rs` fill it.

use crate::error::{Doing, Result};
use crate::figures::Spread;
use serde::Serialize;

/// A value's name and its unit.
pub type Measure = (&'static str, &'static str);

/// One line of a bench.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    bench: &'static str,
    system: String,
    measure: &'static str,
    /// Of min, median and max.
    unit: &'static str,
    #[serde(flatten)]
    spread: Spread,
    runs: usize,
}

/// Values of one system, in the order in which they came first.
#[derive(Clone, Debug, Default)]
pub struct Values(Vec<(Measure, Vec<f64>)>);

impl Values {
    /// One run measured this.
    pub fn add(&mut self, measure: Measure, value: f64) {
        match self.0.iter_mut().find(|(known, _)| *known == measure) {
            Some((_, values)) => values.push(value),
            None => self.0.push((measure, vec![value])),
        }
    }

    /// One run measured all of these.
    pub fn extend(&mut self, measured: impl IntoIterator<Item = (Measure, f64)>) {
        measured.into_iter().for_each(|(measure, value)| self.add(measure, value));
    }

    /// What was measured under a name, run by run.
    pub fn of(&self, measure: Measure) -> &[f64] {
        self.0.iter().find(|(known, _)| *known == measure).map_or(&[], |(_, values)| values)
    }

    /// The rows.
    pub fn rows(&self, bench: &'static str, system: &str) -> Vec<Row> {
        let row = |((measure, unit), values): &(Measure, Vec<f64>)| {
            let spread = Spread::of(values.iter().copied())?;
            Some(Row { bench, system: system.into(), measure, unit, spread, runs: values.len() })
        };
        self.0.iter().filter_map(row).collect()
    }
}

impl Row {
    /// Prints it, as JSON or for people.
    ///
    /// # Errors
    /// None that a row can cause.
    pub fn print(&self, json: bool) -> Result<()> {
        if json {
            println!("{}", serde_json::to_string(self).doing(|| "write a row".into())?);
            return Ok(());
        }
        let Spread { min, median, max } = self.spread;
        let spread = format!("{min:.1}/{median:.1}/{max:.1}");
        println!("{:<18}{:<28}{spread:>30} {}", self.system, self.measure, self.unit);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_the_promised_fields() {
        let mut values = Values::default();
        values.extend([(("tcp-1-stream", "Gbit/s"), 1.0), (("cpu", "%"), 50.0)]);
        values.add(("tcp-1-stream", "Gbit/s"), 3.0);
        values.add(("tcp-1-stream", "Gbit/s"), 2.04);
        let rows = values.rows("forward", "dsc");
        assert_eq!(rows.len(), 2);
        assert_eq!(
            serde_json::to_string(&rows[0]).unwrap(),
            "{\"bench\":\"forward\",\"system\":\"dsc\",\"measure\":\"tcp-1-stream\",\"unit\":\"Gbit/s\",\
             \"min\":1.0,\"median\":2.0,\"max\":3.0,\"runs\":3}"
        );
        assert_eq!(values.of(("cpu", "%")), [50.0]);
    }
}
