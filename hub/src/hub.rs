//! A whole hub: store, API, registry, broker, gateway, and the loop that decides.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use gannet_hub_api::objects::{Objects, Ports, Replicated};
use gannet_hub_api::{ApiConfig, ApiServer};
use gannet_hub_core::control::SeededNames;
use gannet_hub_gateway::{Broker, BrokerConfig, BrokerTls, Gateway, GatewayConfig, GatewayTasks};
use gannet_hub_pki::{
    Authority, ClientAuth, HUB_ORGANIZATION, client_config, kubeconfig, peer_identity, server_config,
};
use gannet_hub_registry::Registry;
use gannet_hub_store::{Config as StoreConfig, Network, PeerTls, Store};
use gannet_protocols_model::Timestamp;
use gannet_protocols_mqtt::MqttLink;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::brain::Brain;
use crate::documents::Documents;
use crate::node_figures::FreshFigures;
use crate::pod_logs::NodeLogs;
use crate::publish::Publisher;
use crate::registry_server;
use crate::settings::{HubArgs, reachable};

/// Clients of the API at a time; each watch is one.
const MAX_API_CONNECTIONS: usize = 4096;
/// How long a stop waits for requests that are under way.
const GRACE: Duration = Duration::from_secs(5);
/// How long a hub waits to become able to write at its start. One voter needs less than a second.
const LEADER: Duration = Duration::from_secs(60);

/// A hub that runs.
pub(crate) struct Hub {
    pub(crate) authority: Arc<Authority>,
    pub(crate) objects: Arc<Objects>,
    pub(crate) api: SocketAddr,
    pub(crate) registries: Vec<SocketAddr>,
    pub(crate) mqtt_url: String,
    pub(crate) kubeconfig: PathBuf,
    store: Arc<Store>,
    server: ApiServer,
    broker: Option<Broker>,
    gateway_tasks: GatewayTasks,
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

/// The time, as the hub sees it.
pub(crate) fn now() -> Timestamp {
    Timestamp::default().plus(std::time::UNIX_EPOCH.elapsed().unwrap_or_default())
}

fn random(bytes: &mut [u8]) {
    if let Err(error) = getrandom::fill(bytes) {
        // Names would repeat, and every create would be refused as existing: worse than to stop.
        tracing::error!(%error, "the kernel gives no randomness");
        std::process::abort();
    }
}

impl Hub {
    /// Starts everything, or says what could not be started.
    pub(crate) async fn start(args: &HubArgs) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&args.data_dir)
            .with_context(|| format!("cannot make {}", args.data_dir.display()))?;
        let authority = Arc::new(Authority::open_or_create(&args.data_dir, now()).context("the fleet's CA")?);
        let identity =
            authority.ensure_server("hub", &args.names(), now()).context("the hub's certificate")?;
        let own = authority.ensure_client("hub-client", "gannet-hub", &[HUB_ORGANIZATION], now())?;
        let client = client_config(authority.ca_pem(), Some(&own))?;

        let mut store_config = StoreConfig::single(args.data_dir.join("store"));
        store_config.network = Some(Network {
            listen: args.raft_address,
            advertise: reachable(args.raft_address).to_string(),
            tls: PeerTls {
                server: server_config(&identity, authority.ca_pem(), ClientAuth::Required)?,
                client: client.clone(),
                admit: Arc::new(|der| peer_identity(der).is_ok_and(|peer| peer.is_hub())),
            },
        });
        let store = Arc::new(Store::open(store_config).await.context("cannot open the store")?);
        if let Some(recovery) = store.recovery() {
            warn!(?recovery, "the store was restored; what it says is lost was lost");
        }
        let ports = Ports { clock: Arc::new(now), random: Arc::new(random) };
        let objects = Arc::new(Objects::new(Arc::new(Replicated(store.clone())), ports));
        leads(&store).await?;
        objects.ensure_first_objects().await.map_err(|s| anyhow::anyhow!("first objects: {}", s.message))?;

        let stop = CancellationToken::new();
        let tls = server_config(&identity, authority.ca_pem(), ClientAuth::Required)?;
        let registry = Registry::open(&args.data_dir.join("registry")).context("the registry's folder")?;
        let (registries, mut tasks) =
            registry_server::serve(&args.registry_address, registry.router(), tls, stop.clone()).await?;

