//! The hooks of a session in their order, and what WCS does with each answer under each configuration.

use std::sync::{Arc, Mutex};

use callgate::authentication::{Secret, is_signed};
use serde_json::{Value, json};

use super::backend::{Answer, Backend, both_fail, status};
use super::{connect_answer, event, simulate, simulate_json};
use crate::serve::callgatectl;
use crate::support::{Run, TempFolder};

#[test]
fn the_hooks_of_a_session_come_in_order_signed_on_one_connection_with_the_documented_members() {
    let backend = Backend::start(both_fail(), |hook| if hook == "call" { status(403) } else { Answer::Echo });
    let url = format!("{}/", backend.url);
    let arguments = ["--secret", "right,other", "--app", "shop", "--video", "--call", "a", "b", "--call", "c", "d"];
    simulate(&url, &arguments, 0);
    let call = ["call", "OnCallEvent", "CallStatusEvent"];
    let start = ["connect", "ConnectionStatusEvent", "RegistrationStatusEvent"];
    assert_eq!(backend.hooks(), [&start[..], &call, &call, &["StreamKeepAliveEvent"]].concat());
    for request in backend.requests.lock().unwrap().iter() {
        let authorization = request.head.lines().find_map(|line| line.strip_prefix("authorization: "));
        assert!(is_signed(&[Secret::new("right")], authorization, &request.body), "{}", request.head);
        assert!(request.head.contains("content-type: application/json;charset=UTF-8\r\n"), "{}", request.head);
        assert_eq!(request.connection, 0, "{}", request.hook);
        assert_eq!(request.json()["appKey"], "shop");
        assert!(["nodeId", "sessionId"].iter().all(|name| request.json()[name].is_string()), "{}", request.hook);
    }
    let requests = backend.requests.lock().unwrap();
    let (outgoing, incoming, status) = (&requests[6], &requests[7], &requests[8]);
    for (request, is_incoming) in [(outgoing, false), (incoming, true), (status, true)] {
        let body = request.json();
        assert_eq!((&body["caller"], &body["callee"], &body["hasVideo"]), (&json!("c"), &json!("d"), &json!(true)));
        assert_eq!(body["incoming"], is_incoming);
    }
    assert_eq!(incoming.json()["callId"], status.json()["callId"]);
    assert_ne!(incoming.json()["callId"], outgoing.json()["callId"]);
    assert_ne!(incoming.json()["callId"], requests[4].json()["callId"]);
    drop(requests);
    let documented = [
        "appKey",
        "callId",
        "callee",
        "caller",
        "hasAudio",
        "hasVideo",
        "holdForTransfer",
        "incoming",
        "isMsrp",
        "mediaProvider",
        "nodeId",
        "sessionId",
        "status",
    ];
    assert_eq!(backend.members("OnCallEvent"), documented);
    let documented = [
        "appKey",
        "callId",
        "callee",
        "caller",
        "custom",
        "hasAudio",
        "hasVideo",
        "incoming",
        "mediaProvider",
        "nodeId",
        "sdp",
        "sessionId",
        "status",
        "visibleName",
    ];
    assert_eq!(backend.members("call"), documented);
}

