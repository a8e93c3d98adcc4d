//! Measures the time and memory to import, export, inspect, back up and restore a million rules, the import compared with a
//! bare loop over the same server.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use tokio::task::JoinSet;

use crate::support::{TABLE, TestServer};

/// The import's rate must be at least this share of the bare loop's rate.
const MIN_SHARE: f64 = 0.8;

/// The most megabytes that `doctor` may take. Its lists of apps and parties, and the ids, grow with the table.
const MAX_DOCTOR_MB: u64 = 300;

/// How often each size is measured.
const ROUNDS: usize = 3;

/// Simultaneous requests of the bare loop; the same as the tool's default.
const CONCURRENCY: usize = 16;

/// The number of rules.
fn rules() -> usize {
    std::env::var("CALLGATE_IMPORT_RULES").map_or(1_000_000, |count| count.parse().unwrap())
}

/// The time of a run of the tool, and its peak memory in kilobytes.
struct Measurement {
    seconds: f64,
    peak_kb: u64,
}

/// Runs the tool and measures it.
fn measure(server: &TestServer, arguments: &[&str], out: Stdio) -> Measurement {
    let started = Instant::now();
    let mut child = server.tool().args(arguments).stdin(Stdio::null()).stdout(out).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak_kb = 0;
    let exit_status = loop {
        if let Some(exit_status) = child.try_wait().unwrap() {
            break exit_status;
        }
        let lines = std::fs::read_to_string(&status).unwrap_or_default();
        let high = lines.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().split(' ').next()?.parse().ok());
        peak_kb = peak_kb.max(high.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(exit_status.success());
    Measurement { seconds: started.elapsed().as_secs_f64(), peak_kb }
}

/// The caller and callee of a rule. There are a tenth as many callees as rules.
fn row(number: usize, rules: usize) -> (String, String) {
    let callees = (rules / 10).max(1);
    // Callees are spread, so that neighbouring rows of the file are not neighbouring items of the table.
    (format!("+7495{number:07}"), format!("PPP{:06}", (number * 7_919) % callees))
}

fn write_file(path: &Path, rules: usize) {
    let mut file = BufWriter::new(File::create(path).unwrap());
    writeln!(file, "app,from,to,effect").unwrap();
    for number in 0..rules {
        let (from, to) = row(number, rules);
        writeln!(file, "shop,{from},{to},allow").unwrap();
    }
    file.flush().unwrap();
}

/// Writes the same items with bare batch requests. Returns the seconds.
fn bare_loop(server: &TestServer, rules: usize) -> f64 {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("local"))
            .credentials_provider(Credentials::new("local", "local", None, None, "test"))
            .endpoint_url(format!("http://{}", server.address))
            .http_client(callgate::store::client::https_client())
            .build();
        let client = Client::from_conf(config);
        // Sorted by key, as the tool writes them, because the server stores sorted items faster.
        let mut rows: Vec<_> = (0..rules).map(|number| row(number, rules)).collect();
        rows.sort_by(|(from, to), (other_from, other_to)| (to, from).cmp(&(other_to, other_from)));
        let rows = std::sync::Arc::new(rows);
        let started = Instant::now();
        let mut writers = JoinSet::new();
        for first in 0..CONCURRENCY {
            let (client, rows) = (client.clone(), std::sync::Arc::clone(&rows));
            writers.spawn(async move {
                for batch in rows.chunks(25).skip(first).step_by(CONCURRENCY) {
                    let requests = batch.iter().map(request).collect();
                    let output = client.batch_write_item().request_items(TABLE, requests).send().await.unwrap();
                    assert!(output.unprocessed_items().is_none_or(std::collections::HashMap::is_empty));
                }
            });
        }
        while let Some(result) = writers.join_next().await {
            result.unwrap();
        }
        started.elapsed().as_secs_f64()
    })
}

fn request((from, to): &(String, String)) -> WriteRequest {
    let text = |value: &str| AttributeValue::S(value.to_owned());
    let item = PutRequest::builder()
        .item("pk", text(&format!("PARTY#shop#{to}")))
        .item("sk", text(&format!("CALLER#{from}")))
        .item("effect", text("allow"))
        .item("updated_at", AttributeValue::N("1795500000".to_owned()))
        .item("updated_by", text("operator"));
    WriteRequest::builder().put_request(item.build().unwrap()).build()
}

