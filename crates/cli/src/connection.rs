//! Which `DynamoDB`, as whom: the options every command takes, and credentials as every AWS tool takes them.

use std::error::Error;
use std::time::{Duration, SystemTime};

use anyhow::anyhow;
use aws_config::BehaviorVersion;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{Credentials, Region};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_types::SdkConfig;
use callgate::store::client;
use callgate_core::{AppKey, DialPlan, EpochSeconds, PartyId, Pattern};
use clap::{Args, ValueEnum};

use crate::outcome::usage;

/// How long a command may spend on one request, retries included.
const DEADLINE: Duration = Duration::from_secs(30);

/// How long finding out the AWS identity may take; without an answer the operating system's user is written down.
const IDENTITY_DEADLINE: Duration = Duration::from_secs(3);

/// Where the permissions are.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Options {
    /// The permission table
    #[arg(long, global = true, env = "TABLE_NAME", value_name = "NAME")]
    pub(crate) table: Option<String>,
    /// Another DynamoDB endpoint, such as a local one
    #[arg(long, global = true, env = "AWS_ENDPOINT_URL_DYNAMODB", value_name = "URL")]
    pub(crate) endpoint_url: Option<String>,
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

/// Whom the output is for.
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
    pub(crate) async fn client(&self, deadline: Duration) -> Client {
        connect(&self.load().await, deadline)
    }

    /// The table that was named, not yet asked anything.
    pub(crate) async fn open(&self) -> anyhow::Result<Table> {
        let name = self.table_name()?;
        let plan = self.dial_plan()?;
        let config = self.load().await;
        let client = connect(&config, DEADLINE);
        if client.config().region().is_none() {
            return Err(usage("no AWS region is known; give one with --region or AWS_REGION"));
        }
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_elsewhere = self.endpoint_url.is_some() || set("AWS_ENDPOINT_URL_DYNAMODB") || set("AWS_ENDPOINT_URL");
        Ok(Table { client, name, plan, output: self.output, config, is_elsewhere, endpoint: self.endpoint_url.clone() })
    }

    fn table_name(&self) -> anyhow::Result<String> {
        let name = self.table.clone().filter(|name| !name.trim().is_empty());
        name.ok_or_else(|| usage("no table is named; name one with --table or TABLE_NAME"))
    }

    /// The dial plan, by which the function must read numbers too. What is empty counts as not set.
    pub(crate) fn dial_plan(&self) -> anyhow::Result<DialPlan> {
        let part = |part: &Option<String>| part.clone().map(|it| it.trim().to_owned()).filter(|it| !it.is_empty());
        let [country, trunk, international] =
            [&self.country_code, &self.trunk_prefix, &self.international_prefix].map(part);
        DialPlan::new(country.as_deref(), trunk.as_deref(), international.as_deref())
            .map_err(|error| usage(format!("{error}; check --country-code, --trunk-prefix and --international-prefix")))
    }

    async fn load(&self) -> SdkConfig {
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(client::https_client());
        if let Some(region) = &self.region {
            loader = loader.region(Region::new(region.clone()));
        } else if self.endpoint_url.as_deref().is_some_and(is_loopback) && !set("AWS_REGION") && self.profile.is_none()
        {
            // A stand-in has no regions, and takes any.
            loader = loader.region(Region::new("local"));
        }
        if let Some(profile) = &self.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(url) = &self.endpoint_url {
            loader = loader.endpoint_url(url);
            // What listens on this machine is a stand-in, which asks for a signature and takes any.
            if self.profile.is_none() && is_loopback(url) && !set("AWS_ACCESS_KEY_ID") {
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
    pub(crate) fn failed<E, R>(&self, error: &SdkError<E, R>) -> anyhow::Error
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
        R: std::fmt::Debug + Send + Sync + 'static,
    {
        if error.as_service_error().and_then(ProvideErrorMetadata::code) == Some("ResourceNotFoundException") {
            return anyhow!("there is no table `{0}`; make it with `callgatectl table create --table {0}`", self.name);
        }
        if lacks_credentials(error) {
            return anyhow!(
                "no AWS credentials were found; give a profile with --profile or AWS_PROFILE, or sign in with \
                 `aws sso login`"
            );
        }
        let text = client::describe(error);
        match &self.endpoint {
            // A request that got no answer at all names no address.
            Some(url) if matches!(error, SdkError::DispatchFailure(_) | SdkError::TimeoutError(_)) => {
                anyhow!("{url} cannot be reached: {text}")
            }
            _ => anyhow!(text),
        }
    }
}

fn set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}

fn is_loopback(url: &str) -> bool {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest).split('/').next().unwrap_or_default();
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    matches!(host, "localhost" | "[::1]") || host.starts_with("127.")
}

fn lacks_credentials(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<CredentialsError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The time of the command, which the core does not know by itself.
pub(crate) fn now() -> EpochSeconds {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).as_ref().map_or(0, Duration::as_secs);
    EpochSeconds::try_from(since).unwrap_or(EpochSeconds::MAX)
}
