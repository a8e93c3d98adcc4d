//! `callgatectl wcs-simulator` in all four corners: FAIL and LOG, backend up and down.

use std::path::PathBuf;

use crate::serve::{Serving, callgatectl};

/// An address nobody listens on.
const NOBODY: &str = "http://127.0.0.1:1/rest/my_api";

#[track_caller]
fn simulate(url: &str, arguments: &[&str], exit: i32) -> String {
    let arguments = [&["wcs-simulator", url], arguments].concat();
    let output = callgatectl(&arguments).output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(exit), "{stdout}{stderr}");
    stdout + &stderr
}

/// What one's own backend answers to `connect`.
fn connect_answer(name: &str, text: &str) -> PathBuf {
    let file = std::env::temp_dir().join(format!("callgate-{name}-{}.json", std::process::id()));
    std::fs::write(&file, text).unwrap();
    file
}

#[test]
fn fail_and_backend_up() {
    let serving = Serving::start(&[], &[]);
    let expected = "\
connect: 200, OnCallEvent restOnError=FAIL
PPP009 to PPP005: rings
PPP009 to PPP006: 403 FORBIDDEN
";
    assert_eq!(simulate(&serving.url(), &[], 0), expected);
    let video = simulate(&serving.url(), &["--call", "PPP009", "PPP003", "--video"], 0);
    assert!(video.ends_with("PPP009 to PPP003: 403 FORBIDDEN\n"), "{video}");
}

#[test]
fn fail_and_backend_down() {
    let answer = connect_answer(
        "fail",
        r#"{"restClientConfig":{"OnCallEvent":{"clientExclude":"","restExclude":"","restOnError":"FAIL","restPolicy":"NOTIFY","restOverwrite":""}}}"#,
    );
    let said = simulate(NOBODY, &["--connect-answer", answer.to_str().unwrap(), "--call", "a", "b"], 0);
    assert!(said.contains("\na to b: 403 FORBIDDEN (backend failed: "), "{said}");
    assert!(said.contains("Connection refused"), "{said}");
}

#[test]
fn log_and_backend_up() {
    let serving = Serving::start(&[], &[]);
    for arguments in [
        &["--no-connect"][..],
        &["--connect-answer", connect_answer("log", r#"{"appKey":"defaultApp"}"#).to_str().unwrap()],
    ] {
        let said = simulate(&serving.url(), arguments, 1);
        assert!(said.contains("PPP009 to PPP005: rings\n"), "{said}");
        let open = "PPP009 to PPP006: rings (backend failed, restOnError=LOG): it answered 403\n";
        assert!(said.ends_with(open), "{said}");
    }
}

#[test]
fn log_and_backend_down() {
    let said = simulate(NOBODY, &["--no-connect", "--call", "a", "b"], 1);
    assert!(said.contains("\na to b: rings (backend failed, restOnError=LOG): "), "{said}");
}

#[test]
fn what_fails_open_is_red_on_a_terminal() {
    let arguments = ["wcs-simulator", NOBODY, "--no-connect", "--call", "a", "b"];
    let output = callgatectl(&arguments).env("CLICOLOR_FORCE", "1").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("a to b: \u{1b}[1m\u{1b}[31mrings (backend failed, restOnError=LOG)"), "{said:?}");
}

#[test]
fn a_hook_that_is_never_sent_lets_everybody_in() {
    let text = r#"{"restClientConfig":{"OnCallEvent":{"restOnError":"FAIL","restPolicy":"DISABLE"}}}"#;
    let answer = connect_answer("disable", text);
    let said = simulate(NOBODY, &["--connect-answer", answer.to_str().unwrap(), "--call", "a", "b"], 1);
    assert!(said.ends_with("a to b: rings (the hook was not asked, restPolicy=DISABLE)\n"), "{said}");
}

#[test]
fn a_call_that_must_not_ring_is_a_failure_when_it_does() {
    let serving = Serving::start(&[], &[]);
    let said = simulate(&serving.url(), &["--refused", "PPP009", "PPP005", "--refused", "PPP009", "PPP006"], 1);
    assert!(said.ends_with("PPP009 to PPP005: rings, and must not\nPPP009 to PPP006: 403 FORBIDDEN\n"), "{said}");
}

#[test]
fn a_call_that_must_ring_is_a_failure_when_it_does_not() {
    let serving = Serving::start(&[], &[]);
    let said = simulate(&serving.url(), &["--permitted", "PPP009", "PPP005", "--permitted", "PPP009", "PPP006"], 1);
    assert!(said.ends_with("PPP009 to PPP005: rings\nPPP009 to PPP006: 403 FORBIDDEN, and must ring\n"), "{said}");
}

#[test]
fn programs_are_told_what_people_are() {
    let serving = Serving::start(&[], &[]);
    let said = simulate(&serving.url(), &["--output", "json", "--refused", "PPP009", "PPP005"], 1);
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&said["connect"], &said["rest_on_error"]), (&"200".into(), &"FAIL".into()));
    assert_eq!((&said["calls"][0]["outcome"], &said["calls"][0]["wrong"]), (&"rings".into(), &true.into()));
}

#[test]
fn what_is_no_url_is_wrong_usage() {
    assert!(
        simulate("127.0.0.1:8080/rest", &[], 2).contains("is not a URL, such as `http://127.0.0.1:8080/rest/my_api`")
    );
}

#[test]
fn the_secret_signs() {
    let serving = Serving::start(&[], &[("WCS_HOOK_SECRET", "right")]);
    simulate(&serving.url(), &["--secret", "right,other"], 0);
    let said = simulate(&serving.url(), &["--secret", "wrong"], 1);
    assert!(
        said.contains(
            "connect: 403, so WCS declines the session (check --secret, and whether this address is allowed)"
        ),
        "{said}"
    );
    assert!(!said.contains("wrong\n"), "{said}");
}

#[test]
fn the_help_says_what_it_was_not_compared_with() {
    let output = callgatectl(&["wcs-simulator", "--help"]).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(help.contains("It was not compared with a live WCS."), "{help}");
}
