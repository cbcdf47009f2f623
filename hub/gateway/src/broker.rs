//! The embedded broker: rmqtt as a library, on a runtime of its own.
//!
//! Why rmqtt and not rumqttd: rumqttd has no access control by topic, one TCP connection that never starts its TLS
//! handshake blocks its whole listener, it needs three times the memory a client, and it is hardly maintained. rmqtt
//! handshakes each connection in a task of its own, gives the verified certificate to its hooks, and delivered a burst to
//! 10,000 clients as fast as mosquitto did. What it lacks is made good here: it never ends its tasks, so it gets a runtime
//! that can be shut down; it does not ask for the right to publish a last will, so that is checked at the connect; its own
//! store of retained messages does nothing without a plugin, so one is plugged in.
//!
//! rmqtt reads certificates from files, and only when it starts: a renewed one is used after the next start.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use gannet_protocols_wire::MAX_MESSAGE_BYTES;
use rmqtt::codec::v5::SubscribeAckReason;
use rmqtt::context::ServerContext;
use rmqtt::hook::{Handler, HookResult, Parameter, Register, ReturnType, Type};
use rmqtt::net::Builder;
use rmqtt::retain::{DefaultRetainStorage, RetainStorage};
use rmqtt::server::MqttServer;
use rmqtt::types::{
    AuthResult, ConnectInfo, LastWill, PublishAclResult, Retain, SubscribeAclResult, TopicFilter, TopicName,
};
use tokio::runtime::Runtime;

use crate::access::Identity;

/// Header and topic beside the largest message.
const MAX_PACKET: u32 = (2 << 20) + 4096;
const _: () = assert!(MAX_PACKET as usize == MAX_MESSAGE_BYTES + 4096);
/// Messages on their way to one client. rmqtt's 16 cost a round trip for every 16 messages of a burst.
const INFLIGHT: NonZeroU16 = NonZeroU16::new(100).unwrap();
/// Messages waiting for one client. The hub's own queue takes a report of each of 10,000 nodes at once.
const QUEUE: usize = 20_000;

/// The broker's configuration.
#[derive(Debug, Clone)]
pub struct BrokerConfig {
    /// Where it listens; port 0 lets the system choose.
    pub listen: Vec<SocketAddr>,
    /// Who it is, and whom it believes. There is no way in without a certificate.
    pub tls: BrokerTls,
    /// The most connections.
    pub max_clients: usize,
    /// Threads of its own.
    pub threads: usize,
}

/// PEM files.
#[derive(Debug, Clone)]
pub struct BrokerTls {
    /// The broker's certificate and what stands between it and the CA.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The CA of the clients' certificates.
    pub client_ca: PathBuf,
}

impl BrokerConfig {
    /// A broker with room for 100,000 nodes.
    pub fn new(listen: Vec<SocketAddr>, tls: BrokerTls) -> Self {
        Self { listen, tls, max_clients: 100_000, threads: 2 }
    }
}

/// Why the broker does not start.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// No threads.
    #[error("cannot start the broker's threads")]
    Runtime(#[source] std::io::Error),
    /// The address is taken, or is not of this machine.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the library said.
        reason: String,
    },
    /// The certificates cannot be used.
    #[error(
        "cannot use the broker's certificate {certificate:?}, key {key:?} and client CA {client_ca:?}: {reason}"
    )]
    Tls {
        /// The certificate.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
        /// The clients' CA.
        client_ca: PathBuf,
        /// What the library said.
        reason: String,
    },
    /// It broke while starting.
    #[error("the broker stopped while it started")]
    Stopped,
}

/// A running broker. Dropping it stops it.
#[derive(Debug)]
pub struct Broker {
    runtime: Option<Runtime>,
    addresses: Vec<SocketAddr>,
}

