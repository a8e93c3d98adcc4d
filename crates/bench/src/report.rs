//! A comparison as a table, as JSON, and against what was aimed at.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::compare::{Comparison, Figure, Measured, megabytes};

/// Name in JSON, head of the column, and the figure's value.
type Column = (&'static str, &'static str, fn(&Measured) -> Option<f64>);

const COLUMNS: [Column; 12] = [
    ("start_ms", "start to first poll, ms", |it| it.percentile(Figure::StartWall, 50)),
    ("start_cpu_ms", "its CPU, ms", |it| it.percentile(Figure::StartCpu, 50)),
    ("first_call_ms", "first call, ms", |it| it.percentile(Figure::FirstWall, 50)),
    ("first_call_cpu_ms", "its CPU, ms", |it| it.percentile(Figure::FirstCpu, 50)),
    ("first_call_throttled_ms", "first call on 7.2 % of a core, ms", |it| it.percentile(Figure::FirstThrottled, 50)),
    ("start_and_first_call_ms", "start and first call, ms", |it| {
        Some(it.percentile(Figure::StartWall, 50)? + it.percentile(Figure::FirstWall, 50)?)
    }),
    ("warm_p50_us", "warm call p50, us", |it| it.percentile(Figure::WarmWall, 50)),
    ("warm_p99_us", "p99, us", |it| it.percentile(Figure::WarmWall, 99)),
    ("warm_cpu_us", "CPU, us", |it| it.percentile(Figure::WarmCpu, 50)),
    ("peak_memory_mb", "peak memory, MB", |it| it.percentile(Figure::Memory, 50)),
    ("binary_mb", "binary, MB", |it| Some(megabytes(it.size.binary))),
    ("zip_mb", "zip, MB", |it| Some(megabytes(it.size.zip))),
];

/// The table, in Markdown.
pub(crate) fn table(comparison: &Comparison) -> String {
    let heads: Vec<_> = COLUMNS.iter().map(|(_, head, _)| *head).collect();
    let mut table = format!("| | {} |\n|---{}|\n", heads.join(" | "), "|---:".repeat(heads.len()));
    for program in &comparison.measured {
        let cells: Vec<_> = COLUMNS.iter().map(|(_, _, figure)| cell(figure(program))).collect();
        let _ = writeln!(table, "| {} | {} |", program.contender.name, cells.join(" | "));
    }
    table
}

fn cell(figure: Option<f64>) -> String {
    match figure {
        None => "–".to_owned(),
        Some(value) if value >= 100.0 => format!("{value:.0}"),
        Some(value) if value >= 10.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.2}"),
    }
}

/// What was aimed at, and what came out.
pub(crate) fn targets(comparison: &Comparison) -> String {
    let of = |name: &str, column: &str| {
        let program = comparison.measured.iter().find(|it| it.contender.name == name)?;
        COLUMNS.iter().find(|(key, ..)| *key == column).and_then(|(_, _, figure)| figure(program))
    };
    let ratio = |column: &str, peer: &str| Some(of("callgate", column)? / of(peer, column)?);
    let first_to_warm = || Some(1e3 * of("callgate", "first_call_ms")? / of("callgate", "warm_p50_us")?);
    let aims = [
        ("first call, CPU, against the tutorial peer", ratio("first_call_cpu_ms", "tutorial"), 1.0 / 20.0),
        ("first call, wall, against callgate's own warm call", first_to_warm(), 2.0),
        ("first call on 7.2 % of a core, against the peer", ratio("first_call_throttled_ms", "tutorial"), 1.0 / 50.0),
        ("start to first poll, against the floor", ratio("start_ms", "floor"), 4.0),
        ("warm call, CPU, against the tutorial peer", ratio("warm_cpu_us", "tutorial"), 0.55),
        ("warm call, CPU, against one bare GetItem", ratio("warm_cpu_us", "getitem"), 1.25),
        ("peak memory, MB", of("callgate", "peak_memory_mb"), 8.0),
        ("binary, MB", of("callgate", "binary_mb"), 5.5),
        ("zip, MB", of("callgate", "zip_mb"), 2.5),
    ];
    let mut table = "| figure | measured | at most | |\n|---|---:|---:|---|\n".to_owned();
    for (name, measured, most) in aims {
        let Some(measured) = measured else { continue };
        let verdict = if measured <= most { "met" } else { "**missed**" };
        let _ = writeln!(table, "| {name} | {measured:.3} | {most} | {verdict} |");
    }
    table
}

/// Everything, for whoever wants to draw other conclusions.
pub(crate) fn json(comparison: &Comparison, runs: u32, calls: u32) -> Value {
    let programs: Map<_, _> = comparison
        .measured
        .iter()
        .map(|program| {
            let figures = COLUMNS.iter().map(|(key, _, figure)| ((*key).to_owned(), json!(figure(program))));
            (program.contender.name.clone(), Value::Object(figures.collect()))
        })
        .collect();
    json!({
        "runs": runs,
        "calls_a_run": calls,
        "roots_in_the_bundle": comparison.roots,
        "no_quota": comparison.no_quota,
        "machine": machine(),
        "programs": programs,
    })
}

/// Where it was measured, and what else ran there.
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
