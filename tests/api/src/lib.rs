//! The API with a real store and real TLS, without controllers or nodes, and real kubectls to ask it.

#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use gannet_hub_api::objects::{Objects, Ports, Replicated, Status};
use gannet_hub_api::{Answers, ApiConfig, ApiServer, LogOptions, LogStream, NodeFigures, PodLogs, serve};
use gannet_hub_pki::{Authority, ClientAuth, SanName, kubeconfig, server_config};
use gannet_hub_store::{Config, Store};
use gannet_protocols_model::{NodeName, NodeUsage, Timestamp};
use gannet_tests_support::{Kubectl, kubectl_binaries};
use k8s_openapi::api::core::v1::Pod;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// A hub's API on a free port.
#[derive(Debug)]
pub struct Bench {
    runtime: Runtime,
    server: Option<ApiServer>,
    store: Arc<Store>,
    /// The objects behind the API.
    pub objects: Arc<Objects>,
    /// What nodes say that they use. The others are not connected.
    pub figures: Said,
    dir: TempDir,
}

/// What nodes say that they use.
#[derive(Debug, Clone, Default)]
pub struct Said(Arc<Mutex<BTreeMap<NodeName, NodeUsage>>>);

impl Said {
    /// A node that answers from now on.
    pub fn put(&self, node: NodeName, usage: NodeUsage) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(node, usage);
    }
}

impl NodeFigures for Said {
    fn figures(&self, nodes: BTreeSet<NodeName>) -> BoxFuture<'_, Answers> {
        let said = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let answer = |node: &NodeName| match said.get(node) {
            Some(usage) => Ok(Arc::new(usage.clone())),
            None => Err(format!("node {node} is not connected")),
        };
        let answers = nodes.into_iter().map(|node| (node.clone(), answer(&node))).collect();
        std::future::ready(answers).boxed()
    }
}

/// Logs that say what was asked for.
struct Echo;

impl PodLogs for Echo {
    fn logs<'a>(
        &'a self,
        pod: &'a Pod,
        container: &'a str,
        options: LogOptions,
    ) -> BoxFuture<'a, Result<LogStream, Status>> {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let line =
            format!("{name}/{container} tail={:?} previous={}\n", options.tail_lines, options.previous);
        let stream: LogStream = futures::stream::iter([Ok(Bytes::from(line))]).boxed();
        std::future::ready(Ok(stream)).boxed()
    }
}

fn now() -> Timestamp {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    Timestamp::default().plus(since)
}

impl Bench {
    /// Starts a store and a server.
    pub fn start() -> anyhow::Result<Self> {
        let runtime = Runtime::new()?;
        let dir = tempfile::tempdir()?;
        let figures = Said::default();
        let (server, store, objects) = runtime.block_on(start(&dir, figures.clone()))?;
        Ok(Self { runtime, server: Some(server), store, objects, figures, dir })
    }

    /// Every kubectl that there is, each with a home of its own.
    pub fn kubectls(&self) -> anyhow::Result<Vec<Kubectl>> {
        let kubectl = |(at, program): (usize, PathBuf)| {
            let home = self.dir.path().join(format!("home-{at}"));
            std::fs::create_dir_all(&home)?;
            Ok(Kubectl { program, kubeconfig: self.dir.path().join("kubeconfig"), netns: None, home })
        };
        kubectl_binaries()?.into_iter().enumerate().map(kubectl).collect()
    }

    /// The kubeconfig of the administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.path().join("kubeconfig")
    }

    /// The kubeconfig of a user whom nobody allowed anything.
    pub fn stranger(&self) -> PathBuf {
        self.dir.path().join("stranger")
    }

    /// A file for `kubectl -f`.
    pub fn file(&self, name: &str, text: &str) -> anyhow::Result<String> {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text)?;
        path.into_os_string().into_string().ok().context("the path is not UTF-8")
    }

    /// Waits for a future of the server's runtime.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let (server, store) = (self.server.take(), self.store.clone());
        self.runtime.block_on(async move {
            if let Some(server) = server {
                server.shutdown(Duration::from_secs(5)).await;
            }
            store.shutdown().await;
        });
    }
}

async fn start(dir: &TempDir, figures: Said) -> anyhow::Result<(ApiServer, Arc<Store>, Arc<Objects>)> {
    let store = Arc::new(Store::open(Config::single(dir.path().join("store"))).await?);
    let random = |bytes: &mut [u8]| {
        if getrandom::fill(bytes).is_err() {
            bytes.fill(0);
        }
    };
    let ports = Ports { clock: Arc::new(now), random: Arc::new(random) };
    let objects = Arc::new(Objects::new(Arc::new(Replicated(store.clone())), ports));
    objects.ensure_first_objects().await?;
    let authority = Authority::open_or_create(dir.path(), now())?;
    let localhost = SanName::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let identity = authority.issue_server(&[localhost], now())?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let url = format!("https://{}", listener.local_addr()?);
    for (file, user, groups) in
        [("kubeconfig", "admin", &["system:masters"][..]), ("stranger", "joe", &["people"])]
    {
        let client = authority.issue_client(user, groups, now())?;
        std::fs::write(dir.path().join(file), kubeconfig(&url, authority.ca_pem(), &client))?;
    }
    let server = serve(ApiConfig {
        listener,
        tls: server_config(&identity, authority.ca_pem(), ClientAuth::Optional)?,
        max_connections: 64,
        version: "0.1.0".to_owned(),
        ready: Arc::new(|| true),
        objects: objects.clone(),
        logs: Arc::new(Echo),
        figures: Arc::new(figures),
    })?;
    Ok((server, store, objects))
}

/// Runs a story with each kubectl, on a hub of its own.
pub fn with_each(story: fn(&Bench, &Kubectl) -> anyhow::Result<()>) -> anyhow::Result<()> {
    for at in 0..2 {
        let bench = Bench::start()?;
        let kubectl = bench.kubectls()?.swap_remove(at);
        story(&bench, &kubectl).map_err(|e| e.context(kubectl.program.display().to_string()))?;
    }
    Ok(())
}

/// Fails where a text lacks a part.
pub fn contains(text: &str, part: &str) -> anyhow::Result<()> {
    ensure!(text.contains(part), "{part:?} is not in:\n{text}");
    Ok(())
}
