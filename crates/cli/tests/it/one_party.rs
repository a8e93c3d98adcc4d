//! Commands for one party refuse patterns and groups, with what to write instead.

use serde_json::json;

use crate::support::TestServer;

#[test]
fn a_pattern_or_a_group_is_not_a_party() {
    let server = TestServer::with_table();
    let deny_range = "`callgatectl deny --app shop --from '+7*' --to '*'`";
    let deny_group = "`callgatectl deny --app shop --from '*' --to @sales`";
    for (command, why, instead) in [
        ("suspend --app shop '+7*'", "`+7*` is a pattern, not one party", deny_range),
        ("suspend --app shop ' + 7 *'", "`+7*` is a pattern, not one party", deny_range),
        ("suspend --app shop '*'", "`*` is a pattern", "`callgatectl suspend --app shop` applies to the whole app"),
        ("suspend --app shop @sales", "`@sales` is a group, not one party", deny_group),
        ("suspend --app shop @sales --exactly", "`@sales` is a group, not one party", deny_group),
        ("resume --app shop 'PPP*'", "`PPP*` is a pattern", "name the parties one by one"),
        ("resume --app shop '*'", "`*` is a pattern", "`callgatectl resume --app shop`"),
        ("show --app shop 'PPP*'", "`PPP*` is a pattern", "`callgatectl show --app shop`"),
        ("show --app shop @sales", "`@sales` is a group", "`callgatectl group show --app shop @sales`"),
        ("check --app shop --from '+7*' --to b", "`+7*` is a pattern", "a number that starts with `+7`"),
        ("check --app shop --from a --to '*'", "`*` is a pattern", "name one party"),
        ("check --app shop --from @sales --to b", "`@sales` is a group", "name one of its parties"),
    ] {
        server.run(command).exits_with(2).prints(why).prints(instead);
    }
    assert!(server.items().is_empty());
}

#[test]
fn feature_codes_are_parties() {
    let server = TestServer::with_table();
    for code in ["*98*", "*98", "#21#", "*21*"] {
        server.run(&format!("suspend --app shop '{code}'")).succeeds().prints(&format!("party `{code}` of app `shop`"));
        server.run(&format!("show --app shop '{code}'")).succeeds();
        server.run(&format!("check --app shop --from a --to '{code}'")).exits_with(3).prints("callee_suspended");
        server.run(&format!("resume --app shop '{code}'")).succeeds();
    }
    assert!(server.items().is_empty());
}

/// A phone may have such an id.
#[test]
fn a_party_whose_id_looks_like_a_pattern_is_insisted_on() {
    let server = TestServer::with_table();
    server.run("suspend --app shop 'PPP*' --exactly").succeeds();
    server.run("show --app shop 'PPP*' --exactly").succeeds().prints("party PPP* of app shop: suspended");
    server.run("check --app shop --from a --to 'PPP*' --exactly").exits_with(3).prints("callee_suspended");
    server.put(&json!({"pk": {"S": "PARTY#shop#PPP*"}, "sk": {"S": "PARTY"}, "status": {"S": "on"}}));
    server.run("doctor").exits_with(4).prints("callgatectl show --app shop 'PPP*' --exactly");
    server.run("resume --app shop 'PPP*' --exactly").succeeds();
    assert!(server.items().is_empty());
}
