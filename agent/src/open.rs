//! Opens what the agent works with, in order: what is on the disk first.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use gannet_agent_devices::{Devices, Roots};
use gannet_agent_net::{NetConfig, PodNetwork};
use gannet_agent_runtime::{Runtime, RuntimeConfig, RuntimeEvent};
use gannet_images::ImageStore;
use gannet_protocols_model::Session;
use tokio::sync::{mpsc, watch};
use tracing::info;

use crate::clock::Clock;
use crate::config::RunConfig;
use crate::data_folder;
use crate::executor::{Looked, Tools, allocatable, try_users};
use crate::layout::Layout;
use crate::ledger::Ledger;
use crate::network::Wish;
use crate::node_info::{self, Given, gather};
use crate::reserve::Reserve;

/// What is opened before anything runs.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) layout: Layout,
    pub(crate) reserve: Reserve,
    pub(crate) clock: Clock,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) session: Session,
    pub(crate) tools: Arc<Tools>,
    pub(crate) wish: watch::Sender<Arc<Wish>>,
    pub(crate) exits: mpsc::Receiver<RuntimeEvent>,
    // Held for as long as the agent runs.
    pub(crate) _lock: File,
}

/// Opens the data folder, the ledger, the images, the runtime and the network.
pub(crate) async fn open(config: &RunConfig) -> anyhow::Result<Opened> {
    let folder = data_folder::open(&config.data_dir, &config.run_dir, &config.settings.reserved)?;
    let data_folder::DataFolder { layout, reserve, lock } = folder;
    let ledger = Ledger::open(&layout.ledger(), &config.node, &config.hub_key).context("open the ledger")?;
    let clock = Clock::start(ledger.numbers.time_floor());
    let session = ledger.numbers.next_session(clock.now());
    let images = ImageStore::open(&layout.images()).context("open the image store")?;
    let program = std::env::current_exe().context("find the agent's own program")?;
    let runtime_config =
        RuntimeConfig { run_dir: layout.run.clone(), zygote_command: (program, vec!["zygote".into()]) };
    let (runtime, exits) = Runtime::start(runtime_config).await.context("start the runtime")?;
    let resolv_conf = PathBuf::from("/etc/resolv.conf");
    let net_config = NetConfig {
        run_dir: layout.run.clone(),
        bridge: config.bridge.clone(),
        resolv_conf: resolv_conf.clone(),
    };
    let network = PodNetwork::open(net_config).await.context("open the pod network")?;
    let ledger = Arc::new(ledger);
    let classes = config.settings.devices.clone();
    let (volatile, durable) = (layout.volatile_devices(), layout.durable_devices());
    let devices = Devices::open(classes, Roots::default(), volatile, durable);
    let (wish, wishes) = watch::channel(Arc::new(Wish::default()));
    let devices = Arc::new(devices);
    let given = given(config, &devices);
    let user_namespaces = user_namespaces(layout.user_namespace_trial()).await;
    let tools = Tools {
        user_namespaces,
        layout: layout.clone(),
        clock: clock.clone(),
        ledger: Arc::clone(&ledger),
        runtime,
        images,
        registries: config.registries.clone(),
        network: Arc::new(network),
        wish: wishes,
        node_name: config.node.to_string(),
        node_ip: config.node_address,
        node_hostname: node_info::hostname(),
        node_memory: node_info::memory(),
        allocatable: allocatable(&gather(&given, &layout.data)),
        resolv_conf,
        devices,
        settings: config.settings.clone(),
        looked: Looked::default(),
    };
    Ok(Opened { layout, reserve, clock, ledger, session, tools: Arc::new(tools), wish, exits, _lock: lock })
}

/// Whether pods can have users of their own; refused by name where they cannot.
async fn user_namespaces(scratch: PathBuf) -> bool {
    let tried = tokio::task::spawn_blocking(move || try_users(&scratch)).await;
    match tried.unwrap_or_else(|error| Err(error.into())) {
        Ok(()) => true,
        Err(error) => {
            info!(reason = format!("{error:#}"), "pods with hostUsers: false are refused on this node");
            false
        }
    }
}

/// What the configuration says of the node.
pub(crate) fn given(config: &RunConfig, devices: &Arc<Devices>) -> Given {
    Given {
        address: config.node_address,
        labels: config.labels.clone(),
        settings: config.settings.clone(),
        devices: Arc::clone(devices),
    }
}
