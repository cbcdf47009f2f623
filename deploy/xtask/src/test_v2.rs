//! `cargo xtask test-v2`: the tests of real containers in a virtual machine that has cgroup v2 alone.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::install;
use crate::machine::{self, Files};
use crate::shell::{cargo, read, step};

/// Booting takes seconds, the tests take one minute; a machine without KVM is ten times as slow.
const PATIENCE: Duration = Duration::from_secs(600);

/// What the tests use of the kernel.
const MODULES: &[&str] = &["overlay", "veth", "bridge", "nf_tables", "loop", "fuse"];

/// The first process: what the kernel unpacked cannot be left by `pivot_root`, so all moves to another root.
const INIT: &str = "#!/bin/sh
mount -t tmpfs -o size=80% tmpfs /new
for d in bin sbin usr lib lib64 etc proc sys dev run tmp; do [ -e /$d ] && cp -a /$d /new/; done
cp /start /new/start
exec switch_root /new /start
";

const START: &str = "#!/bin/sh
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup
for m in MODULES; do modprobe $m || echo no module $m; done
ip link set lo up
hostname machine
echo \"MACHINE: kernel $(uname -r), controllers: $(cat /sys/fs/cgroup/cgroup.controllers)\"
TESTS
echo RESULT: $?
poweroff -f
";

/// Runs them where a machine can be made; says why not elsewhere.
pub(crate) fn test_v2(tests: &[String]) -> anyhow::Result<()> {
    if let Some(why) = machine::missing() {
        step(&format!("tests on cgroup v2 are skipped: {why}"));
        return Ok(());
    }
    install::packages(machine::PACKAGES)?;
    let kernel = machine::kernel()?;
    let files = Files::new("machine-v2")?;
    files.stripped(&container_tests()?, "bin/containers")?;
    // The real ones; that of busybox knows nothing of namespaces.
    for program in ["ip", "nft"] {
        let path = read(Command::new("sh").args(["-c", &format!("command -v {program}")]))?;
        files.program(PathBuf::from(path.trim()).as_path(), &format!("bin/{program}"))?;
    }
    files.modules(&kernel, MODULES)?;
    files.text("init", INIT)?;
    let start = START.replace("MODULES", &MODULES.join(" "));
    let line = format!("RUST_BACKTRACE=0 /bin/containers {}", tests.join(" "));
    files.text("start", &start.replace("TESTS", line.trim_end()))?;
    step("booting a machine with cgroup v2");
    let code = machine::boot(&kernel, &files.pack()?, "cgroup_no_v1=all", PATIENCE)?;
    ensure!(code == 0, "tests failed on cgroup v2");
    Ok(())
}

/// Builds the tests; gives where they are.
fn container_tests() -> anyhow::Result<PathBuf> {
    let mut build = cargo();
    build.args([
        "test",
        "-p",
        "gannet-agent-runtime",
        "--test",
        "containers",
        "--no-run",
        "--message-format=json",
    ]);
    let messages = read(&mut build)?;
    let built = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let found = built
        .filter(|message| message["target"]["name"] == "containers")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from));
    found.context("cargo built no tests of containers")
}
