//! Typed access to the keys of one table. Unknown and missing keys and values of a wrong type become
//! problems here; what the values mean is not known here.

use crate::keys;
use crate::problem::{Problem, Problems};
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value of the file with its place.
pub(crate) type Value<'i> = Spanned<DeValue<'i>>;

/// One table of the file.
pub(crate) struct Fields<'t, 'i> {
    values: &'t DeTable<'i>,
}

/// How a table is called in messages.
fn title(table: &str) -> String {
    match table {
        "" => "the file".to_owned(),
        "joining" => "a file with `join`".to_owned(),
        "cluster to join" => "a [cluster] with `join`".to_owned(),
        "node that joins" => "[node] of a file with `join`".to_owned(),
        "timing" => format!("`{table}`"),
        "service.check" => "`check`".to_owned(),
        "cluster" | "flows" | "balance" | "numbers" | "service.link" => format!("[{table}]"),
        "backends" => "a backend".to_owned(),
        "certificates" => "a certificate".to_owned(),
        _ => format!("[[{table}]]"),
    }
}

/// What a value is, for "is a string".
fn kind(value: &DeValue) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

/// A value of the wrong type.
pub(crate) fn mistyped(key: &str, value: &Value, expected: &str) -> Problem {
    let message = format!("`{key}` is {}", kind(value.get_ref()));
    Problem::at(value.span(), message, format!("expected {expected}"))
}

impl<'t, 'i> Fields<'t, 'i> {
    /// Opens a table at `at`: every unknown and every missing key is reported.
    pub fn open(
        table: &'static str,
        at: Range<usize>,
        values: &'t DeTable<'i>,
        problems: &mut Problems,
    ) -> Fields<'t, 'i> {
        let known = || keys::of(table).map(|k| k.key);
        for key in values.keys() {
            let word: &str = key.get_ref();
            if known().any(|k| k == word) {
                continue;
            }
            let message = format!("`{}` is not a key of {}", word.escape_debug(), title(table));
            let all: Vec<&str> = known().collect();
            let mut problem =
                Problem::at(key.span(), message, format!("expected one of {}", all.join(", ")));
            if let Some(near) = keys::nearest(word, known()) {
                problem = problem.help(format!("did you mean `{near}`?"));
            }
            problems.add(problem);
        }
        for doc in keys::of(table).filter(|k| k.required && !values.contains_key(k.key)) {
            let message = format!("{} has no `{}`", title(table), doc.key);
            let expected = match (table, doc.key) {
                ("", "cluster") => "expected a table [cluster]".to_owned(),
                ("", key) => format!("expected at least one [[{key}]]"),
                (_, key) => format!("expected a key `{key}` here"),
            };
            problems.add(if table.is_empty() {
                Problem::without_place(message, expected)
            } else {
                Problem::at(at.clone(), message, expected)
            });
        }
        Fields { values }
    }

    /// The value of a key, if it is there.
    pub fn get(&self, key: &str) -> Option<&'t Value<'i>> {
        self.values.get(key)
    }

    /// A string; of another type, it is reported.
    pub fn string(&self, key: &str, problems: &mut Problems) -> Option<Spanned<String>> {
        let value = self.get(key)?;
        let found = string(value);
        if found.is_none() {
            problems.add(mistyped(key, value, "a string"));
        }
        found
    }

    /// A boolean; of another type, it is reported.
    pub fn boolean(&self, key: &str, problems: &mut Problems) -> Option<Spanned<bool>> {
        let value = self.get(key)?;
        let found = value.get_ref().as_bool().map(|b| Spanned::new(value.span(), b));
        if found.is_none() {
            problems.add(mistyped(key, value, "true or false"));
        }
        found
    }

    /// One of some words, each with its value; anything else is reported.
    pub fn choice<T: Copy>(
        &self,
        key: &str,
        words: &[(&str, T)],
        problems: &mut Problems,
    ) -> Option<Spanned<T>> {
        let word = self.string(key, problems)?;
        let found = words.iter().find(|(w, _)| w == word.get_ref());
        if found.is_none() {
            let known: Vec<String> = words.iter().map(|(w, _)| format!("{w:?}")).collect();
            let (last, rest) = known.split_last().map_or(("", &[][..]), |(l, r)| (l, r));
            let message = format!("{key} {:?} is not known", word.get_ref());
            let expected = format!("expected {} or {last}", rest.join(", "));
            problems.add(Problem::at(word.span(), message, expected));
        }
        found.map(|(_, value)| Spanned::new(word.span(), *value))
    }

    /// An integer from `low` to `high`; anything else is reported.
    pub fn integer(&self, key: &str, low: i64, high: i64, problems: &mut Problems) -> Option<i64> {
        let value = self.get(key)?;
        let expected = format!("an integer from {low} to {high}");
        let Some(digits) = value.get_ref().as_integer() else {
            problems.add(mistyped(key, value, &expected));
            return None;
        };
        let number = i64::from_str_radix(digits.as_str(), digits.radix()).ok();
        let fits = number.filter(|n| (low..=high).contains(n));
        if fits.is_none() {
            let message = format!("`{key}` is {digits}");
            problems.add(Problem::at(value.span(), message, format!("expected {expected}")));
        }
        fits
    }

    /// The strings of an array, and whether that is all of it; anything else in it is reported.
    pub fn strings(&self, key: &str, problems: &mut Problems) -> (Vec<Spanned<String>>, bool) {
        let Some(value) = self.get(key) else { return (Vec::new(), true) };
        let Some(array) = value.get_ref().as_array() else {
            problems.add(mistyped(key, value, "an array of strings"));
            return (Vec::new(), false);
        };
        let mut found = Vec::new();
        for element in array.iter() {
            match string(element) {
                Some(text) => found.push(text),
                None => problems.add(mistyped(key, element, "a string")),
            }
        }
        let whole = found.len() == array.len();
        (found, whole)
    }

    /// The tables of an array of tables; anything else is reported.
    pub fn tables(
        &self,
        key: &str,
        problems: &mut Problems,
    ) -> Vec<(Range<usize>, &'t DeTable<'i>)> {
        self.tables_such_as(key, &format!("tables that begin with [[{key}]]"), problems)
    }

    /// The tables of an array of tables; anything else is reported, with what was expected.
    pub fn tables_such_as(
        &self,
        key: &str,
        expected: &str,
        problems: &mut Problems,
    ) -> Vec<(Range<usize>, &'t DeTable<'i>)> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let Some(array) = value.get_ref().as_array() else {
            problems.add(mistyped(key, value, expected));
            return Vec::new();
        };
        let mut found = Vec::new();
        for element in array.iter() {
            match element.get_ref().as_table() {
                Some(table) => found.push((element.span(), table)),
                None => problems.add(mistyped(key, element, expected)),
            }
        }
        found
    }
}

/// The value as a string, if it is one.
pub(crate) fn string(value: &Value) -> Option<Spanned<String>> {
    value.get_ref().as_str().map(|s| Spanned::new(value.span(), s.to_owned()))
}
