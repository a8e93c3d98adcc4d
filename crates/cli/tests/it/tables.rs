//! `table create|describe`, completions, man pages.

use serde_json::json;

use crate::support::{Place, Run, TABLE, tool};

#[test]
fn a_table_is_made_once_and_then_checked() {
    let place = Place::bare();
    place.run("table describe").ends(1).says("there is no table `permissions`").says("callgatectl table create");
    place.run("table create").done().says("created, ACTIVE").says("as they should be");
    place.run("table create").done().says("there already");
    assert_eq!(place.json("table describe")["differences"], json!([]));
    let expiry = place.ask("DescribeTimeToLive", &json!({"TableName": TABLE}));
    assert_eq!(expiry["TimeToLiveDescription"]["AttributeName"], "expires_at");
}

#[test]
fn another_table_is_told_apart() {
    let place = Place::bare();
    place.ask(
        "CreateTable",
        &json!({"TableName": TABLE, "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            "ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}}),
    );
    place
        .run("table create")
        .ends(1)
        .says("`pk` is not its HASH key")
        .says("`sk` is not its RANGE key")
        .says("not billed on demand")
        .says("items do not expire");
}

#[test]
fn shells_and_man_learn_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        Run::of(tool().args(["completions", shell])).done().says("revoke");
    }
    let directory = std::env::temp_dir().join(format!("callgatectl-man-{}", std::process::id()));
    Run::of(tool().arg("man").arg(&directory)).done();
    assert!(directory.join("callgatectl.1").exists() && directory.join("callgatectl-allow.1").exists());
    std::fs::remove_dir_all(directory).unwrap();
}
