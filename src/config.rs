//! Configuration: the only place with the names of environment variables.

use std::ffi::OsString;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use aws_sdk_dynamodb::config::Credentials;
use callgate_core::PhoneRegion;
use ipnet::IpNet;
use lambda_http::http::Uri;

use crate::authentication::Secret;
use crate::hook::{GatedHooks, OtherHooks};
use crate::log::{Level, LogSettings};
use crate::store;
use crate::store::client::Connection;

/// The shortest time a decision may spend reading. A request to DynamoDB needs part of it.
const MIN_DEADLINE_MS: u64 = 50;

/// The longest time a decision may spend reading: WCS is advised to wait 10 seconds at most for the answer.
const MAX_DEADLINE_MS: u64 = 10_000;

/// The longest time an app's item may be reused. A change of the app, such as its suspension, may take effect only
/// after that.
const MAX_APP_CACHE_SECONDS: u64 = 3_600;

/// The most calls that the function takes at once. Lambda allows 1,600. Each call costs a task and a connection.
const MAX_CONCURRENCY: u32 = 10_000;

/// Everything an operator can set, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// How and where permissions are read.
    pub store: store::Settings,
    /// Keys a hook may be signed with. If there are none, signatures are not checked.
    pub secrets: Vec<Secret>,
    /// The addresses that hooks may come from; `None` allows all.
    pub allowed_sources: Option<Vec<IpNet>>,
    /// The hooks whose answer decides whether a call goes through.
    pub gated_hooks: GatedHooks,
    /// The answer to all hooks but these and `connect`.
    pub other_hooks: OtherHooks,
    /// Whether a call goes through when permissions cannot be read.
    pub allow_on_store_failure: bool,
    /// The country whose dialling habits complete national numbers. `None` keeps numbers as they come.
    pub phone_region: Option<PhoneRegion>,
    /// Which lines are logged, and how.
    pub log: LogSettings,
}

/// What is wrong with the environment: each variable with its value and the expected one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(Vec<String>);

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

