//! Credentials, as every AWS tool takes them. One stand-in plays all services that give credentials, and the table.

use std::process::Command;
use std::sync::{Arc, Mutex};

use crate::proxy::{Request, Treatment, start_proxy};
use crate::support::{Run, TABLE, TempFolder, TestServer, tool};

/// The credentials of a stand-in service end at this time.
const EXPIRATION: &str = "2099-01-01T00:00:00Z";

/// The smallest private key, the number 1, as JSON text of two lines. The cache of `aws login` holds a key.
const KEY: &str = r"MDECAQEEIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAABoAoGCCqGSM49\nAwEH";

/// A home folder, and a stand-in for AWS.
struct Aws {
    home: TempFolder,
    url: String,
    /// The keys that signed requests to the table.
    keys: Arc<Mutex<Vec<String>>>,
    _server: TestServer,
}

impl Aws {
    fn new() -> Self {
        let server = TestServer::with_table();
        let keys = Arc::<Mutex<Vec<String>>>::default();
        let signed = Arc::clone(&keys);
        let url = start_proxy(server.address, move |request| {
            if request.operation().is_some() {
                signed.lock().unwrap().push(access_key(request));
                return Treatment::Forward;
            }
            give_credentials(request)
        });
        Self { home: TempFolder::new(), url, keys, _server: server }
    }

    /// The tool with the configuration file `config`. The caller adds the environment.
    fn tool(&self, config: &str) -> Command {
        let config = self.home.write(".aws/config", config);
        let mut command = tool();
        command.args(["export", "--table", TABLE]).env_remove("AWS_EC2_METADATA_DISABLED");
        command.env("HOME", self.home.path()).env("AWS_CONFIG_FILE", config);
        command.env("AWS_REGION", "eu-central-1").env("AWS_ENDPOINT_URL", &self.url);
        command
    }

    /// Runs the tool, and asserts that this key signed every request to the table.
    #[track_caller]
    fn signs_with(&self, key: &str, command: &mut Command) {
        Run::of(command).succeeds().prints("app,from,to,effect");
        let keys = std::mem::take(&mut *self.keys.lock().unwrap());
        assert!(!keys.is_empty() && keys.iter().all(|it| it == key), "{keys:?}");
    }
}

/// The key that signed a request.
fn access_key(request: &Request) -> String {
    let (_, credential) = request.header("authorization").unwrap().split_once("Credential=").unwrap();
    credential.split('/').next().unwrap().to_owned()
}

