//! Which `DynamoDB`, as whom: the options every command takes, and credentials as every AWS tool takes them.

use std::error::Error;
use std::time::{Duration, SystemTime};

use anyhow::anyhow;
use aws_config::BehaviorVersion;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::config::{Credentials, Region};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_types::SdkConfig;
use callgate::config::is_http_url;
use callgate::handler::epoch_seconds;
use callgate::store::client;
use callgate_core::{AppKey, DialPlan, EpochSeconds, PartyId, Pattern};
use clap::{Args, ValueEnum};

use crate::outcome::usage;

/// How long a command may spend on one request, retries included.
const DEADLINE: Duration = Duration::from_secs(30);

/// How to come by credentials.
const SIGN_IN: &str = "give a profile with --profile or AWS_PROFILE, or sign in with `aws sso login`";

/// How long finding out the AWS identity may take; without an answer the operating system's user is written down.
const IDENTITY_DEADLINE: Duration = Duration::from_secs(3);

/// Where the permissions are.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Options {
    /// The permission table
    #[arg(long, global = true, env = "TABLE_NAME", value_name = "NAME")]
    table: Option<String>,
    /// Another DynamoDB endpoint, such as a local one
    #[arg(long, global = true, env = "AWS_ENDPOINT_URL_DYNAMODB", value_name = "URL")]
    endpoint_url: Option<String>,
    /// The AWS region
    #[arg(long, global = true, value_name = "REGION")]
    region: Option<String>,
    /// The profile of the AWS configuration files
    #[arg(long, global = true, value_name = "PROFILE")]
    profile: Option<String>,
    /// What people read, or what programs do
    #[arg(long, global = true, value_enum, default_value_t = Output::Text, value_name = "FORM")]
    pub(crate) output: Output,
    /// Dial plan: what replaces the trunk prefix, such as 7
    #[arg(long, global = true, env = "COUNTRY_CODE", value_name = "DIGITS", hide_env_values = true)]
    pub(crate) country_code: Option<String>,
    /// Dial plan: what a national number starts with, such as 8
    #[arg(long, global = true, env = "TRUNK_PREFIX", value_name = "DIGITS", hide_env_values = true)]
    pub(crate) trunk_prefix: Option<String>,
    /// Dial plan: what an international number starts with instead of +, such as 810
    #[arg(long, global = true, env = "INTERNATIONAL_PREFIX", value_name = "DIGITS", hide_env_values = true)]
    pub(crate) international_prefix: Option<String>,
}

/// The audience of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// The permission table, connected to.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) client: Client,
    pub(crate) name: String,
    pub(crate) plan: DialPlan,
    pub(crate) output: Output,
    config: SdkConfig,
    /// Not AWS, so there is no identity to ask AWS for.
    is_elsewhere: bool,
    /// The endpoint that was given.
    endpoint: Option<String>,
}

impl Options {
    /// A client with credentials, region and endpoint from options, environment and AWS configuration files.
    pub(crate) async fn client(&self, deadline: Duration) -> anyhow::Result<Client> {
        Ok(connect(&self.load(self.endpoint()?).await, deadline))
    }

    /// The table that was named, not yet asked anything.
    pub(crate) async fn open(&self) -> anyhow::Result<Table> {
        let name = self.table().ok_or_else(|| usage("no table is named; name one with --table or TABLE_NAME"))?;
        let plan = self.dial_plan()?;
        let endpoint = self.endpoint()?;
        let config = self.load(endpoint).await;
        let client = connect(&config, DEADLINE);
        if client.config().region().is_none() {
            let profile = self.profile.as_ref();
            let profile = profile.map(|name| format!(": profile `{name}` is not there, or names none"));
            let profile = profile.unwrap_or_default();
            return Err(usage(format!("no AWS region is known{profile}; give one with --region or AWS_REGION")));
        }
        let is_elsewhere = endpoint.is_some() || is_set("AWS_ENDPOINT_URL");
        let endpoint = endpoint.map(str::to_owned);
        Ok(Table { client, name: name.to_owned(), plan, output: self.output, config, is_elsewhere, endpoint })
    }

    /// The table's name, where one is given.
    pub(crate) fn table(&self) -> Option<&str> {
        given(self.table.as_deref())
    }

    /// The endpoint, where one is given.
    pub(crate) fn endpoint(&self) -> anyhow::Result<Option<&str>> {
        let Some(url) = given(self.endpoint_url.as_deref()) else { return Ok(None) };
        if is_http_url(url) {
            Ok(Some(url))
        } else {
            Err(usage(format!("the endpoint `{url}` is no URL, such as `http://127.0.0.1:8000`")))
        }
    }

    /// The dial plan, by which the function must read numbers too. What is empty counts as not set.
    pub(crate) fn dial_plan(&self) -> anyhow::Result<DialPlan> {
        let [country, trunk, international] =
            [&self.country_code, &self.trunk_prefix, &self.international_prefix].map(|part| given(part.as_deref()));
        DialPlan::new(country, trunk, international)
            .map_err(|error| usage(format!("{error}; check --country-code, --trunk-prefix and --international-prefix")))
    }