#[test]
fn gated_hooks_are_obeyed_under_every_rest_on_error_and_policy() {
    let answers = [("200", Answer::Echo), ("403", status(403)), ("500", status(500)), ("lost", Answer::Lost)];
    let words = [
        ("OnCallEvent", ["rings", "forbidden", "forbidden_by_failure", "rings_unpermitted", "rings_unasked"]),
        ("call", ["goes_out", "refused", "refused_by_failure", "goes_out_unpermitted", "goes_out_unasked"]),
    ];
    for (hook, [permitted, refused, by_failure, unpermitted, unasked]) in words {
        for (name, answer) in &answers {
            for (config, is_obeyed) in [
                (json!({"restOnError": "FAIL"}), true),
                (json!({"restOnError": "FAIL", "restPolicy": "OVERWRITE", "clientExclude": ""}), true),
                (json!({"restOnError": "LOG"}), false),
                (json!({"restOnError": "fail"}), false),
                (json!({}), false),
                (json!({"restOnError": "FAIL", "restPolicy": "DISABLE"}), false),
                (json!({"restOnError": "LOG", "restPolicy": "DISABLE"}), false),
            ] {
                let is_disabled = config["restPolicy"] == "DISABLE";
                let expected = match *name {
                    _ if is_disabled => unasked,
                    "200" => permitted,
                    "403" if is_obeyed => refused,
                    _ if is_obeyed => by_failure,
                    _ => unpermitted,
                };
                let mut both = both_fail();
                both[hook] = config.clone();
                let answer = answer.clone();
                let backend =
                    Backend::start(both, move |sent| if sent == hook { answer.clone() } else { Answer::Echo });
                let json = simulate_json(&backend.url, &[], i32::from(!is_obeyed));
                let place = json!({"hook": hook, "answer": name, "config": config, "printed": json});
                let played = event(&json, hook);
                assert_eq!(played["outcome"], expected, "{place:#}");
                let goes_through = [permitted, unpermitted, unasked].contains(&expected);
                assert_eq!(played["wrong"], goes_through && expected != permitted, "{place:#}");
                for (index, name) in ["OnCallEvent", "call"].into_iter().enumerate() {
                    let gated = &json["gated_hooks"][index];
                    assert_eq!(
                        (&gated["hook"], &gated["fails_open"]),
                        (&json!(name), &json!(name == hook && !is_obeyed))
                    );
                }
                let hooks = backend.hooks();
                assert_eq!(hooks.iter().any(|sent| sent == hook), !is_disabled, "{place:#}");
                let calls = hooks.iter().filter(|sent| *sent == "CallStatusEvent").count();
                assert_eq!(calls, 1 + usize::from(goes_through), "{place:#}");
            }
        }
    }
}

#[test]
fn a_gated_hook_that_fails_open_is_a_failure_even_if_it_permits_all_calls() {
    for (config, printed) in [
        (json!({}), "OnCallEvent restOnError=LOG (fails open: WCS lets calls through that the hook does not permit)"),
        (json!({"OnCallEvent": {"restOnError": "FAIL"}, "call": {}}), ", call restOnError=LOG (fails open"),
        (
            json!({"OnCallEvent": {"restOnError": "FAIL", "restPolicy": "DISABLE"}}),
            "OnCallEvent restOnError=FAIL restPolicy=DISABLE (fails open",
        ),
        (json!({"OnCallEvent": {"restOnError": "Fail"}}), "OnCallEvent restOnError=Fail (fails open"),
    ] {
        let backend = Backend::start(config, |_| Answer::Echo);
        let output = simulate(&backend.url, &["--permitted", "a", "b"], 1);
        assert!(output.lines().next().unwrap().contains(printed), "{output}");
    }
}

#[test]
fn calls_of_browsers_go_out_if_call_is_not_gated() {
    let only_incoming = json!({"OnCallEvent": {"restOnError": "FAIL"}});
    for (answer, code, text) in [
        (Answer::Echo, 0, "call a to b: 200, goes out, because `call` is not gated\n"),
        (status(404), 0, "call a to b: 404, goes out, because `call` is not gated\n"),
        (status(403), 1, "call a to b: 403, goes out although the hook refused it, because `call` is not gated\n"),
    ] {
        let echo = only_incoming.clone();
        let backend = Backend::start(echo, move |hook| if hook == "call" { answer.clone() } else { Answer::Echo });
        for expectation in ["--permitted", "--call"] {
            let output = simulate(&backend.url, &[expectation, "a", "b"], code);
            assert!(output.contains(text) && output.contains("OnCallEvent a to b: 200, rings\n"), "{output}");
        }
    }
    // What is expected of the call counts for the incoming one only.
    let incoming = |hook: &str| if hook == "OnCallEvent" { status(403) } else { Answer::Echo };
    simulate(&Backend::start(only_incoming, incoming).url, &["--refused", "a", "b"], 0);
}

