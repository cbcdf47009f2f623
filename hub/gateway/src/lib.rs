//! The hub's end of the device plane: the embedded broker, the nodes' sessions, and streams.
//!
//! Inputs: signed desired documents ([`Gateway::publish_desired`]), blobs by digest ([`DesiredSource`]), requests for logs
//! and figures.
//! Outputs: [`gannet_protocols_link::Fact`]s about nodes, in order, on one bounded channel. It decides nothing about
//! workloads, holds no state that a restart would lose, and treats the embedded broker like any other.

#![forbid(unsafe_code)]

mod access;
mod broker;
mod clock;
mod gateway;
mod log_stream;
mod metrics;
mod outbox;
mod reader;
mod streams;
mod task;
mod usage;

pub use access::{ADMIN_ORGANIZATIONS, HUB_CLIENT_ID, Identity, NODE_PREFIX};
pub use broker::{Broker, BrokerConfig, BrokerError, BrokerTls};
pub use gateway::{DesiredSource, Gateway, GatewayConfig, GatewayStopped, GatewayTasks};
pub use metrics::GatewayMetrics;
pub use reader::StreamError;
pub use usage::UsageError;
