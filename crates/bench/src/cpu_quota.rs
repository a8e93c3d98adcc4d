//! A control group with a CPU quota: the share of a core that Lambda gives to a function of 128 MB.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// CPU time per period. Lambda gives one core per 1,769 MB ("Configure Lambda function memory", AWS Lambda Developer
/// Guide), so 128 MB get 7.2 % of a core: 1.447 ms in every 20 ms.
const QUOTA_US: u32 = 1_447;
/// The period that Lambda's own control groups have.
const PERIOD_US: u32 = 20_000;

/// A control group. It is removed when the value is dropped.
pub(crate) struct CpuQuota {
    directory: PathBuf,
}

impl CpuQuota {
    /// Creates the control group: version 2 if the machine has it, otherwise version 1.
    pub(crate) fn new() -> io::Result<Self> {
        let root = Path::new("/sys/fs/cgroup");
        let name = format!("callgate-bench-{}", std::process::id());
        let is_v2 = root.join("cgroup.controllers").exists();
        let directory = if is_v2 { root.join(name) } else { root.join("cpu").join(name) };
        fs::create_dir(&directory)?;
        let quota = Self { directory };
        if is_v2 {
            // Enable the CPU controller. systemd may already have done so; if not and this fails, the next write fails too.
            let _ = fs::write(root.join("cgroup.subtree_control"), "+cpu");
            quota.write("cpu.max", &format!("{QUOTA_US} {PERIOD_US}"))?;
        } else {
            quota.write("cpu.cfs_period_us", &PERIOD_US.to_string())?;
            quota.write("cpu.cfs_quota_us", &QUOTA_US.to_string())?;
        }
        Ok(quota)
    }

    /// Moves a process and all its threads into the control group.
    pub(crate) fn add_process(&self, id: u32) -> io::Result<()> {
        self.write("cgroup.procs", &id.to_string())
    }

    fn write(&self, file: &str, text: &str) -> io::Result<()> {
        fs::write(self.directory.join(file), text)
    }
}

impl Drop for CpuQuota {
    fn drop(&mut self) {
        // Succeeds only after the last process has ended.
        let _ = fs::remove_dir(&self.directory);
    }
}