    async fn load(&self, endpoint: Option<&str>) -> SdkConfig {
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(client::https_client());
        if let Some(region) = &self.region {
            loader = loader.region(Region::new(region.clone()));
        } else if endpoint.is_some_and(is_loopback) && !is_set("AWS_REGION") && self.profile.is_none() {
            // A stand-in has no regions, and takes any that exists.
            loader = loader.region(Region::new("us-east-1"));
        }
        if let Some(profile) = &self.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(url) = endpoint {
            loader = loader.endpoint_url(url);
            // What listens on this machine is a stand-in, which asks for a signature and takes any.
            if self.profile.is_none() && is_loopback(url) && !is_set("AWS_ACCESS_KEY_ID") {
                loader = loader.credentials_provider(Credentials::new("local", "local", None, None, "local stand-in"));
            }
        }
        loader.load().await
    }
}

fn connect(config: &SdkConfig, deadline: Duration) -> Client {
    let config = aws_sdk_dynamodb::config::Builder::from(config);
    Client::from_conf(client::within(config, deadline).build())
}

impl Table {
    /// An app's key as it was typed.
    pub(crate) fn app(text: &str) -> anyhow::Result<AppKey> {
        AppKey::new(text).map_err(|error| usage(format!("the app `{text}` {error}")))
    }

    /// A party as it was typed.
    pub(crate) fn party(&self, text: &str) -> anyhow::Result<PartyId> {
        if text.trim().is_empty() {
            return Err(usage("a party is empty; `anonymous` is who withholds the number"));
        }
        PartyId::new(text, &self.plan).map_err(|error| usage(format!("the party `{text}` {error}")))
    }

    /// A pattern as it was typed.
    pub(crate) fn pattern(&self, text: &str) -> anyhow::Result<Pattern> {
        if text.trim().is_empty() {
            return Err(usage("a pattern is empty; write `*` for everyone and `anonymous` for withheld callers"));
        }
        Pattern::new(text, &self.plan).map_err(|error| usage(format!("the pattern `{text}` {error}")))
    }

    /// Who writes: the AWS identity, or the user of this machine where AWS is not asked or does not answer.
    pub(crate) async fn writer(&self) -> String {
        let user = || whoami::username().unwrap_or_else(|_| "unknown".to_owned());
        if self.is_elsewhere {
            return user();
        }
        let identity = aws_sdk_sts::Client::new(&self.config).get_caller_identity().send();
        match tokio::time::timeout(IDENTITY_DEADLINE, identity).await {
            Ok(Ok(identity)) => identity.arn().map_or_else(user, str::to_owned),
            // Whoever may write permissions may still not be let through to STS.
            _ => user(),
        }
    }

    /// What a failed request means to whoever typed the command.
    pub(crate) fn failed<E>(&self, error: &SdkError<E, HttpResponse>) -> anyhow::Error
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        if let Some(why) = lacks_credentials(error) {
            return anyhow!("there are no AWS credentials: {why}; {SIGN_IN}");
        }
        let text = client::describe(error);
        let endpoint = self.endpoint.as_deref();
        match (error.as_service_error().and_then(ProvideErrorMetadata::code), endpoint) {
            (Some("ResourceNotFoundException"), _) => self.is_missing(),
            (Some("ExpiredTokenException" | "UnrecognizedClientException" | "InvalidSignatureException"), _) => {
                anyhow!("{text}; {SIGN_IN}")
            }
            (Some("AccessDeniedException"), _) => {
                anyhow!("{text}; docs/operations.md lists what the tool must be allowed")
            }
            // Where the keys are others than those asked for.
            (Some("ValidationException"), _) if text.contains("schema") => {
                anyhow!("{text}; `callgatectl table describe` says what differs")
            }
            (None, Some(url)) => match error.raw_response() {
                Some(answer) => anyhow!("{url} does not answer as DynamoDB does: status {}", answer.status()),
                // A request that got no answer at all names no address.
                None => anyhow!("{url} cannot be reached: {text}"),
            },
            _ => anyhow!(text),
        }
    }

    /// There is no such table, and what to do about it.
    pub(crate) fn is_missing(&self) -> anyhow::Error {
        anyhow!("there is no table `{0}`; make it with `callgatectl table create --table {0}`", self.name)
    }
}

/// What is empty counts as not given.
fn given(option: Option<&str>) -> Option<&str> {
    option.map(str::trim).filter(|text| !text.is_empty())
}

fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}

fn is_loopback(url: &str) -> bool {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest).split('/').next().unwrap_or_default();
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    matches!(host, "localhost" | "[::1]") || host.starts_with("127.")
}

/// Why there are no credentials, where that is what failed: the innermost cause, which knows.
fn lacks_credentials(error: &(dyn Error + 'static)) -> Option<String> {
    let causes = || std::iter::successors(Some(error), |&error| error.source());
    if !causes().any(<dyn Error>::is::<CredentialsError>) {
        return None;
    }
    let why = causes().last().map(ToString::to_string)?;
    // Where nothing was found, it lists every place that was looked at.
    Some(if why.contains('\n') { "none were found".to_owned() } else { why })
}

/// The time of the command, which the core does not know by itself.
pub(crate) fn now() -> EpochSeconds {
    epoch_seconds(SystemTime::now())
}
