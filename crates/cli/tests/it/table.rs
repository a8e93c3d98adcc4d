//! `table create`, `table describe`, `completions` and `man`.

use serde_json::json;

use crate::support::{Run, TABLE, TestServer, tool};

#[test]
fn table_create_creates_once_and_then_compares() {
    let server = TestServer::empty();
    server
        .run("table describe")
        .exits_with(1)
        .prints("there is no table `permissions`")
        .prints("callgatectl table create");
    server.run("table create").succeeds().prints("created, ACTIVE").prints("as they should be");
    server.run("table create").succeeds().prints("there already");
    assert_eq!(server.json("table describe")["differences"], json!([]));
    let expiry = server.request("DescribeTimeToLive", &json!({"TableName": TABLE}));
    assert_eq!(expiry["TimeToLiveDescription"]["AttributeName"], "expires_at");
}

#[test]
fn differences_of_an_existing_table_are_printed() {
    let server = TestServer::empty();
    server.request(
        "CreateTable",
        &json!({"TableName": TABLE, "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            "ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}}),
    );
    server
        .run("table create")
        .exits_with(1)
        .prints("`pk` is not its HASH key")
        .prints("`sk` is not its RANGE key")
        .prints("not billed on demand")
        .prints("items do not expire");
}

#[test]
fn completions_and_man_pages_list_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        Run::of(tool().args(["completions", shell])).succeeds().prints("revoke");
    }
    let directory = std::env::temp_dir().join(format!("callgatectl-man-{}", std::process::id()));
    Run::of(tool().arg("man").arg(&directory)).succeeds();
    assert!(directory.join("callgatectl.1").exists() && directory.join("callgatectl-allow.1").exists());
    std::fs::remove_dir_all(directory).unwrap();
}
