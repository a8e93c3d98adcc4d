//! `wcs-simulator`: every combination of restOnError (FAIL, LOG) and a backend that is up or down.

use crate::serve::{ServeProcess, callgatectl};
use crate::support::TempFolder;

/// A URL at which no server listens.
const UNREACHABLE: &str = "http://127.0.0.1:1/rest/my_api";

/// Runs the simulator, asserts its exit code and returns both output streams.
#[track_caller]
fn simulate(url: &str, arguments: &[&str], code: i32) -> String {
    let arguments = [&["wcs-simulator", url], arguments].concat();
    let output = callgatectl(&arguments).output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{stdout}{stderr}");
    stdout + &stderr
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
PPP009 to PPP005: rings
PPP009 to PPP006: 403 FORBIDDEN
";
    assert_eq!(simulate(&serve.url(), &[], 0), expected);
    let video = simulate(&serve.url(), &["--call", "PPP009", "PPP003", "--video"], 0);
    assert!(video.ends_with("PPP009 to PPP003: 403 FORBIDDEN\n"), "{video}");
}

#[test]
fn with_fail_and_a_backend_that_is_down_calls_get_403() {
    let folder = TempFolder::new();
    let answer = connect_answer(
        &folder,
        r#"{"restClientConfig":{"OnCallEvent":{"clientExclude":"","restExclude":"","restOnError":"FAIL","restPolicy":"NOTIFY","restOverwrite":""}}}"#,
    );
    let output = simulate(UNREACHABLE, &["--connect-answer", &answer, "--call", "a", "b"], 0);
    assert!(output.contains("\na to b: 403 FORBIDDEN (backend failed: "), "{output}");
    assert!(output.contains("Connection refused"), "{output}");
}

#[test]
fn with_log_and_a_backend_that_is_up_refused_calls_ring() {
    let serve = ServeProcess::start(&[], &[]);
    let folder = TempFolder::new();
    let answer = connect_answer(&folder, r#"{"appKey":"defaultApp"}"#);
    for arguments in [&["--no-connect"][..], &["--connect-answer", &answer]] {
        let output = simulate(&serve.url(), arguments, 1);
        assert!(output.contains("PPP009 to PPP005: rings\n"), "{output}");
        let fails_open = "PPP009 to PPP006: rings (backend failed, restOnError=LOG): it answered 403\n";
        assert!(output.ends_with(fails_open), "{output}");
    }
}

#[test]
fn with_log_and_a_backend_that_is_down_calls_ring() {
    let output = simulate(UNREACHABLE, &["--no-connect", "--call", "a", "b"], 1);
    assert!(output.contains("\na to b: rings (backend failed, restOnError=LOG): "), "{output}");
}

#[test]
fn a_call_that_fails_open_is_red_on_a_terminal() {
    let arguments = ["wcs-simulator", UNREACHABLE, "--no-connect", "--call", "a", "b"];
    let output = callgatectl(&arguments).env("CLICOLOR_FORCE", "1").output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.contains("a to b: \u{1b}[1m\u{1b}[31mrings (backend failed, restOnError=LOG)"), "{stdout:?}");
}

#[test]
fn a_disabled_hook_lets_all_calls_through() {
    let text = r#"{"restClientConfig":{"OnCallEvent":{"restOnError":"FAIL","restPolicy":"DISABLE"}}}"#;
    let folder = TempFolder::new();
    let answer = connect_answer(&folder, text);
    let output = simulate(UNREACHABLE, &["--connect-answer", &answer, "--call", "a", "b"], 1);
    assert!(output.ends_with("a to b: rings (the hook was not called, restPolicy=DISABLE)\n"), "{output}");
}

#[test]
fn a_call_that_rings_but_must_not_is_a_failure() {
    let serve = ServeProcess::start(&[], &[]);
    let output = simulate(&serve.url(), &["--refused", "PPP009", "PPP005", "--refused", "PPP009", "PPP006"], 1);
    assert!(output.ends_with("PPP009 to PPP005: rings, and must not\nPPP009 to PPP006: 403 FORBIDDEN\n"), "{output}");
}

#[test]
fn a_call_that_must_ring_but_does_not_is_a_failure() {
    let serve = ServeProcess::start(&[], &[]);
    let output = simulate(&serve.url(), &["--permitted", "PPP009", "PPP005", "--permitted", "PPP009", "PPP006"], 1);
    assert!(output.ends_with("PPP009 to PPP005: rings\nPPP009 to PPP006: 403 FORBIDDEN, and must ring\n"), "{output}");
}

#[test]
fn json_output_has_the_outcome_of_every_call() {
    let serve = ServeProcess::start(&[], &[]);
    let output = simulate(&serve.url(), &["--output", "json", "--refused", "PPP009", "PPP005"], 1);
    let json: serde_json::Value = serde_json::from_str(&output).unwrap();
    assert_eq!((&json["connect"], &json["rest_on_error"]), (&"200".into(), &"FAIL".into()));
    assert_eq!((&json["calls"][0]["outcome"], &json["calls"][0]["wrong"]), (&"rings".into(), &true.into()));
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
    assert!(output.ends_with("-a to -b: 403 FORBIDDEN\n"), "{output}");
}

#[test]
fn the_help_states_that_it_was_not_compared_with_a_live_wcs() {
    let output = callgatectl(&["wcs-simulator", "--help"]).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(help.contains("It was not compared with a live WCS."), "{help}");
}
