//! Parses one line of a log.

use std::borrow::Cow;
use std::str;

use callgate_core::MediaSet;
use jiff::Timestamp;
use memchr::{memchr, memmem};
use serde::Deserialize;

use super::{Decided, EpochMicroseconds, LoggedCall};

/// Parses a line of the log. `None` if it is not a whole line of a decision.
///
/// The line may be as the function writes it, or with a time, the name of a stream or another text before it, as CloudWatch
/// exports and `aws logs tail` prints it, or a JSON string, as in the events that `aws logs filter-log-events` prints.
#[must_use]
pub fn parse(line: &[u8]) -> Option<LoggedCall<'_>> {
    if let Some(call) = OwnLine::new(line).and_then(|line| line.call()) {
        return Some(call);
    }
    // A JSON text in a JSON string: `"{\"timestamp\":…`. In the function's own lines, this is inside a text that a caller chose.
    let start = memchr(b'{', line)?;
    let nested = if line.starts_with(b"{\"timestamp\"") { None } else { memmem::find(line, br#""{\""#) };
    if let Some(text) = nested.and_then(|at| first_value::<String>(line.get(at..)?)) {
        return first_value::<Line<'_>>(text.as_bytes())?.call().map(LoggedCall::into_owned);
    }
    first_value::<Line<'_>>(line.get(start..)?)?.call()
}

/// The JSON value at the beginning of a text.
fn first_value<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Option<T> {
    serde_json::Deserializer::from_slice(text).into_iter().next()?.ok()
}

/// A line as the function writes it.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    timestamp: Cow<'a, str>,
    #[serde(borrow)]
    message: Cow<'a, str>,
    #[serde(borrow, default)]
    hook: Option<Text<'a>>,
    #[serde(borrow)]
    decision: Cow<'a, str>,
    #[serde(borrow)]
    reason: Cow<'a, str>,
    #[serde(borrow, default)]
    door: Option<Text<'a>>,
    #[serde(borrow, default)]
    rule: Option<Text<'a>>,
    #[serde(borrow, default)]
    app: Option<Text<'a>>,
    #[serde(borrow, default)]
    caller: Option<Text<'a>>,
    #[serde(borrow, default)]
    callee: Option<Text<'a>>,
    #[serde(borrow, default)]
    media: Option<Vec<Text<'a>>>,
    #[serde(borrow, default)]
    call_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    request_id: Option<Text<'a>>,
    status: Option<u16>,
    store_ms: Option<f64>,
    total_ms: Option<f64>,
    #[serde(borrow, default)]
    error: Option<Text<'a>>,
    #[serde(default)]
    masked: bool,
}

/// A text that is borrowed if possible, also inside of an option.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Line<'a> {
    fn call(self) -> Option<LoggedCall<'a>> {
        if self.message != MESSAGE {
            return None;
        }
        let text = |text: Option<Text<'a>>| text.map(|Text(text)| text);
        Some(LoggedCall {
            timestamp: timestamp(&self.timestamp)?,
            hook: text(self.hook),
            decision: Decided::from_word(&self.decision)?,
            reason: self.reason,
            door: text(self.door),
            rule: text(self.rule),
            app: text(self.app),
            caller: text(self.caller),
            callee: text(self.callee),
            media: self.media.map(|words| media(words.iter().map(|Text(word)| word.as_ref()))),
            call_id: text(self.call_id),
            request_id: text(self.request_id),
            status: self.status,
            store_ms: self.store_ms,
            total_ms: self.total_ms,
            error: text(self.error),
            is_masked: self.masked,
        })
    }
}

/// The member that only lines with cut ids have.
const MASKED: &[u8] = b",\"masked\":true";

/// The message of a decision.
const MESSAGE: &str = "decision";

fn media<'a>(words: impl Iterator<Item = &'a str>) -> MediaSet {
    words.fold(MediaSet { audio: false, video: false }, |media, word| MediaSet {
        audio: media.audio || word == "audio",
        video: media.video || word == "video",
    })
}

/// The moment that a timestamp in RFC 3339 is.
fn timestamp(text: &str) -> Option<EpochMicroseconds> {
    utc_timestamp(text.as_bytes()).or_else(|| text.parse::<Timestamp>().ok().map(Timestamp::as_microsecond))
}

