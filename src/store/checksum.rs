//! Detects answers that were damaged on their way: checks DynamoDB's checksum, because the SDK does not, and retries.

use aws_sdk_dynamodb::config::interceptors::{AfterDeserializationInterceptorContextRef, InterceptorContext};
use aws_sdk_dynamodb::config::retry::{ClassifyRetry, RetryAction};
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;

/// The CRC-32 of the answer's body, in decimal (Amazon DynamoDB Developer Guide, "DynamoDB low-level API").
const HEADER: &str = "x-amz-crc32";

/// Fails an answer whose body does not match DynamoDB's checksum.
#[derive(Debug)]
pub(super) struct VerifyChecksum;

impl Intercept for VerifyChecksum {
    fn name(&self) -> &'static str {
        "VerifyChecksum"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let answer = context.response();
        let (Some(expected), Some(body)) = (answer.headers().get(HEADER), answer.body().bytes()) else {
            return Ok(());
        };
        if expected.parse() == Ok(crc32fast::hash(body)) {
            Ok(())
        } else {
            Err("the body does not match its checksum".into())
        }
    }
}

/// Retries if an answer has status 200 and cannot be parsed. The SDK does not retry that.
#[derive(Debug)]
pub(super) struct RetryDamaged;

impl ClassifyRetry for RetryDamaged {
    fn name(&self) -> &'static str {
        "RetryDamaged"
    }

    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let is_success = context.response().is_some_and(|answer| answer.status().is_success());
        match context.output_or_error() {
            Some(Err(_)) if is_success => RetryAction::transient_error(),
            _ => RetryAction::NoActionIndicated,
        }
    }
}
