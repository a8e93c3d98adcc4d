//! `wcs-simulator`: sessions against `serve`, and against no backend at all.

mod answers;
pub(crate) mod backend;
mod setup;

use serde_json::{Value, json};

use self::backend::{Answer, Backend, both_fail};
use crate::serve::{ServeProcess, callgatectl};
use crate::support::{Run, TempFolder};

/// A URL at which no server listens.
const UNREACHABLE: &str = "http://127.0.0.1:1/rest/my_api";

/// Runs the simulator, asserts its exit code and returns both output streams.
#[track_caller]
fn simulate(url: &str, arguments: &[&str], code: i32) -> String {
    let arguments = [&["wcs-simulator", url], arguments].concat();
    let run = Run::of(&mut callgatectl(&arguments)).exits_with(code);
    run.stdout + &run.stderr
}

/// Runs the simulator with one call, asserts its exit code and parses its JSON.
#[track_caller]
fn simulate_json(url: &str, arguments: &[&str], code: i32) -> Value {
    let output = simulate(url, &[&["--output", "json", "--call", "a", "b"], arguments].concat(), code);
    serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {output}"))
}

/// The first event of a hook in the simulator's JSON.
#[track_caller]
fn event<'a>(json: &'a Value, hook: &str) -> &'a Value {
    json["events"].as_array().unwrap().iter().find(|event| event["hook"] == hook).unwrap()
}

/// Writes a file with the answer of another backend to `connect`.
fn connect_answer(folder: &TempFolder, text: &str) -> String {
    folder.write("answer.json", text).into_os_string().into_string().unwrap()
}
#[test]
fn with_fail_and_a_backend_that_is_up_refused_calls_get_403() {
    let serve = ServeProcess::start(&[], &[]);
    let expected = "\
connect: 200, OnCallEvent restOnError=FAIL
ConnectionStatusEvent: 200, WCS carries on
RegistrationStatusEvent: 200, WCS carries on
call PPP009 to PPP005: 200, goes out, because `call` is not gated
CallStatusEvent PPP009 to PPP005: 200, WCS carries on
OnCallEvent PPP009 to PPP005: 200, rings
CallStatusEvent PPP009 to PPP005: 200, WCS carries on
call PPP009 to PPP006: 200, goes out, because `call` is not gated
CallStatusEvent PPP009 to PPP006: 200, WCS carries on
OnCallEvent PPP009 to PPP006: 403, the SIP side gets 403 FORBIDDEN
StreamKeepAliveEvent: 200, the stream continues
";
    assert_eq!(simulate(&serve.url(), &[], 0), expected);
    let video = simulate(&serve.url(), &["--call", "PPP009", "PPP003", "--video"], 0);
    assert!(video.contains("OnCallEvent PPP009 to PPP003: 403, the SIP side gets 403 FORBIDDEN\n"), "{video}");
}

