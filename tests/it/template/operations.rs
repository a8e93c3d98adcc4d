//! Checks the book's operations pages against the template and the log, and the parameters on all command lines of `sam`.

use std::path::Path;

use serde_json::Value;

use super::cloudformation::{STACK, Template};
use super::lines;

const BOOK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/src");

/// The text of all operations pages, in the book's order.
fn pages() -> String {
    chapters("operations/")
}

/// The text of all pages in a folder of the book, in the book's order.
fn chapters(folder: &str) -> String {
    let summary = std::fs::read_to_string(Path::new(BOOK).join("SUMMARY.md")).unwrap();
    let links = summary.split("](").skip(1).filter_map(|it| it.split_once(')')).map(|(link, _)| link);
    let pages = links.map(|it| it.trim_start_matches("./")).filter(|it| it.starts_with(folder));
    pages.map(|page| std::fs::read_to_string(Path::new(BOOK).join(page)).unwrap()).collect()
}

#[test]
fn every_alarm_has_a_chapter_with_commands() {
    let text = std::fs::read_to_string(Path::new(BOOK).join("operations/alarms.md")).unwrap();
    let template = Template::with(&[]);
    let alarms = ["AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"].map(|kind| template.resources(kind));
    let notifying = alarms.iter().flatten().filter(|it| it.get("AlarmActions").is_some());
    assert_eq!(notifying.clone().count(), 10);
    for alarm in notifying {
        let name = alarm["AlarmName"].as_str().unwrap().strip_prefix(&format!("{STACK}-")).unwrap();
        let title = name.replace('-', " ");
        let mut chapters = text.split("\n### ").skip(1);
        let chapter = chapters.find(|it| it.lines().next().unwrap_or_default().to_lowercase() == title);
        let chapter = chapter.unwrap_or_else(|| panic!("the page has no chapter `{title}`"));
        assert!(chapter.contains(&format!("`STACK-{name}`")) && chapter.contains("```sh"), "{chapter}");
    }
}

/// A pattern for the function's log matches one of its real lines: `{ $.FIELD = VALUE }`. `.ci/runbook.py` runs the commands of
/// `callgatectl`, which reads the same lines.
#[tokio::test]
async fn every_filter_pattern_matches_a_real_line() {
    let (text, lines) = (pages(), lines().await);
    let mut checked = 0;
    for typed in text.split("aws logs tail \"$CALLGATE_LOG_GROUP\"").skip(1) {
        let options = typed.lines().next().unwrap();
        let Some((_, pattern)) = options.split_once("--filter-pattern '{ $.") else { continue };
        let (field, value) = pattern.split_once(" }'").unwrap().0.split_once(" = ").unwrap();
        let value: Value = serde_json::from_str(value).unwrap();
        assert!(lines.iter().any(|line| line[field] == value), "no line has `{field}` {value}");
        checked += 1;
    }
    assert!(checked >= 1, "found {checked} patterns");
    assert!(!text.contains("start-query"), "`callgatectl calls` answers it");
}

/// The log group in the outputs is the function's, and has the name that `callgatectl calls --function` takes for it.
#[test]
fn the_outputs_name_the_log_group_and_the_function() {
    let template = Template::with(&[]);
    let groups = template.created("AWS::Logs::LogGroup");
    let function = &template.resources("AWS::Serverless::Function")[0];
    let outputs = template.outputs();
    let logged_to = function["LoggingConfig"]["LogGroup"].as_str().unwrap();
    assert_eq!(outputs["LogGroup"], logged_to);
    assert_eq!(
        groups[logged_to]["LogGroupName"],
        format!("/aws/lambda/{}", function["FunctionName"].as_str().unwrap())
    );
    assert!(outputs["Next4Watch"].as_str().unwrap().contains(&format!("--log-group {logged_to} ")));
    let setup = std::fs::read_to_string(Path::new(BOOK).join("operations/index.md")).unwrap();
    for named in setup.split("$(output ").skip(1).map(|it| it.split_once(')').unwrap().0) {
        assert!(outputs.contains_key(named), "the template has no output `{named}`");
    }
}

#[test]
fn every_parameter_on_a_command_line_is_one_of_the_template() {
    let read = |path: &str| std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let readme_and_book =
        [read("README.md"), read("docs/src/getting-started.md"), chapters("guides/"), chapters("operations/")];
    let mut checked = 0;
    for given in readme_and_book.iter().flat_map(|text| text.split("--parameter-overrides ").skip(1)) {
        for (name, _) in given.split_whitespace().map_while(|it| it.trim_matches('`').split_once('=')) {
            assert!(Template::with(&[]).section("Parameters").contains_key(name), "the template has no `{name}`");
            checked += 1;
        }
    }
    assert!(checked >= 8, "found {checked} parameters");
}

/// Quantity times price is the amount on each line of the table of costs, and the sums are sums, to the cent.
#[test]
fn the_costs_add_up() {
    let text = pages();
    let rows: Vec<Vec<&str>> = text
        .lines()
        .skip_while(|line| !line.contains("| 1 million | 10 million | 100 million |"))
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim_matches([' ', '*'])).collect())
        .collect();
    let number =
        |text: &str| text.split(' ').next().and_then(|it| it.parse::<f64>().ok()).unwrap_or_else(|| panic!("{text}"));
    let mut sums = [0.0; 3];
    for row in rows.iter().skip(2) {
        let (quantity, price) = (row[1], row[2]);
        for ((millions, sum), cell) in [1.0, 10.0, 100.0].into_iter().zip(&mut sums).zip(&row[3..]) {
            let amount = match price.split_once(" × ") {
                Some((count, price)) => number(count) * number(price),
                // A million calls of 1 KB are a GB, and a million GB-seconds are not one.
                None if price.ends_with("GB-second") => number(quantity) * number(price) * 1e6 * millions,
                None if !price.is_empty() => number(quantity) * number(price) * millions,
                None => *sum,
            };
            assert!((amount - number(cell)).abs() <= 0.005_01, "{row:?}: {amount}, not {cell}");
            if !price.is_empty() {
                *sum += amount;
            }
        }
    }
    assert_eq!(rows.len(), 16, "a header, 12 lines and 2 sums");
}