#[test]
fn calls_that_do_not_end_as_expected_are_failures_in_both_directions() {
    for hook in ["call", "OnCallEvent"] {
        let (goes, refused, must) = match hook {
            "call" => ("goes out", "the page gets a failed call", "must go out"),
            _ => ("rings", "the SIP side gets 403 FORBIDDEN", "must ring"),
        };
        for (answer, expectation, text) in [
            (Answer::Echo, "--permitted", format!("{hook} a to b: 200, {goes}\n")),
            (Answer::Echo, "--refused", format!("{hook} a to b: 200, {goes}, and must not\n")),
            (status(403), "--refused", format!("{hook} a to b: 403, {refused}\n")),
            (status(403), "--permitted", format!("{hook} a to b: 403, {refused}, and {must}\n")),
            (status(503), "--permitted", format!("{hook} a to b: 503, {refused} (restOnError=FAIL), and {must}\n")),
        ] {
            // The other hook answers as expected.
            let other = if expectation == "--refused" { status(403) } else { Answer::Echo };
            let backend = Backend::start(both_fail(), move |sent| match sent {
                sent if sent == hook => answer.clone(),
                "call" | "OnCallEvent" => other.clone(),
                _ => Answer::Echo,
            });
            let output = simulate(&backend.url, &[expectation, "a", "b"], i32::from(text.contains(", and must")));
            assert!(output.contains(&text), "{text}{output}");
        }
    }
}

#[test]
fn other_hooks_are_logged_or_are_errors_for_the_client() {
    for hook in ["ConnectionStatusEvent", "RegistrationStatusEvent", "CallStatusEvent", "StreamKeepAliveEvent"] {
        for (answer, config, code, outcome) in [
            (Answer::Echo, json!({}), 0, "accepted"),
            (status(404), json!({}), 0, "logged"),
            (status(500), json!({"restOnError": "LOG"}), 0, "logged"),
            (Answer::Lost, json!({}), 0, "logged"),
            (status(404), json!({"restOnError": "FAIL"}), 1, "client_error"),
            (Answer::Lost, json!({"restOnError": "FAIL"}), 1, "client_error"),
            (status(500), json!({"restOnError": "FAIL", "restPolicy": "DISABLE"}), 0, "not_sent"),
            (status(403), json!({}), i32::from(hook == "StreamKeepAliveEvent"), "logged"),
            (status(403), json!({"restOnError": "FAIL"}), 1, "client_error"),
        ] {
            let is_end = hook == "StreamKeepAliveEvent" && matches!(answer, Answer::Status(403, _));
            let outcome = if is_end { "stream_ended" } else { outcome };
            let mut all = both_fail();
            all[hook] = config;
            let backend = Backend::start(all, move |sent| if sent == hook { answer.clone() } else { Answer::Echo });
            let json = simulate_json(&backend.url, &["--retries", "0"], code);
            let played = event(&json, hook);
            assert_eq!((&played["outcome"], &played["wrong"]), (&json!(outcome), &json!(code == 1)), "{json:#}");
            assert_eq!(backend.hooks().iter().any(|sent| sent == hook), outcome != "not_sent");
            // Such a hook decides no call, so it is not one of the gated hooks.
            assert_eq!(json["gated_hooks"].as_array().unwrap().len(), 2, "{json:#}");
        }
    }
}

