//! The rights that each command needs, and policies of AWS IAM for people who use them.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::error::{Error, Result};

/// A person who uses callgate. Each may also do what the ones before may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Looks at rules, calls and changes, and writes nothing.
    Reader,
    /// Changes rules, blocks, groups and statuses, one at a time.
    Operator,
    /// Also writes many rules at once, and manages the table.
    Administrator,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 3] = [Self::Reader, Self::Operator, Self::Administrator];

    /// The name of the role.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Operator => "operator",
            Self::Administrator => "administrator",
        }
    }
}

/// A command, who may use it, and the rights that it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandRights {
    /// The command, with an option if that option changes the rights.
    pub command: &'static str,
    /// The first role that may use it.
    pub role: Role,
    /// Actions of DynamoDB on the table; `index/inverted` for `Query` on the index; actions of other services with their
    /// prefix.
    pub rights: &'static [&'static str],
}

/// The right to `Query` the table's index.
const INDEX: &str = "index/inverted";

/// The right to read the function's log.
const READ_LOG: &str = "logs:FilterLogEvents";

/// Every command that uses the table or the log. The page `docs/src/operations/access.md` has the same table, and a test records
/// the requests of each command.
pub const COMMANDS: &[CommandRights] = {
    use Role::{Administrator, Operator, Reader};
    const fn of(command: &'static str, role: Role, rights: &'static [&'static str]) -> CommandRights {
        CommandRights { command, role, rights }
    }
    &[
        of("show", Reader, &["GetItem", "BatchGetItem", "Query", INDEX]),
        of("who", Reader, &["GetItem", "BatchGetItem", "Query", INDEX]),
        of("show --list", Reader, &["Scan"]),
        of("find", Reader, &["Scan"]),
        of("group show", Reader, &["Scan"]),
        of("check", Reader, &["BatchGetItem"]),
        of("history", Reader, &["BatchGetItem", "Query"]),
        of("calls", Reader, &["BatchGetItem", READ_LOG]),
        of("replay", Reader, &["BatchGetItem", READ_LOG]),
        of("export", Reader, &["Scan"]),
        of("backup", Reader, &["Scan"]),
        of("doctor", Reader, &["Scan"]),
        of("allow", Operator, &["GetItem", "PutItem", "UpdateItem"]),
        of("deny", Operator, &["GetItem", "BatchGetItem", "Query", "PutItem", "UpdateItem", INDEX]),
        of("revoke", Operator, &["GetItem", "PutItem", "UpdateItem", "DeleteItem"]),
        of(
            "revoke --list",
            Operator,
            &[
                "DescribeTable",
                "Scan",
                "BatchGetItem",
                "GetItem",
                "BatchWriteItem",
                "PutItem",
                "UpdateItem",
                "DeleteItem",
            ],
        ),
        of("enable", Operator, &["GetItem", "BatchGetItem", "Query", "PutItem", "UpdateItem", INDEX]),
        of("disable", Operator, &["GetItem", "PutItem", "UpdateItem"]),
        of("block", Operator, &["GetItem", "PutItem", "UpdateItem"]),
        of("unblock", Operator, &["GetItem", "PutItem", "UpdateItem", "DeleteItem"]),
        of("group add", Operator, &["GetItem", "PutItem", "UpdateItem"]),
        of("group remove", Operator, &["GetItem", "PutItem", "UpdateItem", "DeleteItem"]),
        of("suspend", Operator, &["GetItem", "PutItem", "UpdateItem"]),
        of("resume", Operator, &["GetItem", "PutItem", "UpdateItem", "DeleteItem"]),
        of("undo", Operator, &["GetItem", "BatchGetItem", "Query", "PutItem", "UpdateItem", "DeleteItem", INDEX]),
        of(
            "table create",
            Administrator,
            &["DescribeTable", "CreateTable", "UpdateTable", "DescribeTimeToLive", "UpdateTimeToLive"],
        ),
        of("table describe", Administrator, &["DescribeTable", "DescribeTimeToLive"]),
        of("forget", Administrator, &["Scan", "GetItem", "BatchWriteItem", "UpdateItem", "DeleteItem"]),
        of(
            "move",
            Administrator,
            &["Scan", "BatchGetItem", "GetItem", "BatchWriteItem", "PutItem", "UpdateItem", "DeleteItem"],
        ),
        of(
            "import",
            Administrator,
            &["DescribeTable", "Scan", "BatchGetItem", "GetItem", "BatchWriteItem", "PutItem", "UpdateItem"],
        ),
        of(
            "import --replace",
            Administrator,
            &[
                "DescribeTable",
                "Scan",
                "BatchGetItem",
                "GetItem",
                "BatchWriteItem",
                "PutItem",
                "UpdateItem",
                "DeleteItem",
            ],
        ),
        of("restore", Administrator, &["DescribeTable", "BatchGetItem", "GetItem", "BatchWriteItem", "PutItem"]),
        of(
            "restore --replace",
            Administrator,
            &["DescribeTable", "Scan", "GetItem", "BatchWriteItem", "PutItem", "DeleteItem"],
        ),
        of(
            "doctor --fix",
            Administrator,
            &["Scan", "GetItem", "ConditionCheckItem", "PutItem", "UpdateItem", "DeleteItem"],
        ),
    ]
};

/// The rights of a role: those of all its commands.
#[must_use]
pub fn rights_of(role: Role) -> BTreeSet<&'static str> {
    COMMANDS.iter().filter(|it| it.role <= role).flat_map(|it| it.rights.iter().copied()).collect()
}

