//! What stands around a function in AWS: the Lambda Runtime API, and `DynamoDB` over TLS.

pub(crate) mod authority;
pub(crate) mod dynamodb;
pub(crate) mod lambda;
