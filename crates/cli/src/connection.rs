//! The global options: which table, at which endpoint, with which credentials.

use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::ecs::EcsCredentialsProvider;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{Credentials, Region, SharedCredentialsProvider};
use aws_types::SdkConfig;
use aws_types::os_shim_internal::{Env, Fs};
use callgate::config::is_http_url;
use callgate::store::client;
use callgate_admin::decision_log::cloudwatch::patient;
use callgate_admin::history::DEFAULT_KEEP_DAYS;
use callgate_admin::wording::quote;
use callgate_admin::{Author, Table};
use callgate_core::PhoneRegion;
use clap::Args;

use crate::exit::usage;
use crate::output::{Output, print_note};
use crate::time::now;

/// How long a command may spend on one request, retries included.
const DEADLINE: Duration = Duration::from_secs(30);

/// How long the lookup of the AWS identity may take. After that, the operating system's user is recorded.
const IDENTITY_DEADLINE: Duration = Duration::from_secs(3);

/// The options that every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArgs {
    /// The permission table
    #[arg(long, global = true, env = "TABLE_NAME", value_name = "NAME", allow_hyphen_values = true)]
    table: Option<String>,
    /// Another DynamoDB endpoint, such as a local one
    #[arg(long, global = true, env = "AWS_ENDPOINT_URL_DYNAMODB", value_name = "URL")]
    endpoint_url: Option<String>,
    /// The AWS region
    #[arg(long, global = true, value_name = "REGION")]
    region: Option<String>,
    /// The profile in the AWS configuration files
    #[arg(long, global = true, value_name = "PROFILE", allow_hyphen_values = true)]
    profile: Option<String>,
    /// The output format: text for people, JSON for programs
    #[arg(long, global = true, value_enum, default_value_t = Output::Text, value_name = "FORMAT")]
    pub(crate) output: Output,
    /// The country whose dialling habits complete national numbers, such as US or DE; the function must have the same
    #[arg(long, global = true, env = "PHONE_REGION", value_name = "COUNTRY", hide_env_values = true)]
    phone_region: Option<String>,
    /// How many days the history keeps what the command changes
    #[arg(long, global = true, env = "CALLGATE_KEEP_DAYS", value_name = "DAYS", default_value_t = DEFAULT_KEEP_DAYS, hide_env_values = true)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=3_650))]
    keep: u16,
}

/// A value that was given, and the option or the variable that gave it.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) value: String,
    pub(crate) name: &'static str,
}

impl Source {
    fn of(value: &str, option: &'static str, variable: &'static str) -> Self {
        let is_variable = std::env::var(variable).is_ok_and(|text| text.trim() == value);
        Self { value: value.to_owned(), name: if is_variable { variable } else { option } }
    }

    /// The variable that gave it, in brackets after a space. Empty for an option.
    pub(crate) fn variable(&self) -> String {
        if self.is_option() { String::new() } else { format!(" ({})", self.name) }
    }

    /// Whether an option of the command line gave it.
    pub(crate) fn is_option(&self) -> bool {
        self.name.starts_with("--")
    }
}

/// The permission table, and the format of the output.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    pub(crate) table: Table,
    pub(crate) output: Output,
    config: SdkConfig,
    /// Without AWS there is no AWS identity to look up.
    is_aws: bool,
    keep_days: u16,
}

impl GlobalArgs {
    /// Connects to the table. Nothing is sent yet.
    pub(crate) async fn open(&self) -> anyhow::Result<Connection> {
        let name = self.table_name().ok_or_else(|| usage("no table is given; name one with --table or TABLE_NAME"))?;
        self.open_table(name).await
    }

    /// Connects to a table by its name. Nothing is sent yet.
    pub(crate) async fn open_table(&self, name: &str) -> anyhow::Result<Connection> {
        let phone_region = self.phone_region()?;
        let endpoint = self.endpoint()?;
        let config = self.load(endpoint).await?;
        let client = connect(&config, DEADLINE);
        let is_aws = endpoint.is_none() && !is_set("AWS_ENDPOINT_URL");
        let table = Table::new(client, name, phone_region, endpoint).on_scan(print_note);
        Ok(Connection { table, output: self.output, config, is_aws, keep_days: self.keep })
    }

    /// Where the table is. Nothing is sent to it. If the account is not given, AWS is asked whose credentials these are.
    pub(crate) async fn place(&self, account: Option<&str>) -> anyhow::Result<Place> {
        let connection = self.open().await?;
        let name = connection.table.name();
        if let Some(arn) = name.strip_prefix("arn:") {
            return Place::of_arn(arn)
                .ok_or_else(|| usage(format!("`{name}` is not the ARN of a table; check --table")));
        }
        // A local server is in no region, so the one in the configuration may be made up.
        let is_chosen = connection.is_aws || self.region.is_some() || is_set("AWS_REGION") || self.profile.is_some();
        let region = connection.config.region().filter(|_| is_chosen).map(ToString::to_string);
        let region = region.ok_or_else(|| usage("no AWS region is given; give one with --region or AWS_REGION"))?;
        let account = match given(account) {
            Some(account) => account.to_owned(),
            None => connection.account().await?,
        };
        Ok(Place { region, account, table: name.to_owned() })
    }