/// The moment of a timestamp exactly as the function writes it: `2026-11-24T00:50:11.431641Z`.
pub(super) fn utc_timestamp(text: &[u8]) -> Option<EpochMicroseconds> {
    let number = |text: &[u8]| {
        text.iter().try_fold(0_i64, |number, byte| byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0')))
    };
    let &[
        y1,
        y2,
        y3,
        y4,
        b'-',
        m1,
        m2,
        b'-',
        d1,
        d2,
        b'T',
        h1,
        h2,
        b':',
        n1,
        n2,
        b':',
        s1,
        s2,
        b'.',
        ref micro @ ..,
        b'Z',
    ] = text
    else {
        return None;
    };
    let (year, month, day) = (number(&[y1, y2, y3, y4])?, number(&[m1, m2])?, number(&[d1, d2])?);
    let (hour, minute, second) = (number(&[h1, h2])?, number(&[n1, n2])?, number(&[s1, s2])?);
    // A leap day is left to the general parser.
    let last_day = match month {
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let is_date = (1..=12).contains(&month) && (1..=last_day).contains(&day);
    if micro.len() != 6 || !is_date || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // Days since 1970 of a date in the proleptic Gregorian calendar, whose years begin in March here.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 719_469;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000 + number(micro)?)
}

/// The line of a decision as the function begins and ends every one of them.
pub(super) struct OwnLine<'a> {
    /// The text of its timestamp.
    pub(super) timestamp: &'a [u8],
    /// The members after its message.
    members: &'a [u8],
}

impl<'a> OwnLine<'a> {
    /// `None` for any other line, also if it is a valid one in another form.
    pub(super) fn new(line: &'a [u8]) -> Option<Self> {
        const TIMESTAMP: usize = "2026-11-24T00:50:11.431641Z".len();
        let rest = line.strip_suffix(b"}")?.strip_prefix(b"{\"timestamp\":\"")?;
        let (timestamp, rest) = rest.split_at_checked(TIMESTAMP)?;
        let rest = rest.strip_prefix(b"\",\"level\":\"")?;
        let rest = rest
            .strip_prefix(b"info")
            .or_else(|| rest.strip_prefix(b"warn"))
            .or_else(|| rest.strip_prefix(b"error"))?;
        Some(Self { timestamp, members: rest.strip_prefix(b"\",\"message\":\"decision\"")? })
    }

    /// Whether the ids may be cut.
    pub(super) fn may_be_masked(&self) -> bool {
        memmem::find(self.members, MASKED).is_some()
    }

    /// Parses the members up to the metrics, which are not read. `None` if they are not exactly as the function usually writes
    /// them: a text is escaped, or they have another order.
    fn call(&self) -> Option<LoggedCall<'a>> {
        let mut members = Members(self.members);
        let borrowed = |Nullable(text): Nullable<&'a str>| text.map(Cow::Borrowed);
        let call = LoggedCall {
            timestamp: utc_timestamp(self.timestamp)?,
            hook: borrowed(members.text(b",\"hook\":")?),
            decision: Decided::from_word(members.text(b",\"decision\":")?.0?)?,
            reason: Cow::Borrowed(members.text(b",\"reason\":")?.0?),
            door: borrowed(members.text(b",\"door\":")?),
            rule: borrowed(members.text(b",\"rule\":")?),
            app: borrowed(members.text(b",\"app\":")?),
            caller: borrowed(members.text(b",\"caller\":")?),
            callee: borrowed(members.text(b",\"callee\":")?),
            media: members.media()?.0,
            call_id: borrowed(members.text(b",\"call_id\":")?),
            request_id: borrowed(members.text(b",\"request_id\":")?),
            store_ms: members.flag(b",\"cold_start\":").and_then(|()| members.number(b",\"store_ms\":"))?.0,
            total_ms: members.number(b",\"total_ms\":")?.0,
            status: Some(members.number(b",\"units\":").and_then(|_| members.value(b",\"status\":"))?.parse().ok()?),
            error: None,
            is_masked: false,
        };
        let error = if members.0.starts_with(b",\"error\"") { borrowed(members.text(b",\"error\":")?) } else { None };
        let unmasked = members.0.strip_prefix(MASKED);
        let is_masked = unmasked.is_some();
        let rest = unmasked.unwrap_or(members.0);
        rest.starts_with(b",\"function\":\"").then_some(LoggedCall { error, is_masked, ..call })
    }
}

/// A value, or null.
struct Nullable<T>(Option<T>);

/// The members of an object that are not read yet, each after a comma.
struct Members<'a>(&'a [u8]);