#[test]
fn with_call_gated_refused_calls_fail_in_both_directions() {
    let serve = ServeProcess::start(&[], &[("GATED_HOOKS", "OnCallEvent,call"), ("WCS_HOOK_SECRET", "right")]);
    let expected = "\
connect: 200, OnCallEvent restOnError=FAIL, call restOnError=FAIL
ConnectionStatusEvent: 200, WCS carries on
RegistrationStatusEvent: 200, WCS carries on
call PPP009 to PPP005: 200, goes out
CallStatusEvent PPP009 to PPP005: 200, WCS carries on
OnCallEvent PPP009 to PPP005: 200, rings
CallStatusEvent PPP009 to PPP005: 200, WCS carries on
call PPP009 to PPP006: 403, the page gets a failed call
OnCallEvent PPP009 to PPP006: 403, the SIP side gets 403 FORBIDDEN
StreamKeepAliveEvent: 200, the stream continues
";
    let calls = ["--secret", "right", "--permitted", "PPP009", "PPP005", "--refused", "PPP009", "PPP006"];
    assert_eq!(simulate(&serve.url(), &calls, 0), expected);
    let video = ["--secret", "right", "--refused", "PPP009", "PPP003", "--video"];
    assert!(simulate(&serve.url(), &video, 0).contains("call PPP009 to PPP003: 403, the page gets a failed call\n"));
    // connect of another backend, which does not name `call`
    let folder = TempFolder::new();
    let answer = connect_answer(&folder, r#"{"restClientConfig":{"OnCallEvent":{"restOnError":"FAIL"}}}"#);
    let output = simulate(&serve.url(), &["--secret", "right", "--connect-answer", &answer], 1);
    let no_effect = "403, goes out although the hook refused it, because `call` is not gated\n";
    assert!(output.contains(&format!("call PPP009 to PPP006: {no_effect}")), "{output}");
}

/// A backend that echoes, as WCS's own `EchoApp` does, needs to add only the block to `connect`. Without it, calls ring that
/// the hook refuses.
#[test]
fn a_session_in_front_of_a_backend_that_echoes_needs_the_block_in_connect() {
    let both = [("GATED_HOOKS", "OnCallEvent,call")];
    let calls = ["--permitted", "PPP009", "PPP005", "--refused", "PPP009", "PPP006"];
    let backend = Backend::start(both_fail(), |_| Answer::Echo);
    let serve = ServeProcess::start(&["--backend", &backend.url], &both);
    let output = simulate(&serve.url(), &calls, 0);
    assert!(output.contains("\ncall PPP009 to PPP006: 403, the page gets a failed call\n"), "{output}");
    assert!(output.contains("\nOnCallEvent PPP009 to PPP006: 403, the SIP side gets 403 FORBIDDEN\n"), "{output}");
    let passed_on = backend.hooks();
    assert!(passed_on.contains(&"StreamKeepAliveEvent".to_owned()), "{passed_on:?}");
    assert!(!passed_on.iter().any(|hook| hook == "call" || hook == "OnCallEvent"), "{passed_on:?}");

    let backend = Backend::start_with(|_, _| Answer::Echo);
    let serve = ServeProcess::start(&["--backend", &backend.url], &both);
    let output = simulate(&serve.url(), &calls, 1);
    assert!(output.starts_with("connect: 200, OnCallEvent restOnError=LOG (fails open: "), "{output}");
}

#[test]
fn other_hooks_that_serve_refuses_are_logged() {
    let serve = ServeProcess::start(&[], &[("OTHER_HOOKS", "refuse")]);
    let output = simulate(&serve.url(), &["--permitted", "PPP009", "PPP005"], 0);
    for line in [
        "RegistrationStatusEvent: 404, WCS logs the error and carries on (restOnError=LOG)\n",
        "call PPP009 to PPP005: 404, goes out, because `call` is not gated\n",
        "OnCallEvent PPP009 to PPP005: 200, rings\n",
        "StreamKeepAliveEvent: 404, WCS logs the error and carries on (restOnError=LOG)\n",
    ] {
        assert!(output.contains(line), "{output}");
    }
}

#[test]
fn with_fail_and_a_backend_that_is_down_calls_get_403() {
    let folder = TempFolder::new();
    let answer = connect_answer(
        &folder,
        r#"{"restClientConfig":{"OnCallEvent":{"clientExclude":"","restExclude":"","restOnError":"FAIL","restPolicy":"NOTIFY","restOverwrite":""}}}"#,
    );
    let output = simulate(UNREACHABLE, &["--connect-answer", &answer, "--call", "a", "b"], 0);
    let line = output.lines().find(|line| line.starts_with("OnCallEvent a to b: ")).unwrap();
    assert!(line.starts_with("OnCallEvent a to b: no answer (") && line.contains("Connection refused"), "{line}");
    assert!(line.ends_with("), the SIP side gets 403 FORBIDDEN (restOnError=FAIL)"), "{line}");
}

#[test]
fn with_log_and_a_backend_that_is_up_refused_calls_ring() {
    let serve = ServeProcess::start(&[], &[]);
    let folder = TempFolder::new();
    let answer = connect_answer(&folder, r#"{"appKey":"defaultApp"}"#);
    for arguments in [&["--no-connect"][..], &["--connect-answer", &answer]] {
        let output = simulate(&serve.url(), arguments, 1);
        assert!(output.contains("OnCallEvent PPP009 to PPP005: 200, rings\n"), "{output}");
        let fails_open =
            "OnCallEvent PPP009 to PPP006: 403, rings although the hook did not permit it (restOnError=LOG)\n";
        assert!(output.contains(fails_open), "{output}");
    }
}

#[test]
fn with_log_and_a_backend_that_is_down_calls_ring() {
    let output = simulate(UNREACHABLE, &["--no-connect", "--call", "a", "b"], 1);
    let line = output.lines().find(|line| line.starts_with("OnCallEvent a to b: no answer (")).unwrap();
    assert!(line.ends_with("), rings although the hook did not permit it (restOnError=LOG)"), "{line}");
}

#[test]
fn a_call_that_fails_open_is_red_on_a_terminal() {
    let arguments = ["wcs-simulator", UNREACHABLE, "--no-connect", "--call", "a", "b"];
    let output = callgatectl(&arguments).env("CLICOLOR_FORCE", "1").output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.contains("OnCallEvent a to b: \u{1b}[1m\u{1b}[31mno answer ("), "{stdout:?}");
}

#[test]
fn a_disabled_hook_lets_all_calls_through() {
    let text = r#"{"restClientConfig":{"OnCallEvent":{"restOnError":"FAIL","restPolicy":"DISABLE"}}}"#;
    let folder = TempFolder::new();
    let answer = connect_answer(&folder, text);
    let output = simulate(UNREACHABLE, &["--connect-answer", &answer, "--call", "a", "b"], 1);
    let line = "OnCallEvent a to b: not sent (restPolicy=DISABLE), rings although the hook did not permit it\n";
    assert!(output.contains(line), "{output}");
}

#[test]
fn a_call_that_rings_but_must_not_is_a_failure() {
    let serve = ServeProcess::start(&[], &[]);
    let output = simulate(&serve.url(), &["--refused", "PPP009", "PPP005", "--refused", "PPP009", "PPP006"], 1);
    assert!(output.contains("OnCallEvent PPP009 to PPP005: 200, rings, and must not\n"), "{output}");
    assert!(output.contains("OnCallEvent PPP009 to PPP006: 403, the SIP side gets 403 FORBIDDEN\n"), "{output}");
}

#[test]
fn a_call_that_must_ring_but_does_not_is_a_failure() {
    let serve = ServeProcess::start(&[], &[]);
    let output = simulate(&serve.url(), &["--permitted", "PPP009", "PPP005", "--permitted", "PPP009", "PPP006"], 1);
    assert!(output.contains("OnCallEvent PPP009 to PPP005: 200, rings\n"), "{output}");
    assert!(
        output.contains("OnCallEvent PPP009 to PPP006: 403, the SIP side gets 403 FORBIDDEN, and must ring\n"),
        "{output}"
    );
}

#[test]
fn json_output_has_the_outcome_of_every_hook() {
    let serve = ServeProcess::start(&[], &[]);
    let output = simulate(&serve.url(), &["--output", "json", "--refused", "PPP009", "PPP005"], 1);
    let json: Value = serde_json::from_str(&output).unwrap();
    let gated = json!([{"hook": "OnCallEvent", "rest_on_error": "FAIL", "rest_policy": "NOTIFY", "fails_open": false}]);
    assert_eq!((&json["connect"], &json["note"], &json["gated_hooks"]), (&json!("200"), &Value::Null, &gated));
    let events = json["events"].as_array().unwrap();
    assert_eq!(events.len(), 7, "{json:#}");
    let connection = json!({
        "hook": "ConnectionStatusEvent", "caller": null, "callee": null, "status": 200, "outcome": "accepted",
        "why": "200, WCS carries on", "note": null, "wrong": false,
    });
    assert_eq!(events[0], connection);
    let incoming = json!({
        "hook": "OnCallEvent", "caller": "PPP009", "callee": "PPP005", "status": 200, "outcome": "rings",
        "why": "200, rings, and must not", "note": null, "wrong": true,
    });
    assert_eq!(events[4], incoming);
}

#[test]
fn an_invalid_url_is_wrong_usage() {
    assert!(
        simulate("127.0.0.1:8080/rest", &[], 2).contains("is not a URL, such as `http://127.0.0.1:8080/rest/my_api`")
    );
}

#[test]
fn requests_are_signed_with_the_first_secret() {
    let serve = ServeProcess::start(&[], &[("WCS_HOOK_SECRET", "right")]);
    simulate(&serve.url(), &["--secret", "right,other"], 0);
    let output = simulate(&serve.url(), &["--secret", "wrong"], 1);
    assert!(
        output.contains(
            "connect: 403, so WCS declines the session (check --secret, and whether this address is allowed)"
        ),
        "{output}"
    );
    assert!(!output.contains("wrong\n"), "{output}");
}

#[test]
fn values_may_begin_with_a_hyphen() {
    let serve = ServeProcess::start(&[], &[("WCS_HOOK_SECRET", "-right")]);
    let output = simulate(&serve.url(), &["--app", "-x", "--secret", "-right", "--call", "-a", "-b"], 0);
    assert!(output.contains("OnCallEvent -a to -b: 403, the SIP side gets 403 FORBIDDEN\n"), "{output}");
}

#[test]
fn the_help_states_that_it_was_not_compared_with_a_live_wcs() {
    let output = callgatectl(&["wcs-simulator", "--help"]).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(help.contains("It was not compared with a live WCS."), "{help}");
}
