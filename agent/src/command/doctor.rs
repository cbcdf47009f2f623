//! `gannet-agent doctor`: whether this machine can run pods. Each thing that is wrong comes with its cause and a remedy.

use std::fs;
use std::io::Write as _;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use gannet_protocols_model::Timestamp;

use crate::cli::DoctorArgs;
use crate::clock::wall;
use crate::config::{RunConfig, Settings};
use crate::node_info::disk_space;
use crate::tls;

/// Less free disk than this makes pulls fail.
const LEAST_DISK: u64 = 256 << 20;
/// How long the hub may take to answer.
const CONNECT: Duration = Duration::from_secs(5);
/// A certificate that ends sooner than this is told.
const SOON: Duration = Duration::from_secs(7 * 24 * 3600);

/// What came of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Finding {
    Good(String),
    /// Pods run all the same.
    Warning {
        cause: String,
        remedy: String,
    },
    Bad {
        cause: String,
        remedy: String,
    },
}

fn bad(cause: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding::Bad { cause: cause.into(), remedy: remedy.into() }
}

fn warning(cause: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding::Warning { cause: cause.into(), remedy: remedy.into() }
}

/// Checks, prints, and says by its exit code whether all is well.
pub(crate) fn doctor(args: DoctorArgs) -> anyhow::Result<ExitCode> {
    let mut findings = machine();
    let file = args.config.as_deref().map(Settings::read).transpose();
    let data_dir = args.settings.data_dir.clone();
    let settings = file.map(|file| args.settings.over(file.unwrap_or_default()));
    match settings.and_then(Settings::check) {
        Ok(config) => {
            findings.extend(folder(&config.data_dir));
            findings.extend(link(&config));
        }
        Err(error) => {
            findings.extend(folder(data_dir.as_deref().unwrap_or(Path::new("/var/lib/gannet"))));
            for problem in error.problems {
                let remedy = "give it as a flag or in --config; or enrol this node and name the folder with --identity";
                findings.push(("configuration", bad(problem, remedy)));
            }
        }
    }
    let mut out = std::io::stdout().lock();
    let mut well = true;
    for (subject, finding) in findings {
        match finding {
            Finding::Good(text) => writeln!(out, "ok       {subject}: {text}")?,
            Finding::Warning { cause, remedy } => {
                writeln!(out, "warning  {subject}: {cause}\n         → {remedy}")?
            }
            Finding::Bad { cause, remedy } => {
                well = false;
                writeln!(out, "WRONG    {subject}: {cause}\n         → {remedy}")?;
            }
        }
    }
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

type Findings = Vec<(&'static str, Finding)>;

fn machine() -> Findings {
    vec![
        ("root", root()),
        ("overlayfs", overlay()),
        ("namespaces", namespaces()),
        ("cgroups", cgroups()),
        ("seccomp", seccomp()),
        ("nftables", nftables()),
        ("bridge", device("bridge", "CONFIG_BRIDGE")),
        ("veth", device("veth", "CONFIG_VETH")),
        ("time", time()),
    ]
}

fn root() -> Finding {
    match rustix::process::geteuid().is_root() {
        true => Finding::Good("user 0".to_owned()),
        false => bad("not root", "run the agent and this check as root, with sudo or as a system service"),
    }
}

fn overlay() -> Finding {
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    match known.lines().any(|line| line.ends_with("\toverlay")) || load("overlay") {
        true => Finding::Good("the kernel has it".to_owned()),
        false => bad(
            "the kernel does not know overlayfs",
            "load the module `overlay`, or build the kernel with CONFIG_OVERLAY_FS",
        ),
    }
}

fn namespaces() -> Finding {
    let missing: Vec<&str> = ["pid", "mnt", "net", "ipc", "uts", "cgroup"]
        .into_iter()
        .filter(|name| !Path::new("/proc/self/ns").join(name).exists())
        .collect();
    match missing.is_empty() {
        true => Finding::Good("pid, mnt, net, ipc, uts, cgroup".to_owned()),
        false => bad(
            format!("the kernel has no namespaces of type {}", missing.join(", ")),
            "use a kernel with CONFIG_NAMESPACES and its options",
        ),
    }
}

/// The controllers, wherever they are mounted.
fn cgroups() -> Finding {
    let v2 = Path::new("/sys/fs/cgroup/cgroup.controllers");
    let mounted_v1 = |name: &str| Path::new("/sys/fs/cgroup").join(name).join("tasks").exists();
    let unified = fs::read_to_string(v2).unwrap_or_default();
    let has = |name: &str| unified.split_whitespace().any(|c| c == name) || mounted_v1(name);
    let missing: Vec<&str> = ["cpu", "memory", "pids"].into_iter().filter(|name| !has(name)).collect();
    let kind = match (v2.exists(), mounted_v1("memory")) {
        (true, _) => "v2",
        (false, true) if Path::new("/sys/fs/cgroup/unified").exists() => "v1 with a hybrid v2",
        (false, true) => "v1",
        (false, false) => {
            return bad(
                "no hierarchy is mounted at /sys/fs/cgroup",
                "mount one: mount -t cgroup2 none /sys/fs/cgroup",
            );
        }
    };
    match missing.as_slice() {
        [] => Finding::Good(format!("{kind}: cpu, memory, pids")),
        ["memory"] => bad(
            format!("{kind}: the controller memory is off"),
            "add `cgroup_enable=memory` to the kernel's command line (Raspberry Pi: /boot/firmware/cmdline.txt) and restart",
        ),
        _ => bad(
            format!("{kind}: no controller {}", missing.join(", ")),
            "use a kernel with CONFIG_CGROUPS and its controllers",
        ),
    }
}

fn seccomp() -> Finding {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    match status.lines().any(|line| line.starts_with("Seccomp:")) {
        true => Finding::Good("filters".to_owned()),
        false => bad("the kernel cannot filter system calls", "use a kernel with CONFIG_SECCOMP_FILTER"),
    }
}

fn nftables() -> Finding {
    let found =
        ["/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft"].into_iter().find(|path| Path::new(path).exists());
    let Some(program) = found else {
        return bad("the program nft is not installed", "apt-get install nftables");
    };
    match std::process::Command::new(program).args(["list", "tables"]).output() {
        Ok(output) if output.status.success() => Finding::Good("nft works".to_owned()),
        Ok(output) => bad(
            format!("nft fails: {}", String::from_utf8_lossy(&output.stderr).trim()),
            "use a kernel with CONFIG_NF_TABLES and CONFIG_NFT_NAT, and be root",
        ),
        Err(error) => bad(format!("nft does not start: {error}"), "apt-get install --reinstall nftables"),
    }
}

/// A kind of network device, by making one in a network namespace that ends with the try.
fn device(kind: &'static str, option: &str) -> Finding {
    let output =
        std::process::Command::new("unshare").args(["-n", "ip", "link", "add", "type", kind]).output();
    match output {
        Ok(output) if output.status.success() => Finding::Good("the kernel has it".to_owned()),
        Ok(output) => bad(
            format!("cannot make one: {}", String::from_utf8_lossy(&output.stderr).trim()),
            format!("be root, and load the module `{kind}` or build the kernel with {option}"),
        ),
        Err(error) => warning(
            format!("not tried: {error}"),
            format!("make sure that the kernel was built with {option}"),
        ),
    }
}

fn load(name: &str) -> bool {
    let output = std::process::Command::new("modprobe").arg(name).output();
    output.is_ok_and(|o| o.status.success())
}

fn time() -> Finding {
    // The release of this program is not from the future.
    let least: Timestamp = "2025-01-01T00:00:00Z".parse().unwrap_or_default();
    let now = wall();
    match now >= least {
        true => Finding::Good(now.to_string()),
        false => warning(
            format!("the clock says {now}"),
            "set it, or run a time server's client (systemd-timesyncd, chrony); pods run all the same",
        ),
    }
}

fn folder(dir: &Path) -> Findings {
    let probe = dir.join(".doctor");
    let writable =
        fs::create_dir_all(dir).and_then(|()| fs::write(&probe, b"x")).and_then(|()| fs::remove_file(&probe));
    let mut findings: Findings = match writable {
        Ok(()) => vec![("data folder", Finding::Good(format!("{} can be written", dir.display())))],
        Err(error) => {
            let cause = format!("{} cannot be written: {error}", dir.display());
            return vec![(
                "data folder",
                bad(cause, "mount it with write access, or name another with --data-dir"),
            )];
        }
    };
    findings.push(match disk_space(dir) {
        Ok((_, free)) if free >= LEAST_DISK => ("disk", Finding::Good(format!("{} MiB free", free >> 20))),
        Ok((_, free)) => {
            ("disk", bad(format!("{} MiB free", free >> 20), "make room: images need more than 256 MiB"))
        }
        Err(error) => ("disk", warning(format!("free space is not known: {error}"), "look with `df`")),
    });
    let floor = fs::read_to_string(dir.join("ledger/time")).ok().and_then(|text| text.trim().parse().ok());
    if let Some(floor) = floor.map(Timestamp::from_millis).filter(|floor| wall() < *floor) {
        let cause = format!("the clock says {}, the ledger has already seen {floor}", wall());
        findings.push((
            "time",
            warning(cause, "set the clock; until then the agent goes on from the ledger's time"),
        ));
    }
    findings
}

fn link(config: &RunConfig) -> Findings {
    let Some(mqtt) = &config.mqtt else {
        return vec![(
            "hub",
            warning("no hub is configured", "name its broker with --mqtt-url, or enrol this node"),
        )];
    };
    let mut findings = vec![("hub", reach(&mqtt.url))];
    if let Some(files) = &mqtt.tls {
        findings.push(("CA certificate", validity(&files.ca)));
        if let Some(identity) = &files.identity {
            findings.push(("node certificate", validity(&identity.cert_pem)));
        }
    }
    findings
}

fn reach(url: &str) -> Finding {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest).trim_end_matches('/');
    let port = if url.starts_with("mqtts") { 8883 } else { 1883 };
    let address = if rest.rsplit_once(':').is_some_and(|(_, p)| p.parse::<u16>().is_ok()) {
        rest.to_owned()
    } else {
        format!("{rest}:{port}")
    };
    let resolved = match address.to_socket_addrs() {
        Ok(addresses) => addresses.collect::<Vec<_>>(),
        Err(error) => {
            return warning(
                format!("{address} does not resolve: {error}"),
                "check the name and this node's DNS; pods run all the same",
            );
        }
    };
    let mut last = "no address".to_owned();
    for address in resolved {
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(_) => return Finding::Good(format!("{url} answers")),
            Err(error) => last = error.to_string(),
        }
    }
    warning(
        format!("{url} does not answer: {last}"),
        "check the network and the firewall on the way to the hub; pods run all the same",
    )
}

fn validity(pem: &str) -> Finding {
    let remedy = "enrol this node anew: `gannet join`";
    let certificates = match tls::certificates(pem) {
        Ok(certificates) => certificates,
        Err(error) => return bad(format!("{error:#}"), remedy),
    };
    let Some(first) = certificates.first() else { return bad("no certificate", remedy) };
    let parsed = match x509_parser::parse_x509_certificate(first) {
        Ok((_, parsed)) => parsed,
        Err(error) => return bad(format!("does not parse: {error}"), remedy),
    };
    let time =
        |seconds: i64| Timestamp::from_millis(u64::try_from(seconds).unwrap_or(0).saturating_mul(1000));
    let (from, until) =
        (time(parsed.validity().not_before.timestamp()), time(parsed.validity().not_after.timestamp()));
    let now = wall();
    if now < from {
        return warning(format!("is valid from {from}, the clock says {now}"), "set the clock");
    }
    if now > until {
        return bad(format!("ended at {until}"), remedy);
    }
    if now.plus(SOON) > until {
        return warning(format!("ends at {until}"), remedy);
    }
    Finding::Good(format!("valid until {until}"))
}
