//! Formats a comparison: as a table, as a table of targets, and as JSON.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::compare::{Comparison, Measurements, Metric, megabytes};

/// The key in JSON, the heading in the table, and the value.
type Column = (&'static str, &'static str, fn(&Measurements) -> Option<f64>);

const COLUMNS: [Column; 12] = [
    ("start_ms", "start to first poll, ms", |it| it.percentile(Metric::StartWall, 50)),
    ("start_cpu_ms", "its CPU, ms", |it| it.percentile(Metric::StartCpu, 50)),
    ("first_call_ms", "first call, ms", |it| it.percentile(Metric::FirstWall, 50)),
    ("first_call_cpu_ms", "its CPU, ms", |it| it.percentile(Metric::FirstCpu, 50)),
    ("first_call_throttled_ms", "first call on 7.2 % of a core, ms", |it| it.percentile(Metric::FirstThrottled, 50)),
    ("start_and_first_call_ms", "start and first call, ms", |it| {
        Some(it.percentile(Metric::StartWall, 50)? + it.percentile(Metric::FirstWall, 50)?)
    }),
    ("warm_p50_us", "warm call p50, us", |it| it.percentile(Metric::WarmWall, 50)),
    ("warm_p99_us", "p99, us", |it| it.percentile(Metric::WarmWall, 99)),
    ("warm_cpu_us", "CPU, us", |it| it.percentile(Metric::WarmCpu, 50)),
    ("peak_memory_mb", "peak memory, MB", |it| it.percentile(Metric::Memory, 50)),
    ("binary_mb", "binary, MB", |it| Some(megabytes(it.size.binary))),
    ("zip_mb", "zip, MB", |it| Some(megabytes(it.size.zip))),
];

/// Formats the results as a Markdown table.
pub(crate) fn table(comparison: &Comparison) -> String {
    let headings: Vec<_> = COLUMNS.iter().map(|(_, heading, _)| *heading).collect();
    let mut table = format!("| | {} |\n|---{}|\n", headings.join(" | "), "|---:".repeat(headings.len()));
    for result in &comparison.results {
        let cells: Vec<_> = COLUMNS.iter().map(|(_, _, value)| cell(value(result))).collect();
        let _ = writeln!(table, "| {} | {} |", result.program.name, cells.join(" | "));
    }
    table
}

fn cell(value: Option<f64>) -> String {
    match value {
        None => "–".to_owned(),
        Some(value) if value >= 100.0 => format!("{value:.0}"),
        Some(value) if value >= 10.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.2}"),
    }
}

/// Formats the targets and the measured values as a Markdown table.
pub(crate) fn targets(comparison: &Comparison) -> String {
    let value_of = |name: &str, column: &str| {
        let result = comparison.results.iter().find(|it| it.program.name == name)?;
        COLUMNS.iter().find(|(key, ..)| *key == column).and_then(|(_, _, value)| value(result))
    };
    let ratio = |column: &str, peer: &str| Some(value_of("callgate", column)? / value_of(peer, column)?);
    let first_to_warm = || Some(1e3 * value_of("callgate", "first_call_ms")? / value_of("callgate", "warm_p50_us")?);
    let targets = [
        ("first call, CPU, against the tutorial peer", ratio("first_call_cpu_ms", "tutorial"), 1.0 / 20.0),
        ("first call, wall, against callgate's own warm call", first_to_warm(), 2.0),
        ("first call on 7.2 % of a core, against the peer", ratio("first_call_throttled_ms", "tutorial"), 1.0 / 50.0),
        ("start to first poll, against the floor", ratio("start_ms", "floor"), 4.0),
        ("warm call, CPU, against the tutorial peer", ratio("warm_cpu_us", "tutorial"), 0.55),
        ("warm call, CPU, against one bare GetItem", ratio("warm_cpu_us", "getitem"), 1.25),
        ("peak memory, MB", value_of("callgate", "peak_memory_mb"), 8.0),
        ("binary, MB", value_of("callgate", "binary_mb"), 5.5),
        ("zip, MB", value_of("callgate", "zip_mb"), 2.5),
    ];
    let mut table = "| figure | measured | at most | |\n|---|---:|---:|---|\n".to_owned();
    for (name, measured, target) in targets {
        let Some(measured) = measured else { continue };
        let verdict = if measured <= target { "met" } else { "**missed**" };
        let _ = writeln!(table, "| {name} | {measured:.3} | {target} | {verdict} |");
    }
    table
}

/// Returns all results as JSON.
pub(crate) fn json(comparison: &Comparison, runs: u32, calls: u32) -> Value {
    let programs: Map<_, _> = comparison
        .results
        .iter()
        .map(|result| {
            let values = COLUMNS.iter().map(|(key, _, value)| ((*key).to_owned(), json!(value(result))));
            (result.program.name.clone(), Value::Object(values.collect()))
        })
        .collect();
    json!({
        "runs": runs,
        "calls_a_run": calls,
        "roots_in_the_bundle": comparison.roots,
        "no_quota": comparison.cpu_quota_error,
        "machine": machine(),
        "programs": programs,
    })
}

/// Returns the machine's processor, cores, load and kernel.
pub(crate) fn machine() -> Value {
    let read = |path: &str| std::fs::read_to_string(Path::new(path)).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    json!({
        "processor": model.trim_start_matches([' ', '\t', ':']),
        "cores": std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        "load_average": read("/proc/loadavg").trim(),
        "system": read("/proc/sys/kernel/osrelease").trim(),
    })
}
