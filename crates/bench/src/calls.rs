//! Measures how long `callgatectl calls` takes for a file, against `grep` with the same filter in the same run.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use callgate::log::{DecisionRecord, Level, LineOutput, LogSettings};
use nix::sys::resource::{UsageWho, getrusage};

use crate::compare::milliseconds;
use crate::program::Program;
use crate::statistics::Samples;

/// What is searched for: the text for `grep`, the options of `calls`, and how many times as long as `grep` it may take. Without
/// a filter, `--group` prints nearly 60,000 lines, of which `grep` prints none.
const CASES: [(&str, &[&str], f64); 5] = [
    ("\"message\":\"decision\"", &["--stats"], 2.0),
    ("\"message\":\"decision\"", &["--group"], 4.0),
    ("\"decision\":\"deny\"", &["--refused", "--stats"], 2.0),
    ("\"decision\":\"deny\"", &["--refused", "--group"], 2.0),
    ("\"caller\":\"+74950000042\"", &["--from", "+74950000042"], 2.0),
];

/// The times of one search in a file of some size.
#[derive(Debug)]
pub(crate) struct Times {
    lines: u32,
    case: usize,
    grep_ms: Samples,
    calls_ms: Samples,
    /// The most memory that any run has used so far, in bytes.
    peak: i64,
}

/// Runs both programs in turns, for files of each of these numbers of lines.
pub(crate) fn measure(tool: &Program, rounds: u32, sizes: &[u32]) -> anyhow::Result<Vec<Times>> {
    let folder = tempfile::tempdir()?;
    let mut all = Vec::new();
    for &lines in sizes {
        let file = folder.path().join(format!("{lines}.log"));
        write_log(&file, lines)?;
        for (case, (text, options, _)) in CASES.into_iter().enumerate() {
            let mut times = Times { lines, case, grep_ms: Samples::default(), calls_ms: Samples::default(), peak: 0 };
            // The first round only fills the page cache.
            for round in 0..=rounds {
                let grep = run(Command::new("grep").args(["-c", text]).arg(&file).env("LC_ALL", "C"))?;
                let calls = run(Command::new(&tool.path).args(["calls", "--log"]).arg(&file).args(options))?;
                if round > 0 {
                    times.grep_ms.push(milliseconds(grep));
                    times.calls_ms.push(milliseconds(calls));
                }
            }
            times.peak = getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss() * 1_024;
            all.push(times);
        }
        std::fs::remove_file(file)?;
    }
    Ok(all)
}

/// Writes calls as the function logs them: 20,000 callers, some of them much more often than others, with three callees each. The
/// answer depends on the parties.
pub(crate) fn write_log(path: &Path, lines: u32) -> anyhow::Result<()> {
    let file = Arc::new(Mutex::new(BufWriter::new(File::create(path)?)));
    let writer = Arc::clone(&file);
    let write = move |line: &str| {
        // The flush at the end fails too.
        let _ = writer.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes());
    };
    let output = Some(LineOutput::new(write));
    let log = LogSettings { level: Level::Info, mask_parties: false, function: "callgate".to_owned(), output };
    // Steele and Vigna, "Computationally easy, spectrally good multipliers", 2022.
    let mut state = 1_u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(1);
        (state >> 33) % below
    };
    for _ in 0..lines {
        // The smaller of two numbers is more often small.
        let (number, choice) = (random(20_000).min(random(20_000)), random(3));
        let (caller, callee) = (format!("+7495{number:07}"), format!("PPP{:06}", (number * 7 + choice * 311) % 1_000));
        let is_permitted = (number + choice) % 10 < 7;
        let (call_id, request_id) = (format!("{:032x}", random(u64::MAX)), format!("{:036x}", random(u64::MAX)));
        let record = DecisionRecord {
            decision: if is_permitted { "allow" } else { "deny" },
            reason: if is_permitted { "callee_rule" } else { "no_rule" },
            hook: Some("OnCallEvent"),
            door: is_permitted.then_some("callee"),
            rule: is_permitted.then(|| "+7495*".to_owned()),
            app: Some("shop"),
            caller: Some(&caller),
            callee: Some(&callee),
            media: Some(callgate_core::MediaSet { audio: true, video: random(4) == 0 }),
            call_id: Some(&call_id),
            store: Some(Duration::from_micros(2_000 + random(5_000))),
            units: 4.0,
            status: if is_permitted { 200 } else { 403 },
            ..DecisionRecord::new(Instant::now(), &request_id, false)
        };
        log.decision(&record);
    }
    Ok(file.lock().unwrap_or_else(PoisonError::into_inner).flush()?)
}

/// Runs a program to its end, and returns how long it took.
fn run(command: &mut Command) -> anyhow::Result<Duration> {
    let started = Instant::now();
    // If its output is discarded, grep stops at the first line.
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {command:?}"))?;
    let elapsed = started.elapsed();
    anyhow::ensure!(output.status.success() && !output.stdout.is_empty(), "{command:?} failed");
    Ok(elapsed)
}

impl Times {
    fn ratio(&self) -> f64 {
        let median = |samples: &Samples| samples.percentile(50).unwrap_or_default();
        median(&self.calls_ms) / median(&self.grep_ms)
    }
}

/// Formats the times as a Markdown table.
pub(crate) fn table(all: &[Times]) -> String {
    let rows = all.iter().map(|times| {
        let Times { lines, case, grep_ms, calls_ms, peak } = times;
        let options = CASES.get(*case).map_or_else(String::new, |(_, options, _)| options.join(" "));
        let median = |samples: &Samples| samples.percentile(50).unwrap_or_default();
        let (grep, calls) = (median(grep_ms), median(calls_ms));
        format!("| {lines} | `{options}` | {grep:.0} | {calls:.0} | {:.2} | {} |\n", times.ratio(), peak >> 20)
    });
    format!(
        "| lines | options of `calls` | `grep -c`, ms | `calls`, ms | ratio | peak so far, MB |\n|---:|---|---:|---:|---:|---:|\n{}",
        rows.collect::<String>()
    )
}

/// Checks that no search takes much longer than `grep`, at the largest size.
///
/// # Errors
/// When one does.
pub(crate) fn check(all: &[Times]) -> anyhow::Result<()> {
    let most = all.iter().map(|times| times.lines).max();
    for times in all.iter().filter(|times| Some(times.lines) == most) {
        let (ratio, lines) = (times.ratio(), times.lines);
        let Some((_, options, limit)) = CASES.get(times.case) else { continue };
        let options = options.join(" ");
        anyhow::ensure!(ratio <= *limit, "`{options}` takes {ratio:.2} times as long as grep for {lines} lines");
    }
    Ok(())
}
