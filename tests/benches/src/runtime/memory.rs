//! Memory of what stays beside the containers: PSS of zygote and shims, and of podman's monitors.

use std::fs;
use std::path::Path;
use std::time::Duration;

use gannet_tests_support::wait_until;

use super::Options;
use super::life::Ours;
use super::peer::Peer;

const PODS: [usize; 3] = [1, 10, 50];
/// Further containers in the first pod.
const FURTHER: usize = 9;

/// Longer than a shim's child takes.
const PATIENCE: Duration = Duration::from_secs(20);

fn read(pid: u32, file: &str) -> String {
    String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default()).into_owned()
}

/// Processes whose name and command line fit.
fn processes(fits: impl Fn(&str, &str) -> bool) -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(move |pid| fits(read(*pid, "comm").trim(), &read(*pid, "cmdline")))
}

/// KiB of all of them.
fn pss(fits: impl Fn(&str, &str) -> bool) -> u64 {
    let of = |pid: u32| {
        let rollup = read(pid, "smaps_rollup");
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
        line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    processes(fits).map(of).sum()
}

/// Of zygote and shims, once the shims' own short-lived children have ended.
fn ours(shims: u64) -> anyhow::Result<u64> {
    let pods = format!("bench-{}-", std::process::id());
    let is_shim = |comm: &str, line: &str| comm == "gannet-shim" && line.contains(&pods);
    let settled = || match processes(is_shim).count() as u64 {
        count if count <= shims => Ok(()),
        count => Err(format!("{count} processes of {shims} shims")),
    };
    wait_until("the shims are alone", PATIENCE, settled)?;
    Ok(pss(|comm, line| comm == "gannet-zygote" || is_shim(comm, line)))
}

pub(super) async fn measure(options: &Options, dir: &Path, rootfs: &Path) -> anyhow::Result<()> {
    println!("\n### Memory beside the containers (PSS)\n\n| | total KiB | a pod |\n| --- | --- | --- |");
    let mut runtime = Ours::start(options, &dir.join("memory"), rootfs).await?;
    let zygote = ours(0)?;
    println!("| zygote, no pod | {zygote} | |");
    let mut count = 0;
    let mut first = None;
    for goal in PODS {
        while count < goal {
            let pod = runtime.pod().await?;
            runtime.run(&pod, "main", &["sleep", "1000"]).await?;
            first.get_or_insert(pod);
            count += 1;
        }
        let total = ours(goal as u64)?;
        println!("| gannet, {goal} pods | {total} | {} |", total.saturating_sub(zygote) / goal as u64);
    }
    let before = ours(count as u64)?;
    if let Some(pod) = &first {
        for number in 0..FURTHER {
            runtime.run(pod, &format!("further-{number}"), &["sleep", "1000"]).await?;
        }
    }
    println!(
        "| each further container in a pod | | {} |",
        ours(count as u64)?.saturating_sub(before) / FURTHER as u64
    );
    runtime.finish().await?;

    let Some(mut podman) = Peer::start("podman", &[])? else { return Ok(()) };
    let name = format!("gannet-bench-{}", std::process::id());
    let conmon = || pss(|comm, line| comm == "conmon" && line.contains(&name));
    let mut count = 0;
    for goal in PODS {
        while count < goal {
            let rootfs = rootfs.display();
            podman.run(&format!(
                "run -d --name {name}-{count} --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 --net host --read-only --rootfs {rootfs} sleep 1000"
            ))?;
            count += 1;
        }
        println!("| podman (conmon), {goal} containers | {} | {} |", conmon(), conmon() / goal as u64);
    }
    for number in 0..count {
        podman.run(&format!("rm -f -t 0 {name}-{number}"))?;
    }
    Ok(())
}
