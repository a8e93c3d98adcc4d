//! The DynamoDB client: no default chain, no default HTTPS stack, every timeout inside the deadline.

use std::error::Error;
use std::time::Duration;

use aws_sdk_dynamodb::config::retry::{RetryConfig, RetryPartition, TokenBucket};
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{
    BehaviorVersion, Builder, Credentials, IdentityCache, Region, SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::{Client, Config};
use aws_smithy_http_client::tls;

use super::checksum::{RetryDamaged, VerifyChecksum};

/// The most attempts at one request, including the first. The deadline usually ends them earlier.
const MAX_ATTEMPTS: u32 = 5;

/// The longest pause before the second attempt; it doubles from there, with jitter.
const FIRST_BACKOFF: Duration = Duration::from_millis(25);

/// Where DynamoDB is, and the credentials for it: what Lambda puts into the environment.
#[derive(Debug, Clone)]
pub struct Connection {
    /// The AWS region.
    pub region: String,
    /// Lambda's credentials for the function's role.
    pub credentials: Credentials,
    /// An endpoint other than the region's own.
    pub endpoint_url: Option<String>,
    /// Whether to use the region's endpoint that is validated for FIPS 140.
    pub use_fips: bool,
    /// Whether to use the region's endpoint that has an IPv6 address too.
    pub use_dual_stack: bool,
}

/// Makes the function's client. Its credentials are valid as long as the sandbox, so they are not refreshed.
#[must_use]
pub fn connect(connection: Connection, deadline: Duration) -> Client {
    let Connection { region, credentials, endpoint_url, use_fips, use_dual_stack } = connection;
    let mut builder = Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(region))
        .credentials_provider(credentials)
        .identity_cache(IdentityCache::no_cache())
        .http_client(https_client());
    if endpoint_url.is_none() {
        builder = builder.use_fips(use_fips).use_dual_stack(use_dual_stack);
    }
    builder.set_endpoint_url(endpoint_url);
    Client::from_conf(within(builder, deadline).build())
}

/// Bounds attempts and retries so that they end before the deadline, and checks the answers.
#[must_use]
pub fn within(builder: Builder, deadline: Duration) -> Builder {
    // If a connection died silently, it costs one attempt. Another whole attempt must fit in, and the start of a third.
    let attempt = deadline * 2 / 5;
    builder
        .interceptor(VerifyChecksum)
        .retry_classifier(RetryDamaged)
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(attempt)
                .operation_attempt_timeout(attempt)
                .operation_timeout(deadline)
                .build(),
        )
        .retry_config(
            RetryConfig::standard()
                .with_max_attempts(MAX_ATTEMPTS)
                .with_initial_backoff(FIRST_BACKOFF)
                .with_max_backoff(deadline / 4),
        )
        // An outage would use up the SDK's quota of retries, so that the first failure after it would be final. Here the
        // number of attempts and the deadline limit the requests of a call.
        .retry_partition(RetryPartition::custom("callgate").token_bucket(TokenBucket::unlimited()).build())
        // It is meant for long transfers; here the attempt's timeout is shorter.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
}

/// TLS with rustls and ring: aws-lc, the default, spends over 20 ms of CPU on entropy at its first use.
#[must_use]
pub fn https_client() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
        .build_https()
}

/// Describes a failed request in one line: DynamoDB's error code and message, or the chain of causes.
pub fn describe<E: ProvideErrorMetadata + Error + 'static, R: std::fmt::Debug>(error: &SdkError<E, R>) -> String {
    if let Some(service) = error.as_service_error()
        && let Some(code) = service.code()
    {
        // DynamoDB's answer to a wrong signature has everything that was signed, line by line, including the session
        // token.
        let message = service.message().and_then(|message| message.lines().next()).map(|line| format!(": {line}"));
        return format!("DynamoDB answered {code}{}", message.unwrap_or_default());
    }
    let mut text = "the request to DynamoDB failed".to_owned();
    let mut cause: Option<&dyn Error> = Some(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