        let (broker, mqtt_url) = broker(args).await?;
        let config = GatewayConfig::new(now().millis());
        let link = MqttLink::connect(config.link(mqtt_url.clone(), Some(client)))
            .context("the link to the broker")?;
        let documents = Documents::default();
        let (gateway, facts, gateway_tasks) = Gateway::start(config, link, documents.clone());
        let publisher = Publisher::default();
        tasks.spawn(publisher.clone().run(gateway.clone(), stop.clone()));

        let mut seed = [0; 16];
        random(&mut seed);
        let brain = Brain {
            store: store.clone(),
            objects: objects.clone(),
            authority: authority.clone(),
            documents,
            publisher,
            facts,
            names: SeededNames::new(u128::from_le_bytes(seed)),
        };
        tasks.spawn(brain.run(stop.clone()));

        let listener = TcpListener::bind(args.api_address).await;
        let listener =
            listener.with_context(|| format!("cannot listen at --api-address {}", args.api_address))?;
        let ready = store.clone();
        let server = gannet_hub_api::serve(ApiConfig {
            listener,
            tls: server_config(&identity, authority.ca_pem(), ClientAuth::Optional)?,
            max_connections: MAX_API_CONNECTIONS,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ready: Arc::new(move || ready.is_leader()),
            objects: objects.clone(),
            logs: Arc::new(NodeLogs(gateway.clone())),
            figures: Arc::new(FreshFigures::new(gateway)),
        })?;
        let api = server.address();
        let kubeconfig = write_kubeconfig(args, &authority, api)?;
        info!(%api, ?registries, mqtt = mqtt_url, "hub is ready");
        Ok(Self {
            authority,
            objects,
            api,
            registries,
            mqtt_url,
            kubeconfig,
            store,
            server,
            broker,
            gateway_tasks,
            tasks,
            stop,
        })
    }

    /// Ends in the opposite order: clients first, the store last.
    pub(crate) async fn stop(mut self) {
        self.server.shutdown(GRACE).await;
        self.stop.cancel();
        let rest = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, rest).await.is_err() {
            warn!("tasks did not end in time");
        }
        self.gateway_tasks.stop().await;
        if let Some(broker) = self.broker {
            broker.stop().await;
        }
        self.store.shutdown().await;
    }

    /// Waits until a task ends that never should.
    pub(crate) async fn failed(&mut self) -> anyhow::Error {
        match self.tasks.join_next().await {
            Some(Err(error)) => anyhow::Error::new(error).context("a task of the hub failed"),
            _ => anyhow::anyhow!("a task of the hub ended early"),
        }
    }
}

async fn leads(store: &Store) -> anyhow::Result<()> {
    let mut leads = store.leader_changes();
    let led = tokio::time::timeout(LEADER, leads.wait_for(|leads| *leads)).await;
    led.context("no hub could be elected: are the other hubs reachable?")??;
    Ok(())
}

/// The embedded broker, unless another one was named.
async fn broker(args: &HubArgs) -> anyhow::Result<(Option<Broker>, String)> {
    if let Some(url) = &args.mqtt_url {
        return Ok((None, url.clone()));
    }
    let pki = args.data_dir.join("pki");
    let tls = BrokerTls {
        certificate: pki.join("hub.crt"),
        key: pki.join("hub.key"),
        client_ca: pki.join("ca.crt"),
    };
    let broker =
        Broker::start(BrokerConfig::new(args.mqtt_address.clone(), tls)).await.context("the MQTT broker")?;
    let first = broker.addresses().first().copied().context("--mqtt-address is empty")?;
    let url = format!("mqtts://{}", reachable(first));
    Ok((Some(broker), url))
}

fn write_kubeconfig(args: &HubArgs, authority: &Authority, api: SocketAddr) -> anyhow::Result<PathBuf> {
    let admin = authority.ensure_client("admin", "admin", &["system:masters"], now())?;
    let path = args.data_dir.join("kubeconfig");
    let text = kubeconfig(&format!("https://{}", reachable(api)), authority.ca_pem(), &admin);
    crate::private_file::write(&path, text.as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