#[test]
fn a_backend_that_refuses_all_other_hooks_is_a_note_in_each_line() {
    let backend = Backend::start(both_fail(), |hook| match hook {
        "call" | "OnCallEvent" => Answer::Echo,
        _ => Answer::Status(404, r#"{"error":"no such hook"}"#.to_owned()),
    });
    let logged = "404, WCS logs the error and carries on (restOnError=LOG)";
    let expected = format!(
        "connect: 200, OnCallEvent restOnError=FAIL, call restOnError=FAIL
ConnectionStatusEvent: {logged}
RegistrationStatusEvent: {logged}
call a to b: 200, goes out
CallStatusEvent a to b: {logged}
OnCallEvent a to b: 200, rings
CallStatusEvent a to b: {logged}
StreamKeepAliveEvent: {logged}
"
    );
    assert_eq!(simulate(&backend.url, &["--call", "a", "b"], 0), expected);
}

#[test]
fn excluded_members_are_not_sent() {
    let mut config = both_fail();
    config["call"]["restExclude"] = json!("sdp, custom,nosuch");
    config["StreamKeepAliveEvent"] = json!({"restExclude": "sdp"});
    let backend = Backend::start(config, |_| Answer::Echo);
    let output = simulate(&backend.url, &[], 0);
    assert!(!output.contains("note"), "{output}");
    let sent = backend.members("call").join(" ");
    assert!(!sent.contains("sdp") && !sent.contains("custom") && sent.contains("caller"), "{sent}");
    assert!(!backend.members("StreamKeepAliveEvent").join(" ").contains("sdp"));
    assert!(backend.members("CallStatusEvent").join(" ").contains("sdp"));
}

#[test]
fn a_200_with_another_body_is_a_note() {
    let unknown = "and it is not documented what WCS does then";
    for (body, note) in [
        ("", format!("its body is empty, {unknown}")),
        (" \n", format!("its body is empty, {unknown}")),
        ("OK", format!("its body is not a JSON object, {unknown}")),
        ("[]", format!("its body is not a JSON object, {unknown}")),
        ("null", format!("its body is not a JSON object, {unknown}")),
        (r#"{"caller":"x"}"#, "its body differs from what was sent in `caller`, `appKey`, `callId`".to_owned()),
    ] {
        for hook in ["OnCallEvent", "call", "RegistrationStatusEvent"] {
            let answer = Answer::Status(200, body.to_owned());
            let backend =
                Backend::start(both_fail(), move |sent| if sent == hook { answer.clone() } else { Answer::Echo });
            let json = simulate_json(&backend.url, &[], 0);
            let played = event(&json, hook);
            let printed = played["note"].as_str().unwrap();
            let is_as_expected =
                printed.contains(&note) || hook == "RegistrationStatusEvent" && printed.contains("differs");
            assert!(is_as_expected && played["wrong"] == false, "{played:#}");
            assert!(simulate(&backend.url, &[], 0).contains(&format!("; note: {printed}\n")), "{printed}");
            assert_eq!(event(&json, "ConnectionStatusEvent")["note"], Value::Null);
        }
    }
}

#[test]
fn the_status_counts_if_the_body_is_not_text() {
    for (answer, outcome) in [(200, "rings"), (403, "forbidden"), (302, "forbidden_by_failure")] {
        let backend = Backend::start(both_fail(), move |hook| match hook {
            "OnCallEvent" => Answer::NotText(answer),
            _ => Answer::Echo,
        });
        let json = simulate_json(&backend.url, &[], 0);
        let played = event(&json, "OnCallEvent");
        assert_eq!((&played["status"], &played["outcome"]), (&json!(answer), &json!(outcome)), "{json:#}");
        assert_eq!(played["note"].is_string(), answer == 200, "{played:#}");
        assert_eq!(backend.hooks().iter().filter(|hook| *hook == "OnCallEvent").count(), 1);
        assert!(!backend.hooks().contains(&"elsewhere".to_owned()));
    }
}

#[test]
fn an_answer_to_connect_without_what_was_sent_is_a_note() {
    let backend = Backend::start_with(|hook, _| match hook {
        "connect" => Answer::Status(200, json!({"appKey": "x", "restClientConfig": both_fail()}).to_string()),
        _ => Answer::Echo,
    });
    let json = simulate_json(&backend.url, &[], 0);
    assert!(
        json["note"].as_str().unwrap().contains("differs from what was sent in `appKey`, `clientBrowser"),
        "{json}"
    );
    assert!(simulate(&backend.url, &[], 0).lines().next().unwrap().contains("; note: its body differs"));
    let json = simulate_json(&Backend::start(both_fail(), |_| Answer::Echo).url, &[], 0);
    assert_eq!(json["note"], Value::Null);
}

#[test]
fn named_members_are_overwritten_under_overwrite_only() {
    let answer = |hook: &str| match hook {
        "call" => Answer::Status(200, r#"{"callee":"other","caller":"x"}"#.to_owned()),
        _ => Answer::Echo,
    };
    for (policy, callee) in [("OVERWRITE", "other"), ("NOTIFY", "b")] {
        let mut config = both_fail();
        config["call"]["restPolicy"] = json!(policy);
        config["call"]["restOverwrite"] = json!("callee, status");
        let backend = Backend::start(config, answer);
        let json = simulate_json(&backend.url, &["--permitted", "a", "b"], 0);
        let (call, status) = (event(&json, "call"), event(&json, "CallStatusEvent"));
        assert_eq!((&call["callee"], &status["callee"]), (&json!("b"), &json!(callee)), "{json:#}");
        assert_eq!(status["caller"], "a", "{json:#}");
        let note = call["note"].as_str().unwrap();
        let overwritten =
            "WCS overwrites `callee` with `\"other\"` (which members it never overwrites is not documented)";
        assert_eq!(note.contains(overwritten), policy == "OVERWRITE", "{note}");
        assert!(note.contains("differs from what was sent in ") && note.contains("`caller`"), "{note}");
    }
}

#[test]
fn an_answer_to_connect_that_cannot_be_read_is_an_error() {
    for (answer, problem) in [
        ("", "connect: the answer is not JSON"),
        ("OK", "connect: the answer is not JSON"),
        ("[]", "connect: the answer is JSON, but not an object"),
        (r#"{"restClientConfig":[]}"#, "connect: `restClientConfig` is `[]`, which is not a JSON object"),
        (r#"{"restClientConfig":null}"#, "connect: `restClientConfig` is `null`, which is not a JSON object"),
        (
            r#"{"restClientConfig":{"OnCallEvent":"FAIL"}}"#,
            "connect: `restClientConfig`, `OnCallEvent`: `\"FAIL\"` is not a JSON object, such as {\"restOnError\":\"FAIL\"}",
        ),
        (
            r#"{"restClientConfig":{"call":{"restOnError":true}}}"#,
            "connect: `restClientConfig`, `call`: `restOnError` is `true`, which is not a text, such as \"LOG\"",
        ),
        (
            r#"{"restClientConfig":{"StreamKeepAliveEvent":{"restExclude":["sdp"]}}}"#,
            "`StreamKeepAliveEvent`: `restExclude` is `[\"sdp\"]`, which is not a text",
        ),
    ] {
        let backend = Backend::start_with(move |_, _| Answer::Status(200, answer.to_owned()));
        let folder = TempFolder::new();
        let file = connect_answer(&folder, answer);
        for arguments in [&[][..], &["--connect-answer", &file], &["--output", "json"]] {
            let output = simulate(&backend.url, arguments, 1);
            assert!(output.starts_with("error: ") && output.contains(problem), "{output}");
        }
        assert_eq!(backend.hooks(), ["connect", "connect"]);
    }
}

#[test]
fn a_connect_that_is_not_answered_with_200_declines_the_session() {
    for (answer, problem) in [
        (status(500), "connect: 500, so WCS declines the session\n"),
        (status(302), "connect: 302, so WCS declines the session\n"),
        (status(403), "connect: 403, so WCS declines the session (check --secret, and"),
        (Answer::Lost, ", so WCS declines the session\n"),
    ] {
        let backend = Backend::start_with(move |_, _| answer.clone());
        let output = simulate(&backend.url, &[], 1);
        assert!(output.starts_with("error: connect: ") && output.contains(problem), "{output}");
        assert!(backend.hooks().iter().all(|hook| hook == "connect"));
    }
}

#[test]
fn a_hook_that_could_not_be_sent_is_sent_again() {
    let losses = Arc::new(Mutex::new(0));
    let backend = Backend::start(both_fail(), move |hook| {
        if hook != "OnCallEvent" {
            return Answer::Echo;
        }
        let mut losses = losses.lock().unwrap();
        *losses += 1;
        if *losses % 3 == 0 { Answer::Echo } else { Answer::Lost }
    });
    let json = simulate_json(&backend.url, &["--retries", "2"], 0);
    assert_eq!(event(&json, "OnCallEvent")["outcome"], "rings");
    let json = simulate_json(&backend.url, &["--retries", "1"], 0);
    assert_eq!(event(&json, "OnCallEvent")["outcome"], "forbidden_by_failure");
}

#[test]
fn without_an_answer_to_connect_all_hooks_have_the_defaults() {
    let backend = Backend::start(both_fail(), |_| Answer::Echo);
    let json = simulate_json(&backend.url, &["--no-connect"], 1);
    assert_eq!(json["connect"], "not among the REST methods");
    let defaults =
        json!([{"hook": "OnCallEvent", "rest_on_error": "LOG", "rest_policy": "NOTIFY", "fails_open": true}]);
    assert_eq!(json["gated_hooks"], defaults);
    assert_eq!(event(&json, "call")["why"], "200, goes out, because `call` is not gated");
    assert_eq!(backend.hooks()[0], "ConnectionStatusEvent");
}

#[test]
fn failures_are_red_and_notes_are_yellow_on_a_terminal() {
    let (red, yellow, end) = ("\u{1b}[1m\u{1b}[31m", "\u{1b}[33m", "\u{1b}[0m");
    let config = json!({"OnCallEvent": {"restOnError": "FAIL"}, "call": {"restOnError": "LOG"}});
    let backend = Backend::start(config, |hook| match hook {
        "RegistrationStatusEvent" => status(500),
        "CallStatusEvent" => status(200),
        "OnCallEvent" => Answer::Echo,
        _ => status(403),
    });
    let arguments = ["wcs-simulator", &backend.url, "--refused", "a", "b"];
    let shown = Run::of(callgatectl(&arguments).env("CLICOLOR_FORCE", "1")).exits_with(1).stdout;
    let fails_open = "(fails open: WCS lets calls through that the hook does not permit)";
    let expected = format!(
        "connect: 200, OnCallEvent restOnError=FAIL, {red}call restOnError=LOG {fails_open}{end}
ConnectionStatusEvent: {yellow}403, WCS logs the error and carries on (restOnError=LOG){end}
RegistrationStatusEvent: {yellow}500, WCS logs the error and carries on (restOnError=LOG){end}
call a to b: {red}403, goes out although the hook did not permit it (restOnError=LOG){end}
CallStatusEvent a to b: 200, WCS carries on{yellow}; note: its body is empty, and it is not documented what WCS does then{end}
OnCallEvent a to b: {red}200, rings, and must not{end}
CallStatusEvent a to b: 200, WCS carries on{yellow}; note: its body is empty, and it is not documented what WCS does then{end}
StreamKeepAliveEvent: {red}403, WCS ends the stream{end}
"
    );
    assert_eq!(shown, expected);
    let plain = [red, yellow, end].iter().fold(expected, |text, colour| text.replace(colour, ""));
    for variables in [&[][..], &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]] {
        let shown = Run::of(callgatectl(&arguments).envs(variables.iter().copied())).stdout;
        assert_eq!(shown, plain);
    }
}
