//! Which DynamoDB, as whom: the options every command takes, and credentials as every AWS tool takes them.

use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::meta::region::RegionProviderChain;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Region;
use callgate::store::client;
use clap::Args;

/// Where the permissions are.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// The permission table
    #[arg(long, global = true, env = "TABLE_NAME", value_name = "NAME")]
    pub(crate) table: Option<String>,
    /// Another DynamoDB endpoint, such as a local one
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) endpoint_url: Option<String>,
    /// The AWS region
    #[arg(long, global = true, value_name = "REGION")]
    region: Option<String>,
    /// The profile of the AWS configuration files
    #[arg(long, global = true, value_name = "PROFILE")]
    profile: Option<String>,
}

impl Options {
    /// A client with credentials, region and endpoint from options, environment and AWS configuration files.
    pub(crate) async fn client(&self, deadline: Duration) -> Client {
        let region = RegionProviderChain::first_try(self.region.clone().map(Region::new)).or_default_provider();
        let mut loader =
            aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(client::https_client()).region(region);
        if let Some(profile) = &self.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(url) = &self.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        let config = aws_sdk_dynamodb::config::Builder::from(&loader.load().await);
        Client::from_conf(client::within(config, deadline).build())
    }
}
