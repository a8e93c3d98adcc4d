//! `wcs-simulator --setup`.

use serde_json::{Value, json};

use super::backend::{Answer, Backend, both_fail};
use super::simulate;
use crate::serve::callgatectl;
use crate::support::Run;

#[test]
fn setup_prints_the_commands_for_wcs_and_sends_nothing() {
    let backend = Backend::start(both_fail(), |_| Answer::Echo);
    let url = &backend.url;
    let arguments = ["wcs-simulator", &format!("{url}/"), "--setup"];
    let run = |more: &[&str]| Run::of(&mut callgatectl(&[&arguments, more].concat())).exits_with(0).stdout;
    let default_app = format!(
        "
For the default app, which exists already, with all hooks at WCS's own EchoApp:
    update app -l {url} defaultApp
"
    );
    let own_app = |key: &str| {
        format!(
            "
For an app of your own:
    add app NAME {key} \"{url}\"
    add app-rest-method {key} connect
    add app-rest-method {key} OnCallEvent
    add app-rest-method {key} call    (only if calls of browsers are gated: GATED_HOOKS=OnCallEvent,call)
    show app-rest-methods {key}
"
        )
    };
    let properties = "
In flashphoner.properties, with the secret in place of KEY (if there are two, the first one):
    rest_hook_send_hash=true
    rest_hook_secret_key=KEY
";
    let start = "On the command line of WCS (ssh -p 2001 admin@WCS), type:\n";
    assert_eq!(run(&[]), format!("{start}{default_app}{}", own_app("APPKEY")));
    assert_eq!(run(&["--app", "shop"]), format!("{start}{}", own_app("shop")));
    let secret = ["--secret", "s3cr3t,other"];
    assert_eq!(run(&secret), format!("{start}{default_app}{}{properties}", own_app("APPKEY")));
    let json = |more: &[&str]| -> Value {
        let output = run(&[&["--output", "json"], more].concat());
        assert!(!output.contains("s3cr3t"), "{output}");
        serde_json::from_str(&output).unwrap()
    };
    assert_eq!(
        json(&[]),
        json!({
            "default_app": format!("update app -l {url} defaultApp"),
            "own_app": [
                format!("add app NAME APPKEY \"{url}\""),
                "add app-rest-method APPKEY connect",
                "add app-rest-method APPKEY OnCallEvent",
            ],
            "gated_call": "add app-rest-method APPKEY call",
            "show": "show app-rest-methods APPKEY",
            "properties": [],
        })
    );
    let own = json(&[&secret[..], &["--app", "shop"]].concat());
    assert_eq!(own["default_app"], Value::Null);
    assert_eq!(own["properties"], json!(["rest_hook_send_hash=true", "rest_hook_secret_key=KEY"]));
    assert!(backend.hooks().is_empty());
    simulate("127.0.0.1:8080/rest", &["--setup"], 2);
    for ignored in [&["--call", "a", "b"][..], &["--no-connect"], &["--video"], &["--timeout", "1"]] {
        let output = simulate(url, &[&["--setup"], ignored].concat(), 2);
        assert!(output.contains("cannot be used with"), "{output}");
    }
}