    /// Whether the table is on this machine.
    pub(crate) fn is_local(&self) -> anyhow::Result<bool> {
        Ok(self.endpoint()?.is_some_and(is_loopback))
    }

    /// A client for CloudWatch Logs, with credentials and region as for the table. The table's endpoint is not used for it.
    pub(crate) async fn logs_client(&self) -> anyhow::Result<aws_sdk_cloudwatchlogs::Client> {
        let config = aws_sdk_cloudwatchlogs::config::Builder::from(&self.load(None).await?);
        Ok(aws_sdk_cloudwatchlogs::Client::from_conf(patient(config).build()))
    }

    /// Checks that the profile exists. Without it, a container's or an instance's credentials must not be used instead.
    #[expect(
        clippy::default_trait_access,
        reason = "the type of the default files is in a crate that is not a dependency"
    )]
    async fn check_profile(&self) -> anyhow::Result<()> {
        let Some(profile) = &self.profile else { return Ok(()) };
        match aws_config::profile::load(&Fs::real(), &Env::real(), &Default::default(), None).await {
            Ok(profiles) if profiles.get_profile(profile).is_none() => {
                Err(usage(format!("the profile `{profile}` is not in the AWS configuration files; check --profile")))
            }
            // An invalid file is reported when the credentials are used.
            _ => Ok(()),
        }
    }

    /// How many days the history keeps a change.
    pub(crate) fn keep_days(&self) -> u16 {
        self.keep
    }

    /// The table's name, if one is given.
    pub(crate) fn table_name(&self) -> Option<&str> {
        given(self.table.as_deref())
    }

    /// The endpoint, if one is given.
    pub(crate) fn endpoint(&self) -> anyhow::Result<Option<&str>> {
        let Some(url) = given(self.endpoint_url.as_deref()) else { return Ok(None) };
        if is_http_url(url) {
            Ok(Some(url))
        } else {
            Err(usage(format!("the endpoint `{url}` is not a URL, such as `http://127.0.0.1:8000`")))
        }
    }

    /// The table's name and the option or variable that gives it.
    pub(crate) fn table_source(&self) -> Option<Source> {
        self.table_name().map(|name| Source::of(name, "--table", "TABLE_NAME"))
    }

    /// The endpoint and the option or variable that gives it, including the variable for all services of AWS, which the SDK
    /// reads.
    pub(crate) fn endpoint_source(&self) -> anyhow::Result<Option<Source>> {
        const FOR_ALL: &str = "AWS_ENDPOINT_URL";
        if let Some(url) = self.endpoint()? {
            return Ok(Some(Source::of(url, "--endpoint-url", "AWS_ENDPOINT_URL_DYNAMODB")));
        }
        let url = std::env::var(FOR_ALL).ok();
        let Some(url) = given(url.as_deref()) else { return Ok(None) };
        if !is_http_url(url) {
            return Err(usage(format!("{FOR_ALL} is `{url}`, not a URL, such as `http://127.0.0.1:8000`")));
        }
        Ok(Some(Source { value: url.to_owned(), name: FOR_ALL }))
    }

    /// The options that only a connection to AWS or another server uses.
    pub(crate) fn aws_options(&self) -> Vec<&'static str> {
        let options = [("--region", self.region.is_some()), ("--profile", self.profile.is_some())];
        options.into_iter().filter(|(_, is_given)| *is_given).map(|(option, _)| option).collect()
    }

    /// The country whose dialling habits complete numbers, if one is given.
    pub(crate) fn phone_region(&self) -> anyhow::Result<Option<PhoneRegion>> {
        let Some(code) = given(self.phone_region.as_deref()) else { return Ok(None) };
        let parsed =
            code.parse().map_err(|error| usage(format!("the country `{code}` {error}; check --phone-region")))?;
        Ok(Some(parsed))
    }

    /// The code of that country as it was given.
    pub(crate) fn phone_region_code(&self) -> Option<&str> {
        given(self.phone_region.as_deref())
    }

    /// The configuration of the SDK. Checks that it has a region, and that the profile exists.
    async fn load(&self, endpoint: Option<&str>) -> anyhow::Result<SdkConfig> {
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(client::https_client());
        if let Some(region) = &self.region {
            loader = loader.region(Region::new(region.clone()));
        } else if endpoint.is_some_and(is_loopback) && !is_set("AWS_REGION") && self.profile.is_none() {
            // A local server has no regions and accepts any.
            loader = loader.region(Region::new("us-east-1"));
        }
        if let Some(profile) = &self.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(url) = endpoint {
            loader = loader.endpoint_url(url);
            // A local server wants a signature and accepts any.
            if self.profile.is_none() && is_loopback(url) && !is_set("AWS_ACCESS_KEY_ID") {
                loader = loader.credentials_provider(Credentials::new("local", "local", None, None, "local server"));
            }
        }
        let config = loader.load().await;
        if config.region().is_none() {
            let profile = self.profile.as_ref();
            let profile = profile.map(|name| format!(": profile `{name}` does not exist or has no region"));
            let profile = profile.unwrap_or_default();
            return Err(usage(format!("no AWS region is given{profile}; give one with --region or AWS_REGION")));
        }
        self.check_profile().await?;
        Ok(match &self.profile {
            Some(profile) => {
                let credentials = SharedCredentialsProvider::new(profile_credentials(profile, &config));
                config.into_builder().credentials_provider(credentials).build()
            }
            None => config,
        })
    }
}

