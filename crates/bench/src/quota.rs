//! The share of a core that a function's memory buys: a control group with a CPU quota.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Lambda gives a whole core at 1,769 MB ("Configure Lambda function memory", AWS Lambda Developer Guide), so
/// 128 MB buy 7.2 % of one; in every 20 ms, as its own control groups have it, that is 1.447 ms.
const QUOTA_US: u32 = 1_447;
const PERIOD_US: u32 = 20_000;

/// The group, made anew and removed at the end.
pub(crate) struct Quota {
    directory: PathBuf,
}

impl Quota {
    /// A group of control groups version 2, or of version 1 where that is what the machine has.
    pub(crate) fn new() -> io::Result<Self> {
        let root = Path::new("/sys/fs/cgroup");
        let name = format!("callgate-bench-{}", std::process::id());
        let is_v2 = root.join("cgroup.controllers").exists();
        let directory = if is_v2 { root.join(name) } else { root.join("cpu").join(name) };
        fs::create_dir(&directory)?;
        let quota = Self { directory };
        if is_v2 {
            // Where systemd has not done so already.
            let _ = fs::write(root.join("cgroup.subtree_control"), "+cpu");
            quota.write("cpu.max", &format!("{QUOTA_US} {PERIOD_US}"))?;
        } else {
            quota.write("cpu.cfs_period_us", &PERIOD_US.to_string())?;
            quota.write("cpu.cfs_quota_us", &QUOTA_US.to_string())?;
        }
        Ok(quota)
    }

    /// Moves a process with all its threads under the quota.
    pub(crate) fn hold(&self, process: u32) -> io::Result<()> {
        self.write("cgroup.procs", &process.to_string())
    }

    fn write(&self, file: &str, text: &str) -> io::Result<()> {
        fs::write(self.directory.join(file), text)
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        // Empty once its last process is gone.
        let _ = fs::remove_dir(&self.directory);
    }
}