/// Answers a request for credentials. What proves the identity has to be right, and is part of the access key.
fn give_credentials(request: &Request) -> Treatment {
    let (head, body) = (request.head.lines().next().unwrap(), String::from_utf8_lossy(&request.body));
    let ok = |body: String| Treatment::answer("200 OK", &body);
    let has = |part: &str| body.contains(part);
    let sts = |action: &str, key: &str| {
        ok(format!(
            "<{action}Response><{action}Result><Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>s\
             </SecretAccessKey><SessionToken>t</SessionToken><Expiration>{EXPIRATION}</Expiration></Credentials>\
             <AssumedRoleUser><AssumedRoleId>i</AssumedRoleId><Arn>arn:aws:sts::123456789012:assumed-role/r/s</Arn>\
             </AssumedRoleUser></{action}Result></{action}Response>"
        ))
    };
    let metadata = |key: &str| {
        ok(format!(
            r#"{{"Code":"Success","AccessKeyId":"{key}","SecretAccessKey":"s","Token":"t","Expiration":"{EXPIRATION}"}}"#
        ))
    };
    let sso_token = request.header("x-amz-sso_bearer_token");
    match head.split(' ').nth(1).unwrap() {
        "/" if has("Action=AssumeRole&") && has("role%2Foperator") => {
            sts("AssumeRole", &format!("ROLEOF{}", access_key(request)))
        }
        "/" if has("Action=AssumeRoleWithWebIdentity&") && has("WebIdentityToken=web-token") => {
            sts("AssumeRoleWithWebIdentity", "WEBIDENTITY")
        }
        path if path.starts_with("/federation/credentials?") && sso_token == Some("cached") => {
            ok(sso_credentials("SSOCACHED"))
        }
        path if path.starts_with("/federation/credentials?") && sso_token == Some("refreshed") => {
            ok(sso_credentials("SSOREFRESHED"))
        }
        "/token" if has(r#""refreshToken":"refresh""#) => {
            ok(r#"{"accessToken":"refreshed","tokenType":"Bearer","expiresIn":3600,"refreshToken":"next"}"#.to_owned())
        }
        "/v1/token" if has("refresh") && request.header("dpop").is_some() => ok(concat!(
            r#"{"accessToken":{"accessKeyId":"LOGINREFRESHED","secretAccessKey":"s","sessionToken":"t"},"#,
            r#""tokenType":"aws_sigv4","expiresIn":900,"refreshToken":"next"}"#
        )
        .to_owned()),
        "/container" if request.header("authorization") == Some("container-token") => metadata("CONTAINER"),
        "/latest/api/token" => Treatment::answer("200 OK\r\nX-aws-ec2-metadata-token-ttl-seconds: 21600", "imds-token"),
        "/latest/meta-data/iam/security-credentials/" => ok("operator".to_owned()),
        "/latest/meta-data/iam/security-credentials/operator"
            if request.header("x-aws-ec2-metadata-token") == Some("imds-token") =>
        {
            metadata("INSTANCE")
        }
        _ => Treatment::answer("404 Not Found", &format!("{head}\n{body}")),
    }
}

fn sso_credentials(key: &str) -> String {
    format!(
        r#"{{"roleCredentials":{{"accessKeyId":"{key}","secretAccessKey":"s","sessionToken":"t","expiration":4070908800000}}}}"#
    )
}

#[test]
fn of_the_environment() {
    let aws = Aws::new();
    let mut tool = aws.tool("");
    aws.signs_with("ENVIRONMENT", tool.env("AWS_ACCESS_KEY_ID", "ENVIRONMENT").env("AWS_SECRET_ACCESS_KEY", "s"));
}

#[test]
fn of_a_profile_with_keys() {
    let aws = Aws::new();
    let config = "[profile operator]\naws_access_key_id = PROFILE\naws_secret_access_key = s\n";
    aws.signs_with("PROFILE", aws.tool(config).args(["--profile", "operator"]));
    // The option comes before the environment, and the environment before the variable.
    let other = [("AWS_ACCESS_KEY_ID", "ENVIRONMENT"), ("AWS_SECRET_ACCESS_KEY", "s")];
    aws.signs_with("PROFILE", aws.tool(config).args(["--profile", "operator"]).envs(other));
    aws.signs_with("ENVIRONMENT", aws.tool(config).env("AWS_PROFILE", "operator").envs(other));
    aws.signs_with("PROFILE", aws.tool(config).env("AWS_PROFILE", "operator"));
    let file = aws.home.write("keys", "[operator]\naws_access_key_id = SHARED\naws_secret_access_key = s\n");
    let mut tool = aws.tool("");
    aws.signs_with("SHARED", tool.args(["--profile", "operator"]).env("AWS_SHARED_CREDENTIALS_FILE", file));
}

#[test]
fn of_a_process() {
    let aws = Aws::new();
    let answer = r#"{"Version":1,"AccessKeyId":"PROCESS","SecretAccessKey":"s"}"#;
    let config = format!("[profile operator]\ncredential_process = echo '{answer}'\n");
    aws.signs_with("PROCESS", aws.tool(&config).args(["--profile", "operator"]));
}

#[test]
fn of_an_sso_session() {
    let aws = Aws::new();
    let config = "\
[profile operator]
sso_session = operators
sso_account_id = 123456789012
sso_role_name = operator
[sso-session operators]
sso_region = eu-central-1
sso_start_url = https://example.awsapps.com/start
";
    // The file's name is the SHA-1 of the session's name.
    let file = ".aws/sso/cache/697823d308688f7c73ec9a1160acc4fc207ea540.json";
    aws.home.write(file, &format!(r#"{{"accessToken":"cached","expiresAt":"{EXPIRATION}"}}"#));
    aws.signs_with("SSOCACHED", aws.tool(config).args(["--profile", "operator"]));
    let expired = format!(
        r#"{{"accessToken":"old","expiresAt":"2020-01-01T00:00:00Z","refreshToken":"refresh","clientId":"c",
            "clientSecret":"s","registrationExpiresAt":"{EXPIRATION}","region":"eu-central-1"}}"#
    );
    aws.home.write(file, &expired);
    aws.signs_with("SSOREFRESHED", aws.tool(config).args(["--profile", "operator"]));
}

#[test]
fn of_sso_without_a_session() {
    let aws = Aws::new();
    let config = "\
[profile operator]
sso_start_url = https://example.awsapps.com/start
sso_region = eu-central-1
sso_account_id = 123456789012
sso_role_name = operator
";
    // The file's name is the SHA-1 of the URL.
    let file = ".aws/sso/cache/e8be5486177c5b5392bd9aa76563515b29358e6e.json";
    aws.home.write(file, &format!(r#"{{"accessToken":"cached","expiresAt":"{EXPIRATION}"}}"#));
    aws.signs_with("SSOCACHED", aws.tool(config).args(["--profile", "operator"]));
}

#[test]
fn of_aws_login() {
    let aws = Aws::new();
    let config = "[profile operator]\nlogin_session = arn:aws:iam::123456789012:user/operator\n";
    // The file's name is the SHA-256 of the session's ARN.
    let file = ".aws/login/cache/05d4293b920f9332873333ef86001c397e826748e69c2ddcd0f661ed93f13355.json";
    let kind = "EC PRIVATE KEY";
    let cache = |expires_at: &str| {
        format!(
            r#"{{"accessToken":{{"accessKeyId":"LOGINCACHED","secretAccessKey":"s","sessionToken":"t",
                "accountId":"123456789012","expiresAt":"{expires_at}"}},"tokenType":"aws_sigv4","refreshToken":"refresh",
                "clientId":"c","dpopKey":"-----BEGIN {kind}-----\n{KEY}\n-----END {kind}-----\n"}}"#
        )
    };
    aws.home.write(file, &cache(EXPIRATION));
    aws.signs_with("LOGINCACHED", aws.tool(config).args(["--profile", "operator"]));
    aws.home.write(file, &cache("2020-01-01T00:00:00Z"));
    aws.signs_with("LOGINREFRESHED", aws.tool(config).args(["--profile", "operator"]));
}