impl<'a> Members<'a> {
    /// Skips the name of the next member, which is given as it is written. Its length is known when this is compiled, which makes
    /// the comparison fast.
    fn name<const N: usize>(&mut self, name: &[u8; N]) -> Option<()> {
        let (start, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        (start == name).then_some(())
    }

    /// A text without escapes, or null.
    fn text<const N: usize>(&mut self, name: &[u8; N]) -> Option<Nullable<&'a str>> {
        self.name(name)?;
        if let Some(rest) = self.0.strip_prefix(b"null") {
            self.0 = rest;
            return Some(Nullable(None));
        }
        let text = self.0.strip_prefix(b"\"")?;
        // The texts are short, so that a loop is faster than a search for many bytes at once.
        let end = text.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
        let (text, rest) = text.split_at_checked(end)?;
        self.0 = rest.strip_prefix(b"\"")?;
        Some(Nullable(Some(str::from_utf8(text).ok()?)))
    }

    /// A value that is not a text, a list or an object.
    fn value<const N: usize>(&mut self, name: &[u8; N]) -> Option<&'a str> {
        self.name(name)?;
        let (value, rest) = self.0.split_at_checked(memchr(b',', self.0)?)?;
        self.0 = rest;
        str::from_utf8(value).ok()
    }

    /// True or false, which is not needed.
    fn flag<const N: usize>(&mut self, name: &[u8; N]) -> Option<()> {
        ["true", "false"].contains(&self.value(name)?).then_some(())
    }

    /// A number, or null.
    fn number<const N: usize>(&mut self, name: &[u8; N]) -> Option<Nullable<f64>> {
        match self.value(name)? {
            "null" => Some(Nullable(None)),
            number if number.starts_with(|c: char| c.is_ascii_digit()) => {
                number.parse().ok().map(|it| Nullable(Some(it)))
            }
            _ => None,
        }
    }

    /// A list of media, or null.
    fn media(&mut self) -> Option<Nullable<MediaSet>> {
        self.name(b",\"media\":")?;
        let all = [
            (&b"[\"audio\"]"[..], Some((true, false))),
            (b"[\"audio\",\"video\"]", Some((true, true))),
            (b"[\"video\"]", Some((false, true))),
            (b"[]", Some((false, false))),
            (b"null", None),
        ];
        all.into_iter().find_map(|(text, media)| {
            self.0 = self.0.strip_prefix(text)?;
            Some(Nullable(media.map(|(audio, video)| MediaSet { audio, video })))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line as `src/log.rs` writes it.
    const LINE: &str = r#"{"timestamp":"2026-11-24T00:50:11.431641Z","level":"info","message":"decision","hook":"OnCallEvent","decision":"deny","reason":"no_rule","door":null,"rule":null,"app":"defaultApp","caller":"PPP009","callee":"PPP005","media":["audio"],"call_id":"x\"é","request_id":"local-1","cold_start":true,"store_ms":3.444,"total_ms":3.616,"units":4.0,"status":403,"function":"callgate","_aws":{"Timestamp":1795481411431,"CloudWatchMetrics":[]},"Decisions":1}"#;

    fn call() -> LoggedCall<'static> {
        let text = |text| Some(Cow::Borrowed(text));
        LoggedCall {
            timestamp: "2026-11-24T00:50:11.431641Z".parse::<Timestamp>().unwrap().as_microsecond(),
            hook: text("OnCallEvent"),
            decision: Decided::Deny,
            reason: "no_rule".into(),
            door: None,
            rule: None,
            app: text("defaultApp"),
            caller: text("PPP009"),
            callee: text("PPP005"),
            media: Some(MediaSet { audio: true, video: false }),
            call_id: text("x\"é"),
            request_id: text("local-1"),
            status: Some(403),
            store_ms: Some(3.444),
            total_ms: Some(3.616),
            error: None,
            is_masked: false,
        }
    }

    #[test]
    fn a_decision_is_read_in_every_form() {
        let string = serde_json::to_string(&format!("{LINE}\n")).unwrap();
        for line in [
            LINE.to_owned(),
            format!("  {LINE}\r"),
            format!("\u{feff}{LINE}"),
            format!("2026-11-24T00:50:11.431Z {LINE}"),
            format!("2026-11-24T00:50:11.431000+00:00 2026/11/24/[$LATEST]0123abcd {LINE}"),
            format!("EVENTS\t38\t1795481411500\t2026/11/24/[$LATEST]0123abcd\t{LINE}\t1795481411431"),
            string.clone(),
            format!("            \"message\": {string},"),
            format!("    {string},"),
            format!(r#"{{"logStreamName":"2026/11/24/[$LATEST]01","timestamp":1,"message":{string},"eventId":"1"}}"#),
        ] {
            assert_eq!(parse(line.as_bytes()), Some(call()), "{line}");
        }
    }

    /// The two ways to read a line agree, whatever is in it.
    #[test]
    fn a_line_in_the_usual_form_is_read_as_any_json() {
        fn fast(line: &str) -> Option<LoggedCall<'_>> {
            OwnLine::new(line.as_bytes())?.call()
        }
        let line = LINE.replace(r#"x\"é"#, "xé");
        assert_eq!(fast(LINE), None);
        assert_eq!(fast(&line).unwrap().call_id.as_deref(), Some("xé"));
        for (one, other) in [
            (
                r#""app":"defaultApp","caller":"PPP009","callee":"PPP005","media":["audio"]"#,
                r#""app":null,"caller":null,"callee":null,"media":null"#,
            ),
            (r#""store_ms":3.444"#, r#""store_ms":null"#),
            (r#"["audio"]"#, r#"["audio","video"]"#),
            (r#"["audio"]"#, "[]"),
            (r#""status":403,"#, r#""status":503,"error":"no","#),
            (r#""status":403,"#, r#""status":403,"masked":true,"#),
            (r#""status":403,"#, r#""status":503,"error":"no","masked":true,"#),
            (r#""level":"info""#, r#""level":"error""#),
            (r#""door":null,"rule":null"#, r#""door":"callee","rule":"*""#),
        ] {
            let changed = line.replace(one, other);
            assert!(changed != line && fast(&changed).is_some(), "{changed}");
            assert_eq!(fast(&changed), first_value::<Line<'_>>(changed.as_bytes()).unwrap().call());
        }
        // Every change of one character that is still read in this way is read alike in the other.
        for at in (0..line.len()).filter(|&at| line.is_char_boundary(at) && line.is_char_boundary(at + 1)) {
            for other in ["", "0", "\"", ",", "x", "\\", "}", "-"] {
                let mut changed = line.clone();
                changed.replace_range(at..=at, other);
                let Some(call) = fast(&changed) else { continue };
                match first_value::<Line<'_>>(changed.as_bytes()) {
                    Some(line) => assert_eq!(Some(call), line.call(), "{changed}"),
                    // The values of these are not read.
                    None => assert!(
                        ["cold_start", "units"].iter().any(|name| changed.find(name).is_some_and(|it| it < at))
                            || changed.find("function").is_some_and(|it| it < at),
                        "{changed}"
                    ),
                }
            }
        }
    }

    #[test]
    fn other_lines_are_not_decisions() {
        for line in [
            "",
            " ",
            "{",
            "{}",
            "null",
            "START RequestId: 1 Version: $LATEST",
            "REPORT RequestId: 1\tDuration: 1.5 ms",
            r#"{"timestamp":"2026-11-24T00:50:11.431641Z","level":"warn","message":"hooks are not authenticated"}"#,
            r#"{"timestamp":"2026-11-24T00:50:11.431641Z","level":"warn","message":"rejected","status":400,"error":"e","request_id":"1"}"#,
            r#"            "message": "START RequestId: 1\n","#,
        ] {
            assert_eq!(parse(line.as_bytes()), None, "{line}");
        }
        for end in 0..LINE.len() {
            assert_eq!(parse(&LINE.as_bytes()[..end]), None, "cut after {end} bytes");
        }
        assert_eq!(parse(&LINE.replace("deny", "maybe").into_bytes()), None);
        assert_eq!(parse(&LINE.replace("T00:50", "T24:50").into_bytes()), None);
    }

    #[test]
    fn the_time_of_every_day_is_read() {
        for date in ["1970-01-01", "2024-02-29", "2026-02-28", "2026-03-01", "2026-11-30", "2026-12-31", "2100-01-01"] {
            let text = format!("{date}T23:59:58.000001Z");
            let expected = text.parse::<Timestamp>().unwrap().as_microsecond();
            assert_eq!(timestamp(&text), Some(expected));
            assert_eq!(utc_timestamp(text.as_bytes()).is_some(), !date.ends_with("02-29"));
        }
        for text in ["2026-02-29", "2026-11-31", "2026-13-01", "2026-00-01"] {
            assert_eq!(timestamp(&format!("{text}T00:00:00.000000Z")), None, "{text}");
        }
    }
}
