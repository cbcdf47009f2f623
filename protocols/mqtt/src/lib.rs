//! The link over MQTT: hub and agents use the same one, against the embedded broker or any other.
//!
//! It connects by itself, again and again with full-jitter backoff, subscribes anew each time, and sends what was not yet
//! acknowledged once more. Deadlines find half-open connections. Queues are bounded. Dropping it stops it, as a crash
//! would; [`MqttLink::close`] takes leave of the broker first, so that it does not publish the last will.

#![forbid(unsafe_code)]

mod backoff;
mod config;
mod link;
mod task;

pub use config::{MqttConfig, MqttConfigError};
pub use link::{MqttLink, MqttPublisher};