#[test]
fn of_an_assumed_role() {
    let aws = Aws::new();
    let config = "\
[profile operator]
role_arn = arn:aws:iam::123456789012:role/operator
source_profile = user
[profile user]
aws_access_key_id = USER
aws_secret_access_key = s
[profile host]
role_arn = arn:aws:iam::123456789012:role/operator
credential_source = Environment
";
    aws.signs_with("ROLEOFUSER", aws.tool(config).args(["--profile", "operator"]));
    let mut tool = aws.tool(config);
    let tool = tool.env("AWS_ACCESS_KEY_ID", "HOST").env("AWS_SECRET_ACCESS_KEY", "s");
    aws.signs_with("ROLEOFHOST", tool.args(["--profile", "host"]));
}

#[test]
fn of_a_web_identity() {
    let aws = Aws::new();
    let token = aws.home.write("token", "web-token");
    let role = "arn:aws:iam::123456789012:role/operator";
    let mut tool = aws.tool("");
    aws.signs_with("WEBIDENTITY", tool.env("AWS_WEB_IDENTITY_TOKEN_FILE", &token).env("AWS_ROLE_ARN", role));
    let config = format!("[profile operator]\nrole_arn = {role}\nweb_identity_token_file = {}\n", token.display());
    aws.signs_with("WEBIDENTITY", aws.tool(&config).args(["--profile", "operator"]));
}

/// As tasks of ECS and pods of EKS get them.
#[test]
fn of_a_container() {
    let aws = Aws::new();
    let url = format!("{}/container", aws.url);
    let mut tool = aws.tool("");
    tool.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url);
    aws.signs_with("CONTAINER", tool.env("AWS_CONTAINER_AUTHORIZATION_TOKEN", "container-token"));
    let token = aws.home.write("token", "container-token");
    let mut tool = aws.tool("");
    tool.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url);
    aws.signs_with("CONTAINER", tool.env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token));
}

#[test]
fn of_an_instance() {
    let aws = Aws::new();
    aws.signs_with("INSTANCE", aws.tool("").env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &aws.url));
    // A profile that names only a region.
    let mut tool = aws.tool("[profile operator]\nregion = eu-west-1\n");
    let tool = tool.args(["--profile", "operator"]).env_remove("AWS_REGION");
    aws.signs_with("INSTANCE", tool.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &aws.url));
    // A profile that does not exist.
    let mut tool = aws.tool("");
    let tool = tool.args(["--profile", "operator"]).env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &aws.url);
    Run::of(tool).exits_with(2).prints("the profile `operator` is not in the AWS configuration files");
    assert!(aws.keys.lock().unwrap().is_empty());
}