/// The table and the log that a policy is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resources {
    table: String,
    log_group: String,
}

impl Resources {
    /// The table and the log group of an account in a region.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for an account that is not twelve digits, and for names and regions with characters that they
    /// cannot have. In a policy, some of them would match other resources.
    pub fn new(region: &str, account: &str, table: &str, log_group: &str) -> Result<Self> {
        let check = |what: &str, text: &str, others: &str, longest: usize| {
            let is_valid = |c: char| c.is_ascii_alphanumeric() || others.contains(c);
            if (1..=longest).contains(&text.len()) && text.chars().all(is_valid) {
                return Ok(());
            }
            Err(Error::InvalidInput(format!("`{text}` is not the name of a {what}")))
        };
        if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Error::InvalidInput(format!("the account `{account}` is not a number of 12 digits")));
        }
        check("region", region, "-", 64)?;
        check("table", table, "-_.", 255)?;
        check("log group", log_group, "-_./#", 512)?;
        let arn = |service: &str, resource: String| {
            format!("arn:{}:{service}:{region}:{account}:{resource}", partition(region))
        };
        Ok(Self {
            table: arn("dynamodb", format!("table/{table}")),
            // Also the streams of the group, which its events are in.
            log_group: arn("logs", format!("log-group:{log_group}:*")),
        })
    }
}

/// The partition of AWS that a region belongs to (AWS General Reference, "Amazon Resource Names").
fn partition(region: &str) -> &'static str {
    let partitions = [
        ("cn-", "aws-cn"),
        ("us-gov-", "aws-us-gov"),
        ("us-iso-", "aws-iso"),
        ("us-isob-", "aws-iso-b"),
        ("eu-isoe-", "aws-iso-e"),
        ("us-isof-", "aws-iso-f"),
        ("eusc-", "aws-eusc"),
    ];
    partitions.into_iter().find(|(prefix, _)| region.starts_with(prefix)).map_or("aws", |(_, partition)| partition)
}

/// The policy of a role: a JSON document for AWS IAM that allows what the commands of the role need, and nothing else.
#[must_use]
pub fn policy(role: Role, resources: &Resources) -> Value {
    let Resources { table, log_group } = resources;
    let rights = rights_of(role);
    let statement = |sid: &str, resource: &str, actions: Vec<String>| {
        (!actions.is_empty()).then(|| json!({"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resource}))
    };
    let on_table = |kind: Kind| {
        let actions = rights.iter().filter(|right| Kind::of(right) == kind);
        actions.map(|right| format!("dynamodb:{right}")).collect()
    };
    let index = rights.contains(INDEX).then(|| "dynamodb:Query".to_owned());
    let log = rights.iter().filter(|right| Kind::of(right) == Kind::Log).map(|right| (*right).to_owned());
    let statements = [
        statement("ReadRules", table, on_table(Kind::Read)),
        statement("ReadIndex", &format!("{table}/{INDEX}"), index.into_iter().collect()),
        statement("WriteRules", table, on_table(Kind::Write)),
        statement("ManageTable", table, on_table(Kind::Manage)),
        statement("ReadLog", log_group, log.collect()),
    ];
    json!({"Version": "2012-10-17", "Statement": statements.into_iter().flatten().collect::<Vec<_>>()})
}

/// The statement of a policy that a right belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Read,
    Index,
    Write,
    Manage,
    Log,
}

impl Kind {
    fn of(right: &str) -> Self {
        match right {
            "GetItem" | "BatchGetItem" | "Query" | "Scan" => Self::Read,
            INDEX => Self::Index,
            "DescribeTable" | "CreateTable" | "UpdateTable" | "DescribeTimeToLive" | "UpdateTimeToLive" => Self::Manage,
            _ if right.starts_with("logs:") => Self::Log,
            _ => Self::Write,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_are_in_the_partition_of_their_region() {
        for (region, partition) in [
            ("eu-central-1", "aws"),
            ("cn-north-1", "aws-cn"),
            ("us-gov-west-1", "aws-us-gov"),
            ("us-iso-east-1", "aws-iso"),
            ("us-isob-east-1", "aws-iso-b"),
        ] {
            let Resources { table, log_group } =
                Resources::new(region, "123456789012", "permissions", "/aws/lambda/callgate").unwrap();
            assert_eq!(table, format!("arn:{partition}:dynamodb:{region}:123456789012:table/permissions"));
            let group = "log-group:/aws/lambda/callgate:*";
            assert_eq!(log_group, format!("arn:{partition}:logs:{region}:123456789012:{group}"));
        }
    }

    #[test]
    fn names_that_match_other_resources_are_refused() {
        let check = |region, account, table, group| {
            assert!(matches!(Resources::new(region, account, table, group), Err(Error::InvalidInput(_))), "{table}");
        };
        for table in ["", "*", "a*", "a?", "${aws:username}", "a/b", "a:b"] {
            check("eu-central-1", "123456789012", table, "/aws/lambda/callgate");
        }
        for group in ["", "*", "/aws/lambda/*", "a:b", "a b"] {
            check("eu-central-1", "123456789012", "permissions", group);
        }
        for account in ["", "*", "12345678901", "1234567890123", "12345678901x", "１２３４５６７８９０１２"]
        {
            check("eu-central-1", account, "permissions", "/aws/lambda/callgate");
        }
        check("eu-*", "123456789012", "permissions", "/aws/lambda/callgate");
    }
}
