//! The call that is measured, the items that decide it, and the function's environment.

use anyhow::Context as _;
use bytes::Bytes;
use callgate::authentication::Secret;
use serde_json::{Value, json};

/// The name of the permission table.
pub(crate) const TABLE: &str = "callgate";

/// The secret that WCS signs requests with.
pub(crate) const SECRET: &str = "a-secret-of-thirty-two-characters";

/// An `OnCallEvent` as API Gateway sends it, with every field in the WCS documentation.
const EVENT: &str = include_str!("../../../events/document-permitted.json");

/// The event of a hook that decides nothing.
const OTHER_HOOK: &str = include_str!("../../../events/other-hook-echoed.json");

/// Returns the event with a valid signature.
pub(crate) fn event() -> anyhow::Result<Bytes> {
    signed(EVENT)
}

/// Returns the event of a hook that decides nothing, with a valid signature.
pub(crate) fn other_hook() -> anyhow::Result<Bytes> {
    signed(OTHER_HOOK)
}

fn signed(event: &str) -> anyhow::Result<Bytes> {
    let mut event: Value = serde_json::from_str(event)?;
    let body = event.get("body").and_then(Value::as_str).context("the event has no `body`")?.to_owned();
    sign(&mut event, &body)?;
    Ok(event.to_string().into())
}

/// Returns the event with other parties and a valid signature.
pub(crate) fn event_with_parties(caller: &str, callee: &str) -> anyhow::Result<Bytes> {
    let mut event: Value = serde_json::from_str(EVENT)?;
    let body = event.get("body").and_then(Value::as_str).context("the event has no `body`")?;
    let mut call: Value = serde_json::from_str(body)?;
    for (name, id) in [("caller", caller), ("callee", callee)] {
        *call.get_mut(name).context("the body has no `caller` or no `callee`")? = id.into();
    }
    let body = call.to_string();
    *event.get_mut("body").context("the event has no `body`")? = body.as_str().into();
    sign(&mut event, &body)?;
    Ok(event.to_string().into())
}

fn sign(event: &mut Value, body: &str) -> anyhow::Result<()> {
    let headers = event.get_mut("headers").and_then(Value::as_object_mut).context("the event has no `headers`")?;
    headers.insert("authorization".to_owned(), Secret::new(SECRET).authorization(body.as_bytes()).into());
    Ok(())
}

/// Returns four items: the app, the caller and the callee with a list each, and the pair, whose rule decides.
pub(crate) fn items() -> Vec<Value> {
    let rule = |effect: &str| json!({"M": {"effect": {"S": effect}, "updated_at": {"N": "1795489965"}}});
    vec![
        json!({"pk": {"S": "APP#defaultApp"}, "sk": {"S": "APP"}, "callers": {"M": {"+881*": rule("deny")}}}),
        json!({"pk": {"S": "PARTY#defaultApp#PPP009"}, "sk": {"S": "PARTY"}, "status": {"S": "active"},
            "outgoing": {"M": {"PPP*": rule("allow"), "+7495*": rule("allow"), "*": rule("deny")}}}),
        json!({"pk": {"S": "PARTY#defaultApp#PPP005"}, "sk": {"S": "PARTY"}, "status": {"S": "active"},
            "incoming": {"M": {"PPP00*": rule("allow"), "*": rule("deny")}}}),
        json!({"pk": {"S": "PARTY#defaultApp#PPP005"}, "sk": {"S": "CALLER#PPP009"}, "effect": {"S": "allow"},
            "updated_at": {"N": "1795489965"}, "updated_by": {"S": "arn:aws:iam::123456789012:user/operator"}}),
    ]
}

/// Returns the environment variables that Lambda and the operator set for the function.
pub(crate) fn environment(endpoint: &str) -> Vec<(&'static str, String)> {
    [
        ("AWS_LAMBDA_FUNCTION_NAME", "callgate"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "ASIAIOSFODNN7EXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        // As long as the token of a role usually is, because it is signed and sent with every request.
        ("AWS_SESSION_TOKEN", &"IQoJb3JpZ2luX2Vj".repeat(50)),
        ("AWS_ENDPOINT_URL_DYNAMODB", endpoint),
        ("TABLE_NAME", TABLE),
        ("WCS_HOOK_SECRET", SECRET),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .into()
}
