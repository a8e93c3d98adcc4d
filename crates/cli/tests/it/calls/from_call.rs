//! Commands that take the parties from a call of the log.

use super::{BLOCKED, FAILED, LogFile, Logged, PERMITTED, REFUSED, log};
use crate::support::TestServer;

#[test]
fn a_call_of_the_log_can_be_named_in_place_of_its_parties() {
    let server = TestServer::with_table();
    let strange = Logged { caller: Some("*"), call_id: Some("c-star"), ..REFUSED };
    let prefix = Logged { caller: Some("+7495*"), call_id: Some("c-prefix"), ..REFUSED };
    let other = Logged { time: "11:30:00.000001", caller: Some("PPP003"), ..REFUSED };
    let unparsed = Logged { app: None, caller: None, callee: None, call_id: Some("c-none"), ..REFUSED };
    // The same call twice, because WCS tried again.
    let file = LogFile::new(log(&[PERMITTED, PERMITTED, BLOCKED, strange, prefix, unparsed, REFUSED, other, FAILED]));
    let run = |arguments: &str| server.run(&format!("{arguments} --log {}", file.path().display()));
    run("deny --from-call c-2").succeeds().prints("written: deny PPP001 to PPP005");
    run("block --from-call r-11:00:02.000001").succeeds().prints("written: block +74951234567");
    run("allow --app shop --from-call c-2 --media audio")
        .succeeds()
        .prints("replaced: allow PPP001 to PPP005, audio only");
    let stored = server.items();
    for (arguments, code, error) in [
        ("allow --from-call c-9", 1, "no call with the id `c-9` is in the log"),
        (
            "allow --from-call c-1",
            1,
            "several calls have the id `c-1`, such as the call at 2024-11-26 11:00:00 +00 from PPP009",
        ),
        ("allow --from-call c-star", 1, "the id `*` in the call"),
        ("allow --from-call c-prefix", 1, "the id `+7495*` in the call"),
        ("deny --from-call c-none", 1, "has an id that is not one"),
        ("block --from-call c-star", 1, "the id `*` in the call"),
        ("allow --app other --from-call c-2", 2, "is not in app `other` of --app or CALLGATE_APP"),
        ("allow --from a --from-call c-2", 2, "cannot be used with"),
        ("allow --app shop --from a", 2, "--to <PATTERN>"),
        ("block --app shop x --from-call c-2", 2, "--from-call names the caller"),
        ("block --app shop", 2, "<PARTY>"),
        ("block --app shop x --last-caller-of PPP005", 2, "cannot be used with"),
        ("block --app shop --last-caller-of PPP404", 1, "no call to `PPP404` in app `shop` is in the log"),
        ("block --app shop --last-caller-of 'PPP*'", 2, "`PPP*` is a pattern, not one party"),
    ] {
        run(arguments).exits_with(code).prints(error);
    }
    assert_eq!(server.items(), stored);
    // The last one by its time.
    run("block --app shop --last-caller-of PPP005").succeeds().prints("written: block PPP003");
}
