//! Counts the instructions of a call. Unlike times, counts do not depend on other load on the machine.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Context as _;

use crate::fixture;
use crate::function::Function;
use crate::program::Program;
use crate::stand_ins::Table;

/// Calls in the short run.
const SHORT_RUN: u32 = 50;
/// Calls in the long run. The calls that it has more than the short run are all warm.
const LONG_RUN: u32 = 250;

/// Instructions counted by valgrind, without those of the kernel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Count {
    /// The start and 50 calls.
    pub(crate) short_run: u64,
    /// One warm call.
    pub(crate) warm_call: u64,
}

/// Counts the instructions of a program with `valgrind --tool=callgrind`, which must be installed.
pub(crate) async fn count(program: &Program) -> anyhow::Result<Count> {
    let table = Table::start(true).await?;
    let directory = &table.directory;
    let profile = directory.path().join("profile");
    let wrapper = directory.path().join("wrapper");
    let script = format!(
        "#!/bin/sh\nexec /usr/bin/valgrind --quiet --tool=callgrind --callgrind-out-file='{}' '{}'\n",
        profile.display(),
        program.path.display()
    );
    std::fs::write(&wrapper, script)?;
    std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o755))?;

    let short_run = instructions(&wrapper, &profile, &table.environment, SHORT_RUN).await?;
    let long_run = instructions(&wrapper, &profile, &table.environment, LONG_RUN).await?;
    Ok(Count { short_run, warm_call: long_run.saturating_sub(short_run) / u64::from(LONG_RUN - SHORT_RUN) })
}

async fn instructions(
    wrapper: &Path,
    profile: &Path,
    environment: &[(&str, String)],
    calls: u32,
) -> anyhow::Result<u64> {
    let event = fixture::event()?;
    let (mut function, _) = Function::start(wrapper, environment).await?;
    for _ in 0..calls {
        function.call(&event).await?;
    }
    function.stop().await?;
    let profile = std::fs::read_to_string(profile).context("valgrind did not write a profile")?;
    let totals =
        profile.lines().find_map(|line| line.strip_prefix("totals: ")).context("the profile has no line `totals:`")?;
    Ok(totals.trim().parse()?)
}
