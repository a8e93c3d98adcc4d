//! `policy`: where the region, the account and the names in it come from. `access.rs` compares its rights with the requests of
//! the commands.

use serde_json::Value;

use crate::proxy::{Treatment, start_proxy};
use crate::support::{Run, split_words, tool};

/// Runs `policy reader` with arguments and variables. The account is always the same.
fn policy(arguments: &str, variables: &[(&str, &str)]) -> Run {
    let mut command = tool();
    command.envs(variables.iter().copied()).args(["policy", "reader"]).args(split_words(arguments));
    Run::of(&mut command)
}

/// The resources of the statements.
fn resources(run: Run) -> Vec<String> {
    let policy: Value = serde_json::from_str(&run.succeeds().stdout).unwrap();
    let statements = policy["Statement"].as_array().unwrap();
    statements.iter().map(|it| it["Resource"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_policy_names_the_table_its_index_and_the_log_group() {
    let expected = [
        "arn:aws-cn:dynamodb:cn-north-1:123456789012:table/permissions",
        "arn:aws-cn:dynamodb:cn-north-1:123456789012:table/permissions/index/inverted",
        "arn:aws-cn:logs:cn-north-1:123456789012:log-group:/aws/lambda/gate:*",
    ];
    let options = "--table permissions --region cn-north-1 --account 123456789012 --log-group /aws/lambda/gate";
    assert_eq!(resources(policy(options, &[])), expected);
    assert_eq!(resources(policy(&format!("{options} --output json"), &[])), expected);
    let variables =
        [("TABLE_NAME", "permissions"), ("AWS_REGION", "cn-north-1"), ("CALLGATE_LOG_GROUP", "/aws/lambda/gate")];
    assert_eq!(resources(policy("--account 123456789012", &variables)), expected);
    // The ARN of a table has its region and its account.
    let options = format!("--table {} --region eu-central-1 --log-group /aws/lambda/gate", expected[0]);
    assert_eq!(resources(policy(&options, &[])), expected);
}

#[test]
fn what_is_missing_is_named_with_its_option() {
    let all = "--table permissions --region eu-central-1 --account 123456789012 --log-group /aws/lambda/gate";
    for (option, expected) in [
        ("--table permissions", "name one with --table"),
        ("--region eu-central-1", "give one with --region"),
        ("--log-group /aws/lambda/gate", "name one with --log-group"),
    ] {
        policy(&all.replace(option, ""), &[]).exits_with(2).prints(expected);
    }
    // A local server is in no region and in no account.
    let local = format!("{all} --endpoint-url http://127.0.0.1:1");
    assert_eq!(resources(policy(&local, &[])), resources(policy(all, &[])));
    policy(&local.replace("--region eu-central-1", ""), &[]).exits_with(2).prints("give one with --region");
    policy(&local.replace("--account 123456789012", ""), &[]).exits_with(2).prints("give its number with --account");
    for (wrong, expected) in [
        ("--account 12345", "`12345` is not a number of 12 digits"),
        ("--table 'permission*'", "`permission*` is not the name of a table"),
        ("--region 'eu-*'", "`eu-*` is not the name of a region"),
        ("--log-group '/aws/*'", "`/aws/*` is not the name of a log group"),
        ("--table arn:aws:s3:::bucket", "is not the ARN of a table"),
    ] {
        let option = wrong.split(' ').next().unwrap();
        let others = all.split(" --").map(|it| format!("--{}", it.trim_start_matches("--")));
        let others: Vec<_> = others.filter(|it| !it.starts_with(&format!("{option} "))).collect();
        policy(&format!("{} {wrong}", others.join(" ")), &[]).exits_with(2).prints(expected);
    }
}

/// Without `--account`, it is the account of the credentials. Without an answer, the error names the option.
#[test]
fn the_account_is_the_one_of_the_credentials() {
    let answer = |status: &'static str, body: &'static str| {
        let url = start_proxy(([127, 0, 0, 1], 1).into(), move |request| {
            assert!(String::from_utf8_lossy(&request.body).contains("Action=GetCallerIdentity"), "{request:?}");
            Treatment::answer(status, body)
        });
        let variables =
            [("AWS_ENDPOINT_URL_STS", url.as_str()), ("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "a")];
        policy("--table permissions --region eu-central-1 --log-group /aws/lambda/gate", &variables)
    };
    let identity = "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
                    <Arn>arn:aws:iam::210987654321:user/a</Arn><Account>210987654321</Account></GetCallerIdentityResult>\
                    </GetCallerIdentityResponse>";
    assert!(resources(answer("200 OK", identity))[0].contains(":210987654321:table/"));
    let refused = "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Code>ExpiredToken</Code>\
                   <Message>expired</Message></Error></ErrorResponse>";
    answer("403 Forbidden", refused).exits_with(1).prints("ExpiredToken").prints("--account");
}
