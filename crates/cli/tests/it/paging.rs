//! Pages of rules and parties, read with the library: together they are complete, and each reads little.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use callgate_admin::Table;
use callgate_admin::cursor::Cursor;
use callgate_admin::find::Needle;
use callgate_admin::party_page::PartyFilter;
use callgate_admin::rule_page::{PageLimits, Reading, RuleFilter, RulePage, RuleSide};
use callgate_core::AppKey;
use serde_json::json;

use crate::support::{TABLE, TestServer, csv};

/// A moment at which nothing in these tests has expired.
const NOW: i64 = 1_800_000_000;

/// Odd ids: markup, separators of keys and URLs, and what looks like patterns.
const ODD: [&str; 6] = ["<b>x</b>", "a/b", "50%", "#1#2", "two words", "abc*"];

fn table(server: &TestServer) -> Table {
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(format!("http://{}", server.address))
        .region(Region::new("local"))
        .credentials_provider(Credentials::new("a", "b", None, None, "test"))
        .http_client(callgate::store::client::https_client())
        .build();
    Table::new(aws_sdk_dynamodb::Client::from_conf(config), TABLE, None, None)
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn app(name: &str) -> AppKey {
    AppKey::new(name).unwrap()
}

fn side(text: &str) -> RuleSide {
    RuleSide::new(text, None)
}

/// A table with items of every kind in two apps, with history.
fn filled(server: &TestServer) {
    let rules = csv(0..120, |number| {
        let (app, from, to) = (["shop", "a#b%"][number % 2], number % 7, number % 11);
        format!("{app},CCC{from:03},PPP{to:03},{}", if number % 3 == 0 { "deny" } else { "allow" })
    });
    server.pipe("import - --yes", &rules).succeeds();
    let entry = |number: usize| (format!("+7495{number:03}*"), json!({"M": {"effect": {"S": "allow"}}}));
    let incoming: serde_json::Map<_, _> = (0..40).map(entry).collect();
    server.put(&json!({"pk": {"S": "PARTY#shop#PPP003"}, "sk": {"S": "PARTY"}, "incoming": {"M": incoming},
        "outgoing": {"M": {"CCC001": {"M": {"effect": {"S": "deny"}}}}}, "blocked": {"M": {}}}));
    // It may call itself.
    server.put(&json!({"pk": {"S": "PARTY#shop#PPP003"}, "sk": {"S": "CALLER#PPP003"}, "effect": {"S": "allow"}}));
    let callers = json!({"*": {"M": {"effect": {"S": "deny"}}}, "CCC001": {"M": {"effect": {"S": "allow"}}}});
    server.put(&json!({"pk": {"S": "APP#shop"}, "sk": {"S": "APP"}, "callers": {"M": callers}}));
    for (number, id) in ODD.iter().enumerate() {
        let note = json!({"S": format!("guest {number}")});
        server.put(&json!({"pk": {"S": format!("PARTY#shop#{id}")}, "sk": {"S": "PARTY"}, "note": note}));
        server.put(&json!({"pk": {"S": format!("PARTY#shop#{id}")}, "sk": {"S": "CALLER#CCC001"},
            "effect": {"S": "allow"}}));
    }
}

/// Reads all pages. Checks that none holds or reads more than it may.
#[track_caller]
fn all_rules(table: &Table, filter: &RuleFilter, found: usize, items: usize) -> (Reading, Vec<String>) {
    let (mut rules, mut start) = (Vec::new(), None::<Cursor>);
    loop {
        let limits = PageLimits { found, items };
        let page: RulePage = wait(Box::pin(table.rule_page(filter, start.as_ref(), limits, NOW))).unwrap();
        assert!(page.rules.len() <= found && page.items_read <= items + 7, "{page:?}");
        rules.extend(page.rules.iter().map(|it| format!("{:?} {}", it.location.entry, it.row.text())));
        start = page.next.map(|next| next.to_string().parse().unwrap());
        if start.is_none() {
            return (page.reading, rules);
        }
    }
}

#[test]
fn the_pages_of_rules_hold_each_rule_once() {
    let server = TestServer::with_table();
    filled(&server);
    let table = table(&server);
    let (_, mut all) = all_rules(&table, &RuleFilter::default(), 10_000, 10_000);
    all.sort();
    // The rows of the file, the lists, the block, the rule of a party to itself and the pairs of odd ids.
    assert_eq!(all.len(), 120 + 40 + 3 + 1 + 1 + ODD.len());
    for (found, items) in [(1, 10), (3, 5), (7, 1_000), (50, 1), (100, 1_000)] {
        let (_, mut rules) = all_rules(&table, &RuleFilter::default(), found, items);
        rules.sort();
        assert_eq!(rules, all, "{found} {items}");
    }
}

#[test]
fn the_quick_way_finds_what_the_whole_table_has() {
    let server = TestServer::with_table();
    filled(&server);
    let table = table(&server);
    let filter = |from: &str, to: &str, party: &str| {
        let side = |text: &str| (!text.is_empty()).then(|| side(text));
        RuleFilter {
            app: Some(app("shop")),
            from: side(from),
            to: side(to),
            party: side(party),
            ..RuleFilter::default()
        }
    };
    for (filter, reading, expected) in [
        (filter("CCC001", "PPP003", ""), Reading::Places, 1),
        (filter("*", "*", ""), Reading::Places, 1),
        (filter("CCC001", "*", ""), Reading::Places, 1),
        (filter("+7495007*", "PPP003", ""), Reading::Places, 1),
        (filter("PPP003", "CCC001", ""), Reading::Places, 1),
        (filter("PPP003", "*", ""), Reading::Places, 1),
        (filter("", "PPP003", ""), Reading::PlacesOfParty, 46),
        (filter("", "", "PPP003"), Reading::PlacesOfParty, 48),
        (filter("CCC002", "", ""), Reading::PlacesOfParty, 9),
        (filter("", "", "a/b"), Reading::PlacesOfParty, 1),
        (filter("", "two words", ""), Reading::PlacesOfParty, 1),
        (filter("", "abc*", ""), Reading::Table, 1),
        (filter("", "", "PPP999"), Reading::PlacesOfParty, 0),
    ] {
        for (found, items) in [(1_000, 1_000), (2, 3)] {
            let (read, mut rules) = all_rules(&table, &filter, found, items);
            rules.sort();
            let everywhere = RuleFilter { everywhere: true, ..filter.clone() };
            let (_, mut all) = all_rules(&table, &everywhere, 1_000, 1_000);
            all.sort();
            assert_eq!((read, rules.len()), (reading, expected), "{filter:?} {rules:#?}");
            assert_eq!(rules, all);
        }
    }
}

#[test]
fn one_party_of_a_large_table_is_read_alone() {
    let server = TestServer::with_table();
    let rules = csv(0..3_000, |number| format!("shop,C{},P{number},allow", number % 300));
    server.pipe("import - --yes", &rules).succeeds();
    let table = table(&server);
    let limits = PageLimits { found: 100, items: 1_000 };
    let page = |filter: &RuleFilter| wait(Box::pin(table.rule_page(filter, None, limits, NOW))).unwrap();
    let of_caller = page(&RuleFilter { app: Some(app("shop")), from: Some(side("C7")), ..RuleFilter::default() });
    assert_eq!((of_caller.rules.len(), of_caller.items_read, of_caller.next), (10, 12, None));
    // Without a filter, no more is read than the page needs.
    let first = page(&RuleFilter { app: Some(app("shop")), ..RuleFilter::default() });
    assert_eq!(first.rules.len(), 100);
    assert!(first.items_read < 110, "{}", first.items_read);
    // A search ends with its budget, and can go on.
    let searched = page(&RuleFilter { text: Some(Needle::new("no such text", None)), ..RuleFilter::default() });
    assert_eq!((searched.rules.len(), searched.items_read), (0, 1_000));
    assert!(searched.next.is_some());
}

/// The parties of all pages, those that only rules name in brackets.
fn all_parties(table: &Table, filter: &PartyFilter, found: usize, items: usize) -> Vec<String> {
    let (mut parties, mut start) = (Vec::new(), None::<Cursor>);
    loop {
        let page = wait(Box::pin(table.party_page(filter, start.as_ref(), PageLimits { found, items }))).unwrap();
        parties.extend(page.parties.into_iter().map(|it| match it.item {
            Some(_) => format!("{} {}", it.app, it.id),
            None => format!("({} {})", it.app, it.id),
        }));
        start = page.next.map(|next| next.to_string().parse().unwrap());
        if start.is_none() {
            return parties;
        }
    }
}

#[test]
fn parties_are_found_with_and_without_an_item() {
    for index in [true, false] {
        let server = if index { TestServer::with_table() } else { TestServer::with_table_and_index(None) };
        filled(&server);
        let table = table(&server);
        let known_apps = wait(Box::pin(table.known_apps())).unwrap();
        assert_eq!(known_apps.apps, [app("a#b%"), app("shop")]);
        assert!(known_apps.is_complete);
        let filter = |text: &str, of: Option<AppKey>| PartyFilter {
            app: of,
            known_apps: known_apps.apps.clone(),
            text: (!text.is_empty()).then(|| Needle::new(text, None)),
        };
        for (text, of, expected) in [
            ("PPP003", None, &["(a#b% PPP003)", "shop PPP003"][..]),
            ("CCC001", Some(app("shop")), &["(shop CCC001)"]),
            (
                "ppp00",
                Some(app("shop")),
                &[
                    "(shop PPP000)",
                    "(shop PPP001)",
                    "(shop PPP002)",
                    "(shop PPP004)",
                    "(shop PPP005)",
                    "(shop PPP006)",
                    "(shop PPP007)",
                    "(shop PPP008)",
                    "(shop PPP009)",
                    "shop PPP003",
                ],
            ),
            ("PPP003", Some(app("shop")), &["shop PPP003"]),
            ("guest 3", None, &["shop #1#2"]),
            ("guest", Some(app("a#b%")), &[]),
            ("<b>x", None, &["shop <b>x</b>"]),
            ("words", None, &["shop two words"]),
            ("nothing of it", None, &[]),
        ] {
            for (found, items) in [(1_000, 1_000), (1, 1), (3, 20)] {
                let parties = all_parties(&table, &filter(text, of.clone()), found, items);
                let once: BTreeSet<_> = parties.iter().map(String::as_str).collect();
                assert_eq!(once.into_iter().collect::<Vec<_>>(), expected, "{index} {text} {found} {parties:?}");
                let with_item = parties.iter().filter(|it| !it.starts_with('('));
                assert_eq!(with_item.clone().count(), with_item.collect::<BTreeSet<_>>().len(), "{parties:?}");
            }
        }
        // A cursor of another filter begins at the first page.
        if index {
            let limits = PageLimits { found: 3, items: 1_000 };
            let page = |filter: &PartyFilter, start| wait(Box::pin(table.party_page(filter, start, limits))).unwrap();
            let all = page(&filter("", None), None);
            let of_shop = filter("", Some(app("shop")));
            assert_eq!(page(&of_shop, all.next.as_ref()).parties, page(&of_shop, None).parties, "{index}");
        }
        let everyone = all_parties(&table, &filter("", None), 7, 50);
        let once: BTreeSet<_> = everyone.iter().collect();
        assert_eq!(once.len(), 7 + 7 + 11 + 11 + ODD.len(), "{everyone:?}");
    }
}
