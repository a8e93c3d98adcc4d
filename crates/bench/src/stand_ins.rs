//! Stand-ins for the AWS services that the function uses: the Lambda Runtime API, and `DynamoDB` over TLS.

pub(crate) mod certificate_authority;
pub(crate) mod dynamodb;
pub(crate) mod runtime_api;