impl Broker {
    /// Starts to listen; when this returns, clients can connect.
    pub async fn start(config: BrokerConfig) -> Result<Self, BrokerError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(config.threads.max(1))
            .thread_name("broker")
            .enable_all()
            .build()
            .map_err(BrokerError::Runtime)?;
        // Held from here on, so that a failed start also ends the threads.
        let mut broker = Self { runtime: None, addresses: Vec::new() };
        let started = runtime.spawn(serve(config));
        broker.runtime = Some(runtime);
        broker.addresses = started.await.map_err(|_| BrokerError::Stopped)??;
        Ok(broker)
    }

    /// Where it listens, in the order of the configuration.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Ends all connections and threads; when this returns, the ports are free.
    pub async fn stop(mut self) {
        if let Some(runtime) = self.runtime.take() {
            let ending =
                tokio::task::spawn_blocking(move || runtime.shutdown_timeout(Duration::from_secs(5)));
            let _ = ending.await;
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Binds all addresses and leaves a task behind, in the runtime, that serves them.
async fn serve(config: BrokerConfig) -> Result<Vec<SocketAddr>, BrokerError> {
    let context = ServerContext::new().busy_check_enable(false).build().await;
    *context.extends.retain_mut().await = Box::new(Retained(DefaultRetainStorage::new()));
    let hooks = context.extends.hook_mgr().register();
    for kind in [Type::ClientAuthenticate, Type::ClientSubscribeCheckAcl, Type::MessagePublishCheckAcl] {
        hooks.add(kind, Box::new(Guard)).await;
    }
    hooks.start().await;
    let mut server = MqttServer::new(context);
    let mut addresses = Vec::new();
    for (id, address) in (1..).zip(&config.listen) {
        let refused = |e: rmqtt::Error| BrokerError::Listen { address: *address, reason: format!("{e:#}") };
        let listener = listener(&config, *address).bind().map_err(refused)?;
        addresses.push(listener.local_addr().map_err(refused)?);
        let listener = listener.tls().map_err(|e| BrokerError::Tls {
            certificate: config.tls.certificate.clone(),
            key: config.tls.key.clone(),
            client_ca: config.tls.client_ca.clone(),
            reason: format!("{e:#}"),
        })?;
        server = server.listener_by_id(listener, id);
    }
    let server = server.build();
    // Owned by the runtime, which is this broker's alone and ends it.
    tokio::spawn(async move {
        let _hooks: Box<dyn Register> = hooks;
        if let Err(error) = server.run().await {
            tracing::error!(%error, "broker ended");
        }
    });
    Ok(addresses)
}

fn listener(config: &BrokerConfig, address: SocketAddr) -> Builder {
    let path = |path: &PathBuf| Some(path.to_string_lossy().into_owned());
    Builder::new()
        .name("gannet")
        .laddr(address)
        .nodelay(true)
        .reuseaddr(Some(true))
        .max_connections(config.max_clients)
        .max_handshaking_limit(config.max_clients)
        .max_packet_size(MAX_PACKET)
        .max_clientid_len(253)
        .max_topic_levels(8)
        .max_subscriptions(32)
        .max_inflight(INFLIGHT)
        .max_mqueue_len(QUEUE)
        .handshake_timeout(Duration::from_secs(15))
        .allow_anonymous(false)
        .allow_zero_keepalive(false)
        .tls_cross_certificate(true)
        .tls_cert(path(&config.tls.certificate))
        .tls_key(path(&config.tls.key))
        .tls_client_ca_certs(path(&config.tls.client_ca))
        .cert_cn_as_username(true)
        .collect_cert_info(true)
}

/// Asks [`Identity`] at every door.
struct Guard;

impl Guard {
    fn connect(info: &ConnectInfo) -> AuthResult {
        let certificate = match info {
            ConnectInfo::V3(_, connect) => connect.cert.as_ref(),
            ConnectInfo::V5(_, connect) => connect.cert.as_ref(),
        };
        let identity =
            certificate.and_then(|c| Identity::of(c.common_name.as_deref(), c.organization.as_deref()));
        let Some(identity) = identity else {
            tracing::warn!(mqtt.client = %info.client_id(), "certificate has no business here");
            return AuthResult::NotAuthorized;
        };
        let will = match info.last_will() {
            None => None,
            Some(LastWill::V3(will)) => Some(will.topic.to_string()),
            Some(LastWill::V5(will)) => Some(will.topic.to_string()),
        };
        if !identity.may_connect_as(info.client_id())
            || will.is_some_and(|topic| !identity.may_publish(&topic))
        {
            tracing::warn!(mqtt.client = %info.client_id(), ?identity, "client id or last will is not this client's");
            return AuthResult::NotAuthorized;
        }
        AuthResult::Allow(identity == Identity::Admin, None)
    }
}

#[async_trait]
impl Handler for Guard {
    async fn hook(&self, parameter: &Parameter, previous: Option<HookResult>) -> ReturnType {
        match parameter {
            Parameter::ClientAuthenticate(info) => (false, Some(HookResult::AuthResult(Self::connect(info)))),
            // Admins are "superusers", and never come here. The user name is the certificate's common name.
            Parameter::ClientSubscribeCheckAcl(session, subscribe) => {
                let identity = Identity::node(session.id.username_ref());
                let result = match identity.is_some_and(|i| i.may_subscribe(&subscribe.topic_filter)) {
                    true => SubscribeAclResult::new_success(subscribe.opts.qos(), None),
                    false => SubscribeAclResult::new_failure(SubscribeAckReason::NotAuthorized),
                };
                (false, Some(HookResult::SubscribeAclResult(result)))
            }
            Parameter::MessagePublishCheckAcl(session, publish) => {
                let identity = Identity::node(session.id.username_ref());
                let result = match identity.is_some_and(|i| i.may_publish(&publish.topic)) {
                    true => PublishAclResult::allow(),
                    false => PublishAclResult::rejected(false, None),
                };
                (false, Some(HookResult::PublishAclResult(result)))
            }
            _ => (true, previous),
        }
    }
}

/// Retained messages in memory. They do not expire: a desired document holds until a newer one replaces it.
struct Retained(DefaultRetainStorage);

#[async_trait]
impl RetainStorage for Retained {
    fn enable(&self) -> bool {
        true
    }

    async fn set(&self, topic: &TopicName, retain: Retain, _expiry: Option<Duration>) -> rmqtt::Result<()> {
        self.0.set_with_timeout(topic, retain, None).await
    }

    async fn get(&self, filter: &TopicFilter) -> rmqtt::Result<Vec<(TopicName, Retain)>> {
        self.0.get_message(filter).await
    }

    async fn count(&self) -> isize {
        self.0.count().await
    }

    async fn max(&self) -> isize {
        self.0.max().await
    }
}