/// What is measured: an import into an empty table, the same file again, an export, an inspection, a backup, a restore into an empty table,
/// and the file as a list that takes over all rules.
const STEPS: [&str; 7] = ["import", "again", "export", "doctor", "backup", "restore", "list"];

/// The measurements of one round.
struct Round {
    /// Seconds of the bare loop.
    bare: f64,
    steps: [Measurement; STEPS.len()],
}

/// Measures the bare loop and the tool in turns, so that other load on the machine affects both.
fn rounds(rules: usize, folder: &Path) -> Vec<Round> {
    let [file, exported, backup] = ["rules.csv", "exported.csv", "backup"].map(|name| folder.join(name));
    write_file(&file, rules);
    let [file, backup] = [&file, &backup].map(|path| path.to_str().unwrap());
    let lines = |path: &Path| std::io::BufRead::lines(std::io::BufReader::new(File::open(path).unwrap())).count();
    let round = || {
        let server = TestServer::with_table();
        let bare = bare_loop(&server, rules);
        drop(server);
        let server = TestServer::with_table();
        let import = measure(&server, &["import", file], Stdio::null());
        let again = measure(&server, &["import", file, "--replace"], Stdio::null());
        let export = measure(&server, &["export"], File::create(&exported).unwrap().into());
        assert_eq!(lines(&exported), rules + 1);
        let doctor = measure(&server, &["doctor"], Stdio::null());
        let back_up = measure(&server, &["backup", backup], Stdio::null());
        assert_eq!(lines(Path::new(backup)), rules + 2);
        let other = TestServer::with_table();
        let restore = measure(&other, &["restore", backup, "--replace"], Stdio::null());
        drop(other);
        let list = measure(&server, &["import", file, "--list", "spam", "--replace"], Stdio::null());
        Round { bare, steps: [import, again, export, doctor, back_up, restore, list] }
    };
    (0..ROUNDS).map(|_| round()).collect()
}

fn median(rounds: &[Round], of: impl Fn(&Round) -> f64) -> f64 {
    let mut all: Vec<_> = rounds.iter().map(of).collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

#[test]
#[ignore = "takes minutes: cargo test --profile harness -p callgatectl --test it a_million -- --ignored --nocapture"]
fn a_million_rules_are_imported_exported_backed_up_and_restored() {
    let folder = std::env::temp_dir().join(format!("callgatectl-million-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    println!("|     rules | command | seconds | share of bare loop | peak, MB |");
    println!("|----------:|---------|--------:|-------------------:|---------:|");
    let mut peaks = Vec::new();
    for rules in [rules() / 10, rules()] {
        let rounds = rounds(rules, &folder);
        let share = median(&rounds, |round| round.bare / round.steps[0].seconds);
        println!(
            "| {rules:9} | bare    | {:7.1} |                    |          |",
            median(&rounds, |round| round.bare)
        );
        let mut peak = Vec::new();
        for (step, name) in STEPS.iter().enumerate() {
            let seconds = median(&rounds, |round| round.steps[step].seconds);
            let megabytes = rounds.iter().map(|round| round.steps[step].peak_kb).max().unwrap() / 1024;
            let share = if step == 0 { format!("{share:.2}") } else { String::new() };
            println!("| {rules:9} | {name:7} | {seconds:7.1} | {share:>18} | {megabytes:8} |");
            peak.push(megabytes);
        }
        assert!(share >= MIN_SHARE, "{share:.2} is less than {MIN_SHARE}");
        peaks.push(peak);
    }
    std::fs::remove_dir_all(folder).unwrap();
    for ((few, many), step) in peaks[0].iter().zip(&peaks[1]).zip(STEPS) {
        if step == "doctor" {
            assert!(*many < MAX_DOCTOR_MB, "{step}: {many} MB");
        } else {
            assert!(*many <= few * 3 / 2, "{step}: {few} MB grew to {many} MB with ten times as many rules");
        }
    }
}
