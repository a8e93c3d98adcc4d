//! The bodies of the hooks: fields that decide are parsed strictly, all others are passed through unread.

use callgate_core::{AppKey, Call, IdError, MediaSet, PartyId, PhoneRegion};
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::hook::GatedHooks;
use crate::json::for_each_member;

/// Makes WCS refuse a call that its backend refuses: without it, or with `restOnError` left at its default
/// of `LOG`, a 403 lets the call through (WCS 5.2, "REST Hooks", `restClientConfig`).
const METHOD_CONFIG: &str =
    r#"{"clientExclude":"","restExclude":"","restOnError":"FAIL","restPolicy":"NOTIFY","restOverwrite":""}"#;

/// The event of a gated hook: a call that WCS asks its backend about (WCS 5.2, "REST Hooks", `OnCallEvent` and `call`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallEvent {
    /// The fields that decide.
    pub call: Call,
    /// WCS's id of the call, for the log.
    pub call_id: Option<String>,
}

/// Why a body is refused. Names the field, and repeats nothing of the body, except a character that ids cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// The body is not JSON.
    #[error("the body is not JSON: line {line}, column {column}")]
    NotJson {
        /// Where it stops being JSON, from 1.
        line: usize,
        /// Where it stops being JSON, from 1.
        column: usize,
    },
    /// The body is JSON, but not an object.
    #[error("the body is not a JSON object")]
    NotAnObject,
    /// A field that decides appears twice.
    #[error("the field `{0}` appears twice")]
    Twice(&'static str),
    /// A required field is missing.
    #[error("the field `{0}` is missing or empty")]
    Missing(&'static str),
    /// A field that decides has another type.
    #[error("the field `{0}` must be {1}")]
    WrongType(&'static str, &'static str),
    /// The id of a party or the key of an app is not valid.
    #[error("the field `{0}` {1}")]
    Id(&'static str, IdError),
}

impl From<serde_json::Error> for EventError {
    fn from(error: serde_json::Error) -> Self {
        match error.classify() {
            Category::Data => Self::NotAnObject,
            _ => Self::NotJson { line: error.line(), column: error.column() },
        }
    }
}

impl CallEvent {
    /// Parses the body of a gated hook.
    ///
    /// # Errors
    /// When the body is not a JSON object; when `appKey` or `callee` is missing; when a field that decides has the wrong
    /// type, appears twice or is not a valid id.
    pub fn parse(body: &str, region: Option<PhoneRegion>) -> Result<Self, EventError> {
        let mut app_key = Field::new("appKey");
        let mut caller = Field::new("caller");
        let mut callee = Field::new("callee");
        let mut has_audio = Field::new("hasAudio");
        let mut has_video = Field::new("hasVideo");
        let mut call_id = None;
        for_each_member::<EventError>(body, |member| {
            let name = member.name();
            for field in [&mut app_key, &mut caller, &mut callee, &mut has_audio, &mut has_video] {
                if name == field.name {
                    field.set(member.value)?;
                }
            }
            if name == "callId" {
                call_id = serde_json::from_str(member.value).unwrap_or_default();
            }
            Ok(())
        })?;

        let app = app_key.required_text()?;
        let app = AppKey::new(&app).map_err(|error| EventError::Id("appKey", error))?;
        Ok(Self {
            call: Call {
                app,
                caller: PartyId::new(&caller.text()?.unwrap_or_default(), region)
                    .map_err(|error| EventError::Id("caller", error))?,
                callee: PartyId::required(&callee.required_text()?, region)
                    .map_err(|error| EventError::Id("callee", error))?,
                media: MediaSet { audio: has_audio.flag()?.unwrap_or(true), video: has_video.flag()?.unwrap_or(false) },
            },
            call_id,
        })
    }
}

/// Checks that a body is a JSON object, whatever its members are.
///
/// # Errors
/// When it is not.
pub fn check_object(body: &str) -> Result<(), EventError> {
    let value: &RawValue = serde_json::from_str(body)?;
    if value.get().starts_with('{') { Ok(()) } else { Err(EventError::NotAnObject) }
}

/// The answer to `connect`: the received object, byte for byte, with our `restClientConfig` in place of any other.
///
/// # Errors
/// When the body is not a JSON object.
pub fn with_rest_client_config(body: &str, gated: GatedHooks) -> Result<String, EventError> {
    let between = |start: usize, end: usize| body.get(start..end).unwrap_or_default();
    let end_of = |value: &str| value.as_ptr().addr() - body.as_ptr().addr() + value.len();
    let open = body.find('{').map_or(0, |brace| brace + 1);
    let close = body.rfind('}').unwrap_or(open);

    // Each member with the white space around it, up to the braces or commas on either side.
    let mut kept = Vec::new();
    let mut start = open;
    for_each_member::<EventError>(body, |member| {
        let value_end = end_of(member.value);
        let end = between(value_end, close).find(',').map_or(close, |comma| value_end + comma);
        if member.name() != "restClientConfig" {
            kept.push(between(start, end));
        }
        start = end + 1;
        Ok(())
    })?;

    if start == open {
        kept.push(between(open, close));
    }
    let comma = if start == open || kept.is_empty() { "" } else { "," };
    Ok([between(0, open), &kept.join(","), comma, &rest_client_config(gated), between(close, body.len())].concat())
}

fn rest_client_config(gated: GatedHooks) -> String {
    let methods: Vec<_> = gated.names().iter().map(|name| format!(r#""{name}":{METHOD_CONFIG}"#)).collect();
    format!(r#""restClientConfig":{{{}}}"#, methods.join(","))
}

/// A field that decides, as it was received.
struct Field<'a> {
    name: &'static str,
    value: Option<&'a str>,
}

impl<'a> Field<'a> {
    const fn new(name: &'static str) -> Self {
        Self { name, value: None }
    }

    fn set(&mut self, value: &'a str) -> Result<(), EventError> {
        match self.value.replace(value) {
            None => Ok(()),
            Some(_) => Err(EventError::Twice(self.name)),
        }
    }

    /// `None` when missing or `null`.
    fn text(&self) -> Result<Option<String>, EventError> {
        let Some(value) = self.value else { return Ok(None) };
        serde_json::from_str(value).map_err(|_| EventError::WrongType(self.name, "a string"))
    }

    fn required_text(&self) -> Result<String, EventError> {
        self.text()?.filter(|text| !text.trim().is_empty()).ok_or(EventError::Missing(self.name))
    }

    /// `None` when missing, `null` or empty.
    fn flag(&self) -> Result<Option<bool>, EventError> {
        match self.value {
            None | Some("null" | "\"\"") => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(EventError::WrongType(self.name, "true or false")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn parses_as(body: &str, caller: &str, callee: &str, audio: bool, video: bool) {
        let event = CallEvent::parse(body, None).unwrap();
        let Call { app, caller: from, callee: to, media } = event.call;
        assert_eq!((app.as_str(), from.as_str(), to.as_str()), ("a", caller, callee));
        assert_eq!(media, MediaSet { audio, video });
    }

    #[track_caller]
    fn refuses(body: &str, error: &str) {
        let refused = CallEvent::parse(body, None).unwrap_err();
        assert_eq!(refused.to_string(), error);
    }

    #[test]
    fn missing_null_and_empty_fields_have_defaults() {
        parses_as(r#"{"appKey":"a","callee":"b"}"#, "anonymous", "b", true, false);
        parses_as(r#"{"appKey":" a ","callee":"b","caller":null,"hasAudio":null}"#, "anonymous", "b", true, false);
        parses_as(
            r#"{"appKey":"a","callee":"b","caller":"","hasAudio":"","hasVideo":""}"#,
            "anonymous",
            "b",
            true,
            false,
        );
        parses_as(
            r#"{"hasVideo":true,"hasAudio":false,"callee":"b","caller":"c","appKey":"a"}"#,
            "c",
            "b",
            false,
            true,
        );
    }

    #[test]
    fn a_field_is_the_same_however_it_is_spelled() {
        parses_as(r#"{"app\u004bey":"\u0061","callee":"\u0062"}"#, "anonymous", "b", true, false);
        refuses(r#"{"appKey":"a","callee":"b","c\u0061llee":"c"}"#, "the field `callee` appears twice");
    }

    #[test]
    fn what_is_not_decided_on_is_not_read() {
        let body = r#"{"appKey":"a","callee":"b","callId":7,"callId":{},"x":1,"x":[1e999],"y":"\ud800","\ud800":{}}"#;
        parses_as(body, "anonymous", "b", true, false);
        let deep = format!(r#"{{"appKey":"a","callee":"b","x":{}1{}}}"#, "[".repeat(50_000), "]".repeat(50_000));
        parses_as(&deep, "anonymous", "b", true, false);
        let event = CallEvent::parse(r#"{"appKey":"a","callee":"b","callId":"x@y"}"#, None);
        assert_eq!(event.unwrap().call_id.as_deref(), Some("x@y"));
    }

    #[test]
    fn a_bad_field_is_named() {
        refuses(r#"{"callee":"b"}"#, "the field `appKey` is missing or empty");
        refuses(r#"{"appKey":" ","callee":"b"}"#, "the field `appKey` is missing or empty");
        refuses(r#"{"appKey":"a"}"#, "the field `callee` is missing or empty");
        refuses(r#"{"appKey":"a","callee":null}"#, "the field `callee` is missing or empty");
        refuses(r#"{"appKey":"a","callee":"sip:@host"}"#, "the field `callee` names a host, not a party");
        refuses(r#"{"appKey":"a","callee":5}"#, "the field `callee` must be a string");
        refuses(r#"{"appKey":"a","callee":"\ud800"}"#, "the field `callee` must be a string");
        refuses(r#"{"appKey":"a","callee":"b","caller":["c"]}"#, "the field `caller` must be a string");
        refuses(r#"{"appKey":"a","callee":"b","hasVideo":1}"#, "the field `hasVideo` must be true or false");
        refuses(r#"{"appKey":"a","callee":"b","hasAudio":"true"}"#, "the field `hasAudio` must be true or false");
        refuses(r#"{"appKey":"a","appKey":"a","callee":"b"}"#, "the field `appKey` appears twice");
        refuses(
            r#"{"appKey":"a","callee":"b;c"}"#,
            "the field `callee` contains the character ';', which is not allowed in an id",
        );
    }

    #[test]
    fn what_is_no_json_object_is_refused() {
        for body in [r#"["a","b"]"#, r#""secret""#, "7", "null"] {
            refuses(body, "the body is not a JSON object");
            assert_eq!(check_object(body), Err(EventError::NotAnObject));
        }
        refuses("", "the body is not JSON: line 1, column 0");
        refuses("{\n\"a\":}", "the body is not JSON: line 2, column 5");
        refuses(r#"{"appKey":"a","callee":"b"} x"#, "the body is not JSON: line 1, column 29");
        refuses("\u{feff}{}", "the body is not JSON: line 1, column 1");
    }

    #[track_caller]
    fn connects(body: &str, kept: &str) {
        let ours = rest_client_config(GatedHooks::Incoming);
        assert_eq!(with_rest_client_config(body, GatedHooks::Incoming).unwrap(), kept.replace("OURS", &ours));
    }

    #[test]
    fn connect_keeps_every_other_byte() {
        connects("{}", "{OURS}");
        connects(" { \t} \n", " { \tOURS} \n");
        connects(r#"{ "a" : 1.0e+01 , "b":[ ] }"#, r#"{ "a" : 1.0e+01 , "b":[ ] ,OURS}"#);
        connects(r#"{"a":"},{","a":2}"#, r#"{"a":"},{","a":2,OURS}"#);
    }

    #[test]
    fn connect_replaces_a_rest_client_config_that_came_in() {
        connects(r#"{"restClientConfig":{"OnCallEvent":{}}}"#, "{OURS}");
        connects(r#"{"a":1,"restClientConfig":null, "b":2}"#, r#"{"a":1, "b":2,OURS}"#);
        connects(r#"{"restClientConfig":1,"a":1,"rest\u0043lientConfig":2}"#, r#"{"a":1,OURS}"#);
        connects(r#"{"custom":{"restClientConfig":1}}"#, r#"{"custom":{"restClientConfig":1},OURS}"#);
        let answer = |body| with_rest_client_config(body, GatedHooks::Incoming);
        assert_eq!(answer("[]"), Err(EventError::NotAnObject));
        assert!(answer("{\"a\":1,}").is_err());
    }

    /// JSON objects with all that JSON allows, in forms that serializers do not write.
    fn json_object() -> impl Strategy<Value = String> {
        let space = || prop_oneof![4 => Just(""), 1 => Just(" "), 1 => Just("\r\n\t")];
        let string = prop_oneof![
            "[a-z{}\\[\\],: ]{0,6}".prop_map(|text| json!(text).to_string()),
            "\\PC{0,4}".prop_map(|text| json!(text).to_string()),
            Just(r#""\u0072estClientConfig""#.to_owned()),
            Just(r#""restClientConfig""#.to_owned()),
            Just(r#""\ud83d\ude00\/\b""#.to_owned()),
        ]
        .boxed();
        let scalar = prop_oneof![
            string.clone(),
            "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,9})?([eE][+-]?[0-9]{1,4})?",
            "true|false|null",
        ];
        let object = move |value: BoxedStrategy<String>| {
            let member = (space(), string.clone(), space(), space(), value, space())
                .prop_map(|(a, key, b, c, value, d)| format!("{a}{key}{b}:{c}{value}{d}"));
            proptest::collection::vec(member, 0..5).prop_map(|members| format!("{{{}}}", members.join(",")))
        };
        let nested = object.clone();
        let value = scalar.prop_recursive(3, 24, 4, move |inner| {
            let items = proptest::collection::vec(inner.clone(), 0..4);
            prop_oneof![items.prop_map(|items| format!("[{}]", items.join(" ,"))), nested(inner.boxed())]
        });
        (space(), object(value.boxed()), space()).prop_map(|(before, object, after)| format!("{before}{object}{after}"))
    }

    fn gated_hooks() -> impl Strategy<Value = GatedHooks> {
        prop_oneof![Just(GatedHooks::Incoming), Just(GatedHooks::IncomingAndOutgoing)]
    }

    fn members(body: &str) -> Vec<(String, String)> {
        let mut members = Vec::new();
        for_each_member::<EventError>(body, |member| {
            members.push((member.name().into_owned(), member.value.to_owned()));
            Ok(())
        })
        .unwrap();
        members
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]

        #[test]
        fn connect_adds_ours_to_any_object(body in json_object(), gated in gated_hooks()) {
            let ours = rest_client_config(gated);
            let answer = with_rest_client_config(&body, gated).unwrap();
            prop_assert_eq!(check_object(&body), Ok(()));
            let mut expected = members(&body);
            let came_in = expected.len();
            expected.retain(|(name, _)| name != "restClientConfig");
            let nothing_replaced = expected.len() == came_in;
            let block = ours.split_once(':').unwrap().1;
            expected.push(("restClientConfig".to_owned(), block.to_owned()));
            prop_assert_eq!(members(&answer), expected);
            if nothing_replaced {
                let (before, after) = answer.rsplit_once(&*ours).unwrap();
                prop_assert_eq!(format!("{}{after}", before.strip_suffix(',').unwrap_or(before)), body);
            }
        }

        #[test]
        fn fields_we_do_not_read_never_change_the_question(body in json_object()) {
            let ours = r#""appKey":"a","caller":"b","callee":"c""#;
            let inside = body.trim().strip_prefix('{').unwrap().strip_suffix('}').unwrap();
            let separator = if inside.trim().is_empty() { "" } else { "," };
            let plain = CallEvent::parse(&format!("{{{ours}}}"), None);
            let padded = CallEvent::parse(&format!("{{{inside}{separator}{ours}}}"), None);
            prop_assert_eq!(padded, plain);
        }
    }
}
