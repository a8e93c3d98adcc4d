//! Checks the names in a query of CloudWatch Logs Insights, where the column of a misspelled field just stays empty.

use std::collections::BTreeSet;

use serde_json::Value;

const COMMANDS: [&str; 6] = ["SOURCE", "fields", "filter", "limit", "sort", "stats"];
const WORDS: [&str; 11] = ["and", "as", "asc", "bin", "by", "count", "desc", "like", "max", "or", "pct"];

/// Checks that commands and words exist, that some line matches the filters, and that such lines have every field.
pub(super) fn check(query: &str, lines: &[Value]) -> Result<(), String> {
    let tokens: Vec<&str> = tokens(query).collect();
    let compared = || {
        tokens.windows(3).filter_map(|it| match it {
            [name, operator @ ("=" | "!="), value] => Some((*name, *operator == "=", *value)),
            _ => None,
        })
    };
    // A value in a query looks as in JSON: text in quotes, numbers without.
    let matches = |line: &&Value| {
        compared().all(|(name, equal, value)| {
            let value: Option<Value> = serde_json::from_str(value).ok();
            value.is_some_and(|value| line.get(name).is_some_and(|it| (*it == value) == equal))
        })
    };
    let matching: Vec<&Value> = lines.iter().filter(matches).collect();
    if matching.is_empty() {
        return Err(format!("no line matches {:?}", compared().collect::<Vec<_>>()));
    }
    let aliases: BTreeSet<&str> = tokens.windows(2).filter(|it| it[0] == "as").map(|it| it[1]).collect();
    let is_known = |name: &str| {
        WORDS.contains(&name) || aliases.contains(name) || matching.iter().any(|it| it.get(name).is_some())
    };
    for command in tokens.split(|it| *it == "|") {
        match command {
            [name, ..] if COMMANDS.contains(name) => {}
            other => return Err(format!("a command cannot start with {other:?}")),
        }
        let names =
            command.iter().skip(1).filter(|it| it.starts_with(|at: char| at.is_ascii_alphabetic() || at == '@'));
        if let Some(unknown) = names.into_iter().find(|name| !is_known(name)) {
            return Err(format!("no matching line has `{unknown}`"));
        }
    }
    Ok(())
}

/// Names, numbers with their units, quoted texts, regular expressions and marks; no comments.
fn tokens(query: &str) -> impl Iterator<Item = &str> {
    let mut rest = query;
    std::iter::from_fn(move || {
        loop {
            rest = rest.trim_start();
            match rest.strip_prefix('#') {
                Some(comment) => rest = comment.split_once('\n').map_or("", |(_, after)| after),
                None => break,
            }
        }
        let first = rest.chars().next()?;
        let is_name = |it: char| it.is_alphanumeric() || matches!(it, '@' | '_' | '.');
        let length = match first {
            '"' | '\'' | '/' => rest.get(1..)?.find(first).map_or(rest.len(), |end| end + 2),
            '!' | '<' | '>' => rest.find(|it| !matches!(it, '!' | '<' | '>' | '=')).unwrap_or(rest.len()),
            _ if is_name(first) => rest.find(|it| !is_name(it)).unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        let (token, after) = rest.split_at_checked(length)?;
        rest = after;
        Some(token)
    })
}
