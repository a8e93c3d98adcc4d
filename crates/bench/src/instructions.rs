//! Instructions per decision: a count, the same on a busy machine as on an idle one.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use tokio_rustls::TlsAcceptor;

use crate::contender::Contender;
use crate::fixture;
use crate::process::Function;
use crate::stand_in::authority::Authority;
use crate::stand_in::dynamodb::DynamoDb;

/// Calls of the shorter and of the longer run; what lies between them is warm.
const SHORT: u32 = 50;
const LONG: u32 = 250;

/// What valgrind counted, outside the kernel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Count {
    /// Start, first call and the first few dozen of the others.
    pub(crate) short_run: u64,
    pub(crate) warm_call: u64,
}

/// Counts by `valgrind --tool=callgrind`, which must be installed.
pub(crate) async fn count(program: &Contender) -> anyhow::Result<Count> {
    let directory = tempfile::tempdir()?;
    let authority = Authority::new(directory.path(), true)?;
    let endpoint = DynamoDb::new(fixture::items()).serve(&TlsAcceptor::from(authority.server)).await?;
    let mut environment = fixture::environment(&endpoint);
    environment.push(("SSL_CERT_FILE", authority.bundle.to_str().context("the path is no UTF-8")?.to_owned()));

    let profile = directory.path().join("profile");
    let wrapped = directory.path().join("wrapped");
    let script = format!(
        "#!/bin/sh\nexec /usr/bin/valgrind --quiet --tool=callgrind --callgrind-out-file='{}' '{}'\n",
        profile.display(),
        program.program.display()
    );
    std::fs::write(&wrapped, script)?;
    std::fs::set_permissions(&wrapped, std::fs::Permissions::from_mode(0o755))?;

    let short_run = instructions(&wrapped, &profile, &environment, SHORT).await?;
    let long_run = instructions(&wrapped, &profile, &environment, LONG).await?;
    Ok(Count { short_run, warm_call: long_run.saturating_sub(short_run) / u64::from(LONG - SHORT) })
}

async fn instructions(
    wrapped: &Path,
    profile: &Path,
    environment: &[(&str, String)],
    calls: u32,
) -> anyhow::Result<u64> {
    let event = fixture::event()?;
    let (mut function, _) = Function::start(wrapped, environment).await?;
    for _ in 0..calls {
        function.call(&event).await?;
    }
    function.end().await?;
    let profile = std::fs::read_to_string(profile).context("valgrind left no profile")?;
    let totals = profile.lines().find_map(|line| line.strip_prefix("totals: ")).context("no totals in the profile")?;
    Ok(totals.trim().parse()?)
}