/// Looks up a variable in the environment of the process.
#[must_use]
pub fn process_environment(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

impl Config {
    /// Reads the configuration of the hook.
    ///
    /// # Errors
    /// When a required variable is missing or a variable has a wrong value; the error names all of them.
    pub fn read(lookup: impl Fn(&str) -> Option<OsString>) -> Result<Self, ConfigError> {
        let mut env = Environment::new(&lookup);
        let config = Self {
            store: store::Settings {
                table: env.required("TABLE_NAME", "a DynamoDB table's name or ARN", table),
                strong_reads: env.word("READ_CONSISTENCY", &[("strong", true), ("eventual", false)]),
                app_cache: Duration::from_secs(env.number("APP_CACHE_SECONDS", 5, 0, MAX_APP_CACHE_SECONDS)),
                deadline: Duration::from_millis(env.number(
                    "STORE_DEADLINE_MS",
                    1_500,
                    MIN_DEADLINE_MS,
                    MAX_DEADLINE_MS,
                )),
            },
            secrets: env.secrets("WCS_HOOK_SECRET"),
            allowed_sources: env.optional(
                "ALLOWED_SOURCES",
                "a list of CIDRs or addresses, separated by commas",
                cidrs,
            ),
            gated_hooks: env
                .optional("GATED_HOOKS", "`OnCallEvent` or `OnCallEvent,call`", GatedHooks::parse)
                .unwrap_or_default(),
            other_hooks: env.word("OTHER_HOOKS", &[("echo", OtherHooks::Echo), ("refuse", OtherHooks::Refuse)]),
            allow_on_store_failure: env.word("ON_STORE_FAILURE", &[("deny", false), ("allow", true)]),
            phone_region: env.optional(
                "PHONE_REGION",
                "the ISO 3166 code of a country, such as `US` or `DE`",
                |code| code.parse().ok(),
            ),
            log: LogSettings {
                level: env.word(
                    "LOG_LEVEL",
                    &[("info", Level::Info), ("error", Level::Error), ("warn", Level::Warn), ("debug", Level::Debug)],
                ),
                mask_parties: env.word("LOG_PARTIES", &[("plain", false), ("masked", true)]),
                function: env.value("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_else(|| "callgate".to_owned()),
                output: None,
            },
        };
        env.finish(config)
    }
}

/// Reads how to connect to DynamoDB from the variables that Lambda sets: region, credentials, endpoint.
///
/// # Errors
/// When region or credentials are missing, or the endpoint is not an HTTP URL.
pub fn read_connection(lookup: impl Fn(&str) -> Option<OsString>) -> Result<Connection, ConfigError> {
    let mut env = Environment::new(&lookup);
    let default_region = env.optional("AWS_DEFAULT_REGION", "an AWS region", region);
    let region = match default_region {
        Some(default) => env.optional("AWS_REGION", "an AWS region", region).unwrap_or(default),
        None => env.required("AWS_REGION", "an AWS region", region),
    };
    let [access_key_id, secret_access_key] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]
        .map(|name| env.present(name, "the function's credentials", |env| env.credential(name)));
    let session_token = env.credential("AWS_SESSION_TOKEN");
    let [for_dynamodb, for_all] = ["AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL"]
        .map(|name| env.optional(name, "an http:// or https:// URL", http_url));
    let [use_fips, use_dual_stack] = ["AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"]
        .map(|name| env.word(name, &[("false", false), ("true", true)]));
    let credentials = Credentials::new(access_key_id, secret_access_key, session_token, None, "Lambda");
    let endpoint_url = for_dynamodb.or(for_all);
    env.finish(Connection { region, credentials, endpoint_url, use_fips, use_dual_stack })
}

/// Checks the variables that the Lambda runtime needs, because it would panic on a missing or wrong one. Returns how many
/// calls Lambda may send at once (AWS Lambda Developer Guide, "Lambda Managed Instances").
///
/// # Errors
/// When one of Lambda's own variables is missing or has a value that Lambda would not set.
pub fn check_lambda(lookup: impl Fn(&str) -> Option<OsString>) -> Result<u32, ConfigError> {
    let mut env = Environment::new(&lookup);
    env.of_lambda("AWS_LAMBDA_RUNTIME_API", "HOST:PORT", |value| is_runtime_api(value).then_some(()));
    env.of_lambda("AWS_LAMBDA_FUNCTION_NAME", "a name", |_| Some(()));
    env.of_lambda("AWS_LAMBDA_FUNCTION_VERSION", "a version", |_| Some(()));
    env.of_lambda("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "megabytes", |value| value.parse::<i32>().ok());
    let concurrency = "AWS_LAMBDA_MAX_CONCURRENCY";
    let mut max_concurrency = 1;
    if env.value(concurrency).is_some() {
        let expected = format!("a whole number from 1 to {MAX_CONCURRENCY}");
        let parse = |value: &str| value.parse().ok().filter(|number| (1..=MAX_CONCURRENCY).contains(number));
        max_concurrency = env.of_lambda(concurrency, &expected, parse).unwrap_or(1);
    }
    env.finish(max_concurrency)
}

/// The variables, and the problems found with them so far.
struct Environment<'a> {
    lookup: &'a dyn Fn(&str) -> Option<OsString>,
    problems: Vec<String>,
}

impl<'a> Environment<'a> {
    fn new(lookup: &'a dyn Fn(&str) -> Option<OsString>) -> Self {
        Self { lookup, problems: Vec::new() }
    }

    fn finish<T>(self, value: T) -> Result<T, ConfigError> {
        if self.problems.is_empty() { Ok(value) } else { Err(ConfigError(self.problems)) }
    }

    /// An empty variable counts as not set, because a template sets it to an empty text if a parameter has no value.
    fn value(&mut self, name: &str) -> Option<String> {
        let value = self.exact_value(name)?.trim().to_owned();
        (!value.is_empty()).then_some(value)
    }

    fn exact_value(&mut self, name: &str) -> Option<String> {
        let value = (self.lookup)(name)?.into_string();
        // It may be a secret.
        value.inspect_err(|_| self.problems.push(format!("{name} is not UTF-8 (not shown)"))).ok()
    }

    fn optional<T>(&mut self, name: &str, expected: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let value = self.value(name)?;
        let parsed = parse(&value);
        if parsed.is_none() {
            self.problems.push(format!("{name} is `{value}`; expected {expected}"));
        }
        parsed
    }

    fn required<T: Default>(&mut self, name: &str, expected: &str, parse: impl FnOnce(&str) -> Option<T>) -> T {
        self.present(name, expected, |env| env.optional(name, expected, parse))
    }

    /// A value that must be set. If it is wrong, `read` has added a problem already.
    fn present<T: Default>(&mut self, name: &str, expected: &str, read: impl FnOnce(&mut Self) -> Option<T>) -> T {
        let known = self.problems.len();
        let value = read(self);
        if value.is_none() && self.problems.len() == known {
            self.problems.push(format!("{name} is not set; expected {expected}"));
        }
        value.unwrap_or_default()
    }

    /// A variable that the Lambda runtime reads by itself. If the value has white space around it, the runtime panics or
    /// ignores it.
    fn of_lambda<T>(&mut self, name: &str, expected: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let expected = format!("{expected}, set by AWS Lambda");
        let Some(value) = self.exact_value(name) else {
            self.problems.push(format!("{name} is not set; expected {expected}"));
            return None;
        };
        let parsed = if value.is_empty() || value.trim() != value { None } else { parse(&value) };
        if parsed.is_none() {
            self.problems.push(format!("{name} is `{value}`; expected {expected}"));
        }
        parsed
    }

    /// A part of the credentials. It is a signing key or is sent in a header, and is never shown.
    fn credential(&mut self, name: &str) -> Option<String> {
        let value = self.value(name)?;
        if !value.bytes().all(|byte| byte.is_ascii_graphic()) {
            self.problems.push(format!("{name} holds a character that credentials cannot have (not shown)"));
        }
        Some(value)
    }

    fn number(&mut self, name: &str, default: u64, least: u64, most: u64) -> u64 {
        let expected = format!("a whole number from {least} to {most}");
        self.optional(name, &expected, |value| u64::from_str(value).ok().filter(|it| (least..=most).contains(it)))
            .unwrap_or(default)
    }

    /// One of a few words, in upper or lower case; the first is the default.
    fn word<T: Copy + Default>(&mut self, name: &str, words: &[(&str, T)]) -> T {
        let expected = words.iter().map(|(word, _)| format!("`{word}`")).collect::<Vec<_>>().join(" or ");
        let find = |value: &str| words.iter().find(|(word, _)| word.eq_ignore_ascii_case(value)).map(|(_, it)| *it);
        let default = words.first().map(|(_, it)| *it).unwrap_or_default();
        self.optional(name, &expected, find).unwrap_or(default)
    }

    /// Up to two secrets. Errors never show their values.
    fn secrets(&mut self, name: &str) -> Vec<Secret> {
        let Some(value) = self.exact_value(name).filter(|value| !value.is_empty()) else { return Vec::new() };
        // Without a secret every hook would be accepted, which a mistake must not bring about.
        if value.trim().is_empty() {
            self.problems.push(format!("{name} holds only white space; expected a secret, or nothing at all"));
            return Vec::new();
        }
        let secrets: Vec<_> = value.split(',').map(str::trim).collect();
        if secrets.len() > 2 || secrets.iter().any(|secret| secret.is_empty()) {
            let count = secrets.len();
            self.problems.push(format!(
                "{name} holds {count} parts (not shown); expected one secret, or two separated by a comma"
            ));
        }
        secrets.into_iter().map(Secret::new).collect()
    }
}

/// DynamoDB Developer Guide, "Naming rules": 3 to 255 of these characters, or an ARN.
fn table(value: &str) -> Option<String> {
    let name = match value.strip_prefix("arn:") {
        Some(arn) => arn.split_once(":table/")?.1,
        None => value,
    };
    let is_name = (3..=255).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    is_name.then(|| value.to_owned())
}

/// A region becomes a part of a host name, so it must be a valid label.
fn region(value: &str) -> Option<String> {
    let is_label = value.len() <= 63 && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    is_label.then(|| value.to_owned())
}

/// Whether this is an absolute `http://` or `https://` URL.
#[must_use]
pub fn is_http_url(value: &str) -> bool {
    let is_absolute = |uri: Uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some();
    Uri::from_str(value).is_ok_and(is_absolute)
}

fn http_url(value: &str) -> Option<String> {
    is_http_url(value).then(|| value.to_owned())
}

/// Lambda sets `HOST:PORT`; emulators may set a URL.
fn is_runtime_api(value: &str) -> bool {
    Uri::from_str(value).is_ok_and(|uri| uri.authority().is_some())
}

fn cidrs(value: &str) -> Option<Vec<IpNet>> {
    let one = |source: &str| source.parse().ok().or_else(|| source.parse().ok().map(|it: IpAddr| it.into()));
    value.split(',').map(|source| one(source.trim()).map(canonical)).collect()
}

/// IPv4 networks written as IPv6 ones (`::ffff:192.0.2.0/120`) as IPv4 networks, which source addresses are compared with.
fn canonical(net: IpNet) -> IpNet {
    let as_ipv4 = match net.addr().to_canonical() {
        IpAddr::V4(address) if matches!(net, IpNet::V6(_)) => {
            net.prefix_len().checked_sub(96).and_then(|length| IpNet::new(address.into(), length).ok())
        }
        _ => None,
    };
    as_ipv4.unwrap_or(net)
}
