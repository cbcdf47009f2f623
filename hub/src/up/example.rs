//! The example: packs a real image, pushes it, applies the manifest that everybody starts with, waits for it.

use std::fs;
use std::time::Duration;

use anyhow::Context as _;
use gannet_hub_core::{Kind, ObjectKey};
use gannet_hub_ctl::{ApplyArgs, Command, Connection, GetArgs, Session};
use gannet_images::{PackConfig, PackFile, Platform, Registry, pack, push};

use super::say;
use crate::hub::Hub;

/// The manifest, as it stands in the repository.
const MANIFEST: &str = include_str!("../../../deploy/examples/web-app.yaml");
/// What it asks for.
const IMAGE: &str = "my-web-app:latest";
/// How long it may take until it is available.
const AVAILABLE: Duration = Duration::from_secs(120);

/// Runs the example to the point where it answers.
pub(super) async fn web_app(
    hub: &Hub,
    session: &Session,
    connection: &Connection,
    step: &(dyn Fn(&str) + Sync),
) -> anyhow::Result<()> {
    let program = std::env::current_exe()?.with_file_name("gannet-example-web-app");
    let bytes = fs::read(&program)
        .with_context(|| format!("{} (cargo build --workspace --bins)", program.display()))?;
    let config = PackConfig {
        entrypoint: vec!["/web-app".to_owned()],
        exposed_ports: vec!["8080/tcp".to_owned()],
        ..PackConfig::default()
    };
    let file = PackFile { path: "/web-app".to_owned(), bytes, mode: 0o755 };
    let packed =
        tokio::task::spawn_blocking(move || pack(vec![file], &config, &Platform::of_this_build())).await??;
    step(&format!("packed {IMAGE}, {} KB", packed.layer.len() / 1024));
    let local = hub.registries.iter().find(|a| a.ip().is_loopback());
    let local =
        local.context("the example needs the registry on loopback: --registry-address 127.0.0.1:5000")?;
    let digest = push(&packed, &IMAGE.parse()?, &Registry::http(&local.to_string())).await?;
    step(&format!("pushed {local}/{IMAGE}@{digest}"));

    let path = hub.kubeconfig.with_file_name("web-app.yaml");
    fs::write(&path, MANIFEST)?;
    let mut out = Vec::new();
    gannet_hub_ctl::run(&Command::Apply(ApplyArgs::file(path)), connection, &mut out).await?;
    for line in String::from_utf8_lossy(&out).lines() {
        step(line);
    }
    let mut progress = |text: &str| step(text);
    gannet_hub_ctl::wait_available(session, "web-app", AVAILABLE, &mut progress).await?;

    say("");
    let mut out = Vec::new();
    let get = Command::Get(GetArgs::table("deployments,pods,services"));
    gannet_hub_ctl::run(&get, connection, &mut out).await?;
    say(String::from_utf8_lossy(&out).trim_end());
    let service = hub.objects.get(Kind::SERVICE, &ObjectKey::new("default", "web-app-service"));
    let service = service.map_err(|status| anyhow::anyhow!(status.message))?;
    if let Some(ip) = service.pointer("/status/loadBalancer/ingress/0/ip").and_then(|ip| ip.as_str()) {
        say(&format!("\nURL: http://{ip}:80/"));
    }
    Ok(())
}
