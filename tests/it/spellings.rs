//! Parties in other spellings: characters that a reader does not see, and numbers as a region dials them.

use serde_json::{Value, json};
use unicode_normalization::UnicodeNormalization as _;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};

use crate::dynamodb::Table;
use crate::gateway::{call, call_in};
use crate::lambda::Sandbox;

const NUMBER: &str = "+15550100123";
const NAME: &str = "PPP009";

/// Every character that is not seen, or only as a space or a dash. Of the private and unassigned ones, some from each range.
fn characters() -> Vec<char> {
    use GeneralCategory as Category;
    let is_tried = |c: &char| match c.general_category() {
        Category::Control
        | Category::Format
        | Category::SpaceSeparator
        | Category::LineSeparator
        | Category::ParagraphSeparator
        | Category::NonspacingMark
        | Category::EnclosingMark
        | Category::DashPunctuation => true,
        Category::PrivateUse | Category::Unassigned => {
            u32::from(*c) % 4_001 == 0 || matches!(u32::from(*c) % 0x1_0000, 0 | 0xfffd..)
        }
        _ => false,
    };
    ('\0'..=char::MAX).filter(is_tried).collect()
}

/// Whether a reader sees another name: a dash, a space between its characters, or an accent.
fn is_seen(c: char, before: &str, after: &str) -> bool {
    match c.general_category() {
        GeneralCategory::DashPunctuation => true,
        GeneralCategory::SpaceSeparator => !before.is_empty() && !after.is_empty(),
        // Other marks are refused: Unicode has no such letter.
        GeneralCategory::NonspacingMark => {
            before.chars().last().is_some_and(|letter| [letter, c].into_iter().nfc().count() == 1)
        }
        _ => false,
    }
}

fn spelling(c: char, before: &str, after: &str, is_encoded: bool) -> String {
    if !is_encoded {
        return format!("{before}{c}{after}");
    }
    let encoded: Vec<_> = c.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect();
    format!("sip:{before}{}{after}@carrier.example", encoded.concat())
}

/// A table in which everyone may call everyone, but these parties are suspended.
async fn table_with_suspended(ids: &[&str]) -> Table {
    let everyone = json!({"M": {"*": {"M": {"effect": {"S": "allow"}}}}});
    let mut items = vec![json!({"pk": {"S": "APP#defaultApp"}, "sk": {"S": "APP"}, "callers": everyone})];
    let suspended = |id: &&str| json!({"pk": {"S": format!("PARTY#defaultApp#{id}")}, "sk": {"S": "PARTY"}, "status": {"S": "suspended"}});
    items.extend(ids.iter().map(suspended));
    Table::of(&items).await
}

#[tokio::test]
async fn no_character_that_is_not_seen_makes_a_refused_party_another_one() {
    let table = table_with_suspended(&[NUMBER, NAME]).await;
    let mut sandbox = Sandbox::start(&table.endpoint, &[("WCS_HOOK_SECRET", ""), ("LOG_LEVEL", "error")]).await;
    let characters = characters();
    assert!(characters.len() > 2_500, "{}", characters.len());
    let mut passed = Vec::new();
    for (index, c) in characters.into_iter().enumerate() {
        for (turn, (id, is_caller)) in
            [(NUMBER, true), (NAME, true), (NUMBER, false), (NAME, false)].into_iter().enumerate()
        {
            // Each character is tried everywhere, but only at one place of each id, plain or encoded.
            let at = [0, 1, 3, id.len()][(index + turn) % 4];
            let (before, after) = id.split_at(at);
            let text = spelling(c, before, after, (index / 4 + turn) % 2 == 0);
            let event = if is_caller { call(&text, "other") } else { call("other", &text) };
            let status = sandbox.invoke(&event).await.status;
            assert!([200, 400, 403].contains(&status), "{text:?}: {status}");
            if status == 200 && !(id == NAME && is_seen(c, before, after)) {
                passed.push(text);
            }
        }
    }
    assert_eq!(passed, [""; 0]);
    assert_eq!(sandbox.invoke(&call("other", "PPP008")).await.status, 200);
}

#[tokio::test]
async fn an_app_key_with_a_character_that_is_not_seen_is_refused() {
    let table = table_with_suspended(&[]).await;
    let mut sandbox = Sandbox::start(&table.endpoint, &[("WCS_HOOK_SECRET", ""), ("LOG_LEVEL", "error")]).await;
    assert_eq!(sandbox.invoke(&call("a", "b")).await.status, 200);
    for c in characters() {
        let status = sandbox.invoke(&call_in(&format!("default{c}App"), "a", "b")).await.status;
        // A reader sees these, so it is another app, which has no rules.
        let is_seen = matches!(c, ' ' | '-' | '\u{301c}' | '\u{3030}' | '\u{30a0}');
        assert_eq!(status, if is_seen { 403 } else { 400 }, "{c:?}");
    }
}

/// Each spelling of a caller, and the id that is logged for it.
async fn check_logged(region: &str, spellings: &[(&str, &str)]) {
    let table = table_with_suspended(&[]).await;
    let mut sandbox = Sandbox::start(&table.endpoint, &[("WCS_HOOK_SECRET", ""), ("PHONE_REGION", region)]).await;
    sandbox.log().await;
    for (text, id) in spellings {
        assert_eq!(sandbox.invoke(&call(text, "b")).await.status, 200, "{text}");
        let line: Value = sandbox.log().await;
        assert_eq!(line["caller"], json!(id), "{region}: {text}");
    }
}

#[tokio::test]
async fn a_number_takes_the_form_that_its_region_gives_it() {
    check_logged("US", &[("5550100123", "+15550100123"), ("15550100123", "+15550100123"), ("911", "911")]).await;
    check_logged("IT", &[("06 5550 0100", "+390655500100")]).await;
    check_logged(
        "RU",
        &[
            ("9161234567", "+79161234567"),
            ("8 916 123-45-67", "+79161234567"),
            ("810 1 555 010 0123", "+15550100123"),
            ("sip:8(916)1234567@pbx.example", "+79161234567"),
            ("1001", "1001"),
        ],
    )
    .await;
    check_logged("DE", &[("116117", "116117"), ("1001", "1001"), ("+49 (0) 30 23125012", "+493023125012")]).await;
    check_logged("", &[("8 916 123-45-67", "89161234567"), ("*98", "*98"), ("sip:pbx.example.com:5060", "anonymous")])
        .await;
}

/// Digits that are added at the end of a number must not get it around a rule about its prefix.
#[tokio::test]
async fn added_digits_do_not_get_around_a_prefix() {
    let deny = json!({"M": {"+1876*": {"M": {"effect": {"S": "deny"}}}, "*": {"M": {"effect": {"S": "allow"}}}}});
    let app = json!({"pk": {"S": "APP#defaultApp"}, "sk": {"S": "APP"}, "callers": deny});
    let table = Table::of(&[app]).await;
    let mut sandbox = Sandbox::start(&table.endpoint, &[("WCS_HOOK_SECRET", ""), ("PHONE_REGION", "US")]).await;
    for start in ["+1 876 926 1234", "1 876 926 1234", "876 926 1234", "011 1 876 926 1234"] {
        for added in 0..10 {
            let text = format!("{start}{}", "9".repeat(added));
            let status = sandbox.invoke(&call(&text, "b")).await.status;
            assert!(matches!(status, 400 | 403), "{text}: {status}");
        }
    }
    assert_eq!(sandbox.invoke(&call("212 555 0100", "b")).await.status, 200);
}
