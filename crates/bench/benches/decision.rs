//! Times the parts of a decision without the network, and counts their allocations: `cargo bench --profile harness`.

use callgate::event::CallEvent;
use callgate::lambda_http;
use callgate::store::item::{self, Attributes};
use callgate_core::{App, Call, Effect, Party, PartyId, Pattern, Permissions, Rule, Rules, decide};
use divan::{AllocProfiler, Bencher, black_box};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const EVENT: &str = include_str!("../../../events/all-optional-fields-permitted.json");

fn main() {
    divan::main();
}

/// Parses some spellings of a party as a region dials them.
#[divan::bench(args = ["PPP009", "1001", "+7 (495) 123-45-67", "8 495 123-45-67", "810 1 555 010 0123"])]
fn parse_party_id_in_region(bencher: Bencher<'_, '_>, text: &str) {
    let region = "RU".parse().ok();
    bencher.bench(|| PartyId::new(black_box(text), region));
}

/// Parses some spellings of a party.
#[divan::bench(args = ["PPP009", "+7 (495) 123-45-67", "8 495 123-45-67", "\"Ivan\" <sip:%2B74951234567@example.com;user=phone>"])]
fn parse_party_id(bencher: Bencher<'_, '_>, text: &str) {
    bencher.bench(|| PartyId::new(black_box(text), None));
}

/// Decodes a party's item with this number of patterns.
#[divan::bench(args = [1, 10, 100, 1_000])]
fn decode_item(bencher: Bencher<'_, '_>, patterns: usize) {
    let item = item::write_party(&callee(patterns)).unwrap_or_default();
    bencher.with_inputs(|| item.clone()).bench_values(|item: Attributes| item::read_party(black_box(item)));
}

/// Checks the four doors, with decoded items and this number of patterns of the callee.
#[divan::bench(args = [1, 10, 100, 1_000])]
fn decide_call(bencher: Bencher<'_, '_>, patterns: usize) {
    let (app, caller, callee) = (Ok(Some(App::default())), Ok(None), Ok(Some(callee(patterns))));
    let pair = Ok(Some(Rule::new(Effect::Allow)));
    let Some(call) = parse_call() else { return };
    let permissions = Permissions { app: &app, caller: &caller, callee: &callee, pair: &pair };
    bencher.bench(|| decide(black_box(&call), black_box(permissions), 1_795_489_965));
}

/// Checks the four doors, with decoded items and this number of destinations of the app, of which two match the callee.
#[divan::bench(args = [1, 100, 5_000])]
fn decide_call_with_destinations(bencher: Bencher<'_, '_>, destinations: usize) {
    let Some(mut call) = parse_call() else { return };
    let Ok(callee) = PartyId::new("+882 16 555 0100", None) else { return };
    call.callee = callee;
    let others = (2..destinations).map(|number| format!("+{number}5*"));
    let rules: Rules = others
        .chain(["+882*".to_owned(), "*".to_owned()])
        .map(|pattern| (Pattern::from_stored(&pattern), Ok(Rule::new(Effect::Deny))))
        .collect();
    let app = Ok(Some(App { destinations: rules, ..App::default() }));
    let (party, pair) = (Ok(None), Ok(None));
    let permissions = Permissions { app: &app, caller: &party, callee: &party, pair: &pair };
    bencher.bench(|| decide(black_box(&call), black_box(permissions), 1_795_489_965));
}

/// Parses an event of API Gateway into the call to decide, with `lambda_http` but without the layer in front of it.
#[divan::bench]
fn parse_event(bencher: Bencher<'_, '_>) {
    bencher.bench(|| black_box(parse_call()));
}

fn parse_call() -> Option<Call> {
    let request = lambda_http::request::from_str(EVENT).ok()?;
    CallEvent::parse(str::from_utf8(request.body()).ok()?, None).ok().map(|event| event.call)
}

/// Returns a callee with this number of patterns. Only the last one matches the caller.
fn callee(patterns: usize) -> Party {
    let others = (1..patterns).map(|number| format!("+7495{number:03}*"));
    let incoming: Rules = others
        .chain(["PPP*".to_owned()])
        .map(|pattern| (Pattern::from_stored(&pattern), Ok(Rule::new(Effect::Allow))))
        .collect();
    Party { incoming, ..Party::default() }
}