/// Where in AWS a table is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) region: String,
    /// The number of the account.
    pub(crate) account: String,
    /// The table's name.
    pub(crate) table: String,
}

impl Place {
    /// The place of a table with this ARN, of which `arn:` is cut off.
    fn of_arn(arn: &str) -> Option<Self> {
        let [_partition, "dynamodb", region, account, table] = arn.splitn(5, ':').collect::<Vec<_>>()[..] else {
            return None;
        };
        let [region, account, table] = [region, account, table.strip_prefix("table/")?].map(str::to_owned);
        Some(Self { region, account, table })
    }
}

impl Connection {
    /// A client with the same credentials, region and endpoint, for requests that may take so long.
    pub(crate) fn client(&self, deadline: Duration) -> Client {
        connect(&self.config, deadline)
    }

    /// The number of the account that the credentials belong to.
    async fn account(&self) -> anyhow::Result<String> {
        if !self.is_aws {
            return Err(usage("no account is given; give its number with --account"));
        }
        let identity = aws_sdk_sts::Client::new(&self.config).get_caller_identity().send();
        let why = match tokio::time::timeout(IDENTITY_DEADLINE, identity).await {
            Ok(Ok(identity)) => match identity.account() {
                Some(account) => return Ok(account.to_owned()),
                None => "AWS did not return one".to_owned(),
            },
            Ok(Err(error)) => client::describe(&error),
            Err(_) => format!("AWS did not answer within {} seconds", IDENTITY_DEADLINE.as_secs()),
        };
        anyhow::bail!("the account of the credentials is not known: {why}; give its number with --account")
    }

    /// How many days the history keeps a change.
    pub(crate) fn keep_days(&self) -> u16 {
        self.keep_days
    }

    /// The author of changes: the AWS identity, or the user of this machine if AWS is not used or does not answer in time.
    pub(crate) async fn author(&self) -> Author {
        let (command, keep_days) = (command_line(), self.keep_days);
        Author { name: self.identity().await, at: now(), command, keep_days }
    }

    async fn identity(&self) -> String {
        let user = || whoami::username().unwrap_or_else(|_| "unknown".to_owned());
        if !self.is_aws {
            return user();
        }
        let identity = aws_sdk_sts::Client::new(&self.config).get_caller_identity().send();
        match tokio::time::timeout(IDENTITY_DEADLINE, identity).await {
            Ok(Ok(identity)) => identity.arn().map_or_else(user, str::to_owned),
            // The right to write permissions does not imply the right to use STS.
            _ => user(),
        }
    }
}

/// The credentials of a profile that is named on the command line. As in the AWS CLI, they come before those of the
/// environment, and a profile without credentials has those of the container or the instance.
fn profile_credentials(profile: &str, config: &SdkConfig) -> CredentialsProviderChain {
    let provider_config = ProviderConfig::without_region()
        .with_region(config.region().cloned())
        .with_behavior_version(config.behavior_version())
        .with_http_client(client::https_client());
    let of_profile = ProfileFileCredentialsProvider::builder().configure(&provider_config).profile_name(profile);
    let of_container = EcsCredentialsProvider::builder().configure(&provider_config);
    let of_instance = ImdsCredentialsProvider::builder().configure(&provider_config);
    CredentialsProviderChain::first_try("Profile", of_profile.build())
        .or_else("Container", of_container.build())
        .or_else("Instance", of_instance.build())
}

/// The options that say where and how a command runs, not what it changes.
const GLOBAL_OPTIONS: [&str; 7] =
    ["--table", "--endpoint-url", "--region", "--profile", "--output", "--phone-region", "--keep"];

/// The command as it was typed, without the global options.
fn command_line() -> String {
    let mut words = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    let mut kept = Vec::new();
    while let Some(word) = words.next() {
        let option = word.split('=').next().unwrap_or_default();
        if !GLOBAL_OPTIONS.contains(&option) {
            kept.push(quote(&word));
        } else if option == word {
            words.next();
        }
    }
    kept.join(" ")
}

fn connect(config: &SdkConfig, deadline: Duration) -> Client {
    let config = aws_sdk_dynamodb::config::Builder::from(config);
    Client::from_conf(client::within(config, deadline).build())
}

/// An empty value counts as not given.
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
