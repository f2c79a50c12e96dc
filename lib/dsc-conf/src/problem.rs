//! What is wrong with a configuration, where, and what was expected instead. Readers and checks add to it;
//! programs print it. It decides nothing.

use crate::PROBLEMS_MAX;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line in the file, from 1; 0 if it concerns no place in it.
    pub line: usize,
    /// Column in characters, from 1; 0 if it concerns no place in it.
    pub column: usize,
    /// The offending text, cut to one line.
    pub text: String,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// What was expected there.
    pub expected: String,
    /// What to do, where that is not plain.
    pub help: Option<String>,
    span: Option<Range<usize>>,
    also: Option<(Range<usize>, String)>,
}

impl Problem {
    /// A problem at a place of the file.
    pub(crate) fn at(span: Range<usize>, message: String, expected: impl Into<String>) -> Problem {
        Problem { span: Some(span), ..Problem::without_place(message, expected) }
    }

    /// A problem of the file as a whole.
    pub(crate) fn without_place(message: String, expected: impl Into<String>) -> Problem {
        Problem {
            line: 0,
            column: 0,
            text: String::new(),
            message,
            expected: expected.into(),
            help: None,
            span: None,
            also: None,
        }
    }

    /// With advice.
    pub(crate) fn help(mut self, text: impl Into<String>) -> Problem {
        self.help = Some(text.into());
        self
    }

    /// With a second place that explains the first.
    pub(crate) fn also(mut self, span: Range<usize>, label: impl Into<String>) -> Problem {
        self.also = Some((span, label.into()));
        self
    }
}

/// Everything that is wrong with one file, in the file's order. An `Err` of this crate never has an empty one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    file: String,
    text: Arc<str>,
    list: Vec<Problem>,
    more: usize,
}

impl Problems {
    /// None yet.
    pub(crate) fn none(file: &str, text: Arc<str>) -> Problems {
        Problems { file: file.to_owned(), text, list: Vec::new(), more: 0 }
    }

    /// The text of the file.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Name of the file, as it was given.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The problems, at most [`PROBLEMS_MAX`].
    pub fn list(&self) -> &[Problem] {
        &self.list
    }

    /// How many there are, those not kept included.
    pub fn count(&self) -> usize {
        self.list.len() + self.more
    }

    /// Nothing wrong?
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Adds one and works out its line, column and text.
    pub(crate) fn add(&mut self, mut problem: Problem) {
        if self.list.len() == PROBLEMS_MAX {
            self.more += 1;
            return;
        }
        if let Some(span) = &mut problem.span {
            *span = self.whole_characters(span.clone());
            let before = &self.text[..span.start];
            problem.line = before.matches('\n').count() + 1;
            let line_start = before.rfind('\n').map_or(0, |n| n + 1);
            problem.column = before[line_start..].chars().count() + 1;
            problem.text = self.text[span.clone()].lines().next().unwrap_or_default().to_owned();
        }
        if let Some((span, _)) = &mut problem.also {
            *span = self.whole_characters(span.clone());
        }
        self.list.push(problem);
    }

    /// Puts one without a place before all others.
    pub(crate) fn add_first(&mut self, problem: Problem) {
        if self.list.len() == PROBLEMS_MAX {
            self.list.pop();
            self.more += 1;
        }
        self.list.insert(0, problem);
    }

    /// Into the file's order.
    pub(crate) fn sorted(mut self) -> Problems {
        self.list.sort_by_key(|p| (p.line, p.column));
        self
    }

    /// A span inside the text, on character boundaries and on one line, as the printer demands.
    fn whole_characters(&self, span: Range<usize>) -> Range<usize> {
        let boundary = |mut at: usize| {
            at = at.min(self.text.len());
            while !self.text.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let start = boundary(span.start);
        let end = boundary(span.end).max(start);
        let line_end = self.text[start..end].find('\n').map_or(end, |n| start + n);
        start..line_end
    }

    /// For people: each problem with its line of the file. `colour` only for a terminal.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let mut out = String::new();
        for problem in &self.list {
            out.push_str(&renderer.render(&[self.group(problem)]));
            out.push_str("\n\n");
        }
        if self.more > 0 {
            out.push_str(&format!("{} more not shown\n\n", self.more));
        }
        let plural = if self.count() == 1 { "problem" } else { "problems" };
        out.push_str(&format!("{}: {} {plural}\n", self.file, self.count()));
        out
    }

    fn group<'a>(&'a self, problem: &'a Problem) -> Group<'a> {
        let mut group = Group::with_title(Level::ERROR.primary_title(problem.message.as_str()));
        match &problem.span {
            Some(span) => {
                let place = AnnotationKind::Primary.span(span.clone());
                let mut snippet = Snippet::source(&*self.text)
                    .path(self.file.as_str())
                    .annotation(place.label(problem.expected.as_str()));
                if let Some((span, label)) = &problem.also {
                    let place = AnnotationKind::Context.span(span.clone());
                    snippet = snippet.annotation(place.label(label.as_str()));
                }
                group = group.element(snippet);
            }
            None => group = group.element(Level::NOTE.message(problem.expected.as_str())),
        }
        if let Some(help) = &problem.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        group
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Problems {}
