//! What is wrong with the lines of a file.

use std::fmt;

use serde::Serialize;

use crate::wording::{count, escape};

/// How many problems are kept. Further ones are only counted.
const MAX_PROBLEMS: usize = 1_000;

/// How many kinds of problems are kept. Further problems are only counted.
const MAX_KINDS: usize = 100;

/// How many lines are named for a kind of problem, after the first one.
const MAX_LINES: usize = 3;

/// What is wrong with a line of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The line on which the rule starts, counted from 1.
    pub line: u64,
    /// The column. Empty when the problem is not in one column.
    pub column: String,
    /// The value as it is in the file.
    pub value: String,
    /// What is wrong with the value.
    pub reason: String,
}

impl Problem {
    pub(crate) fn new(line: u64, column: &str, value: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { line, column: column.to_owned(), value: value.into(), reason: reason.into() }
    }

    pub(crate) fn of_line(line: u64, reason: impl Into<String>) -> Self {
        Self::new(line, "", "", reason)
    }

    /// Whether the other problem is the same with another value: only digits and what is quoted differ.
    fn is_same_kind(&self, other: &Self) -> bool {
        fn outline(reason: &str) -> impl Iterator<Item = &str> {
            let unquoted = reason.split('`').step_by(2);
            unquoted.flat_map(|text| text.split(|c: char| c.is_ascii_digit()).filter(|text| !text.is_empty()))
        }
        self.column == other.column && outline(&self.reason).eq(outline(&other.reason))
    }
}

/// The problem on one line, for people.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, value, reason } = self;
        write!(f, "line {line}")?;
        if !column.is_empty() {
            write!(f, ", column `{}`", escape(column))?;
        }
        f.write_str(":")?;
        if !value.is_empty() {
            write!(f, " `{}`", escape(value))?;
        }
        write!(f, " {}", escape(reason))
    }
}

/// The problems of a file, which may be as many as it has lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems {
    /// The first 1,000 problems.
    pub first: Vec<Problem>,
    /// The number of all problems.
    pub count: u64,
    /// The first 100 kinds of problems.
    pub kinds: Vec<ProblemKind>,
}

/// A problem that many lines may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProblemKind {
    /// The first problem of the kind.
    pub first: Problem,
    /// The first few lines after that one.
    pub lines: Vec<u64>,
    /// The last line with the problem.
    pub last_line: u64,
    /// The number of all problems of the kind.
    pub count: u64,
}

impl Problems {
    /// A problem of the whole file.
    #[must_use]
    pub fn of_file(reason: &str) -> Self {
        let mut problems = Self::default();
        problems.add(Problem::of_line(1, format!("the file {reason}")));
        problems
    }

    pub(crate) fn add(&mut self, problem: Problem) {
        self.count += 1;
        // Two problems of one line are both printed.
        let is_same = |kind: &&mut ProblemKind| kind.first.is_same_kind(&problem) && kind.last_line != problem.line;
        if let Some(kind) = self.kinds.iter_mut().find(is_same) {
            kind.count += 1;
            kind.last_line = problem.line;
            if kind.lines.len() < MAX_LINES {
                kind.lines.push(problem.line);
            }
        } else if self.kinds.len() < MAX_KINDS {
            let (first, last_line) = (problem.clone(), problem.line);
            self.kinds.push(ProblemKind { first, lines: Vec::new(), last_line, count: 1 });
        }
        if self.first.len() < MAX_PROBLEMS {
            self.first.push(problem);
        }
    }

    pub(crate) fn extend(&mut self, problems: Vec<Problem>) {
        for problem in problems {
            self.add(problem);
        }
    }

    /// The number of problems that are of none of the [`kinds`](Self::kinds).
    #[must_use]
    pub fn other_count(&self) -> u64 {
        self.count.saturating_sub(self.kinds.iter().map(|kind| kind.count).sum())
    }
}

/// The first problem, and the lines with the same one, for people.
impl fmt::Display for ProblemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, lines, last_line: _, count: all } = self;
        write!(f, "{first}")?;
        let more = all.saturating_sub(1);
        if more == 0 {
            return Ok(());
        }
        let named: Vec<_> = lines.iter().map(u64::to_string).collect();
        let others = if more > lines.len() as u64 { ", ..." } else { "" };
        write!(f, " (the same on {}: {}{others})", count(more, "more line"), named.join(", "))
    }
}
