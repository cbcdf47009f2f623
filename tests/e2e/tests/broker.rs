//! `gannet hub` over an external mosquitto, and `gannet-agent run` with an identity: births, deaths, and bad messages.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::ensure;
use gannet_tests_support::{Running, Sandbox, binary, run, wait_until};

const PATIENCE: Duration = Duration::from_secs(60);
const BROKER: &str = "mqtt://127.0.0.1:1883";

struct Site {
    sandbox: Sandbox,
    dir: tempfile::TempDir,
}

impl Site {
    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn command(&self, program: impl AsRef<Path>, args: &[&str]) -> Command {
        let mut command = self.sandbox.command(program.as_ref());
        command.args(args);
        command
    }

    fn gannet(&self, args: &[&str]) -> anyhow::Result<String> {
        let kubeconfig = self.path("hub/kubeconfig");
        let mut command = self.command(binary("gannet")?, &["--kubeconfig", &kubeconfig]);
        let (status, text) = run(command.args(args))?;
        ensure!(status.success(), "gannet {args:?}: {text}");
        Ok(text)
    }

    fn agent(&self) -> anyhow::Result<Running> {
        let (identity, data, run) = (self.path("identity"), self.path("agent"), self.path("run"));
        let folders = ["--identity", &identity, "--data-dir", &data, "--run-dir", &run];
        let rest = ["--keep-alive", "5", "--beat-interval", "5", "--stop-pods-on-exit"];
        Running::start(
            &mut self.command(binary("gannet-agent")?, &[&["run"], &folders[..], &rest[..]].concat()),
        )
    }

    fn node_is(&self, status: &str) -> anyhow::Result<()> {
        wait_until(&format!("a {status} node"), PATIENCE, || {
            let text = self.gannet(&["get", "nodes", "--no-headers"]).map_err(|e| e.to_string())?;
            let found =
                text.lines().any(|l| l.starts_with("edge-1 ") && l.split_whitespace().nth(1) == Some(status));
            if found { Ok(()) } else { Err(text) }
        })
    }
}

#[test]
fn an_external_broker() -> anyhow::Result<()> {
    let site = Site { sandbox: Sandbox::new("gannet-broker")?, dir: tempfile::tempdir()? };
    std::fs::write(site.path("mosquitto.conf"), "listener 1883 127.0.0.1\nallow_anonymous true\n")?;
    let mosquitto = Running::start(&mut site.command("mosquitto", &["-c", &site.path("mosquitto.conf")]))?;
    let mut hub = Running::start(
        &mut site.command(binary("gannet")?, &["hub", "--data-dir", &site.path("hub"), "--mqtt-url", BROKER]),
    )?;
    wait_until("the hub", PATIENCE, || {
        hub.still_runs()?;
        site.gannet(&["get", "namespaces"]).map(drop).map_err(|e| format!("{e:#}\n{}", hub.text()))
    })?;
    let (out, data) = (site.path("identity"), site.path("hub"));
    let identity = [
        "identity",
        "edge-1",
        "--data-dir",
        &data,
        "--mqtt-url",
        BROKER,
        "--registry",
        "127.0.0.1:5000",
        "-o",
        &out,
    ];
    let (status, text) = run(&mut site.command(binary("gannet")?, &identity))?;
    ensure!(status.success(), "{text}");

    let mut agent = site.agent()?;
    site.node_is("Ready")?;
    // What does not parse is dropped and counted; hub and agent stay.
    for (topic, payload) in [
        ("node/edge-1/report", "not json"),
        ("node/edge-1/beat", "[]"),
        ("node/EDGE/state", "{}"),
        ("node/edge-1/desired", "{\"forged\":true}"),
    ] {
        let topic = format!("gannet/v1/{topic}");
        let publish = ["-h", "127.0.0.1", "-q", "1", "-t", &topic, "-m", payload];
        let (status, text) = run(&mut site.command("mosquitto_pub", &publish))?;
        ensure!(status.success(), "mosquitto_pub: {text}");
    }
    // Killed: the will tells. Started again: Ready, and the forged document changed nothing.
    agent.signal("KILL")?;
    agent.wait(PATIENCE)?;
    site.node_is("NotReady")?;
    let mut agent = site.agent()?;
    site.node_is("Ready")?;
    hub.still_runs().map_err(anyhow::Error::msg)?;

    // The broker is gone and comes back: everybody finds it again.
    drop(mosquitto);
    let _mosquitto = Running::start(&mut site.command("mosquitto", &["-c", &site.path("mosquitto.conf")]))?;
    site.node_is("Ready")?;
    agent.signal("TERM")?;
    ensure!(agent.wait(PATIENCE)?.success(), "{}", agent.text());
    site.node_is("NotReady")?;
    hub.signal("TERM")?;
    ensure!(hub.wait(PATIENCE)?.success(), "{}", hub.text());
    Ok(())
}

#[test]
fn up_says_what_it_needs_root_for() -> anyhow::Result<()> {
    // As nobody, with the program readable: a copy where nobody may read it.
    let dir = Path::new("/tmp").join(format!("gannet-nobody-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    std::fs::copy(binary("gannet")?, dir.join("gannet"))?;
    let (_, text) = run(Command::new("chmod").args(["-R", "755"]).arg(&dir))?;
    let mut setpriv = Command::new("setpriv");
    setpriv
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(dir.join("gannet"))
        .arg("up");
    let (status, said) = run(&mut setpriv)?;
    std::fs::remove_dir_all(&dir)?;
    ensure!(
        !status.success() && said.contains("gannet up needs root: its agent makes network namespaces"),
        "{text}{said}"
    );
    Ok(())
}
