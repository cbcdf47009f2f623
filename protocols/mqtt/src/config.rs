//! Where the broker is, and who connects.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use gannet_protocols_link::Message;
use gannet_protocols_wire::MAX_MESSAGE_BYTES;
use rumqttc::{LastWill, MqttOptions, QoS, TlsConfiguration, Transport};

/// The largest packet that is read. Larger than any message that is understood, so that a message that is somewhat too
/// large is dropped and counted instead of breaking the connection time and again.
const MAX_INCOMING: usize = 2 * MAX_MESSAGE_BYTES;
/// Topic and header beside the largest message.
const MAX_OUTGOING: usize = MAX_MESSAGE_BYTES + 4096;
/// Messages that the broker has not acknowledged yet.
const INFLIGHT: u16 = 100;

/// A connection's configuration.
#[derive(Clone)]
pub struct MqttConfig {
    /// `mqtt://host:port` or `mqtts://host:port`; the ports are 1883 and 8883 where none is given.
    pub url: String,
    /// Unique at the broker: a second connection with it ends the first. For a node its name.
    pub client_id: String,
    /// How the broker is known and who this is; needed with `mqtts`. Built with the ring provider by the caller.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// User name and password, for brokers that ask for them.
    pub credentials: Option<(String, String)>,
    /// The broker takes the client for dead after one and a half of these; at least a second.
    pub keep_alive: Duration,
    /// What the broker publishes then.
    pub will: Option<Message>,
    /// The topics to hear, with MQTT's wildcards.
    pub subscriptions: Vec<String>,
    /// Whether the broker forgets the client when it goes. Retained documents and reports by hash make its memory needless.
    pub clean_session: bool,
    /// The bound of the queues to and from the link's task, in messages of at most 2 MiB.
    pub queue: usize,
}

/// Why a configuration is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MqttConfigError {
    /// Not an address of a broker.
    #[error("mqtt url {url:?} is not mqtt://host:port or mqtts://host:port: {reason}")]
    Url {
        /// The url.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// `mqtts` without a way to know the broker.
    #[error("mqtt url {url:?} needs a TLS configuration")]
    Tls {
        /// The url.
        url: String,
    },
    /// No client id.
    #[error("mqtt client id is empty")]
    ClientId,
    /// Shorter than a second.
    #[error("mqtt keep alive is {millis} ms, at least 1000 are needed")]
    KeepAlive {
        /// The time given.
        millis: u128,
    },
}

impl MqttConfig {
    /// A connection without TLS, credentials, will and subscriptions, with a keep-alive of 30 seconds.
    pub fn new(url: impl Into<String>, client_id: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            client_id: client_id.into(),
            tls: None,
            credentials: None,
            keep_alive: Duration::from_secs(30),
            will: None,
            subscriptions: Vec::new(),
            clean_session: true,
            queue: 64,
        }
    }

    pub(crate) fn to_options(&self) -> Result<MqttOptions, MqttConfigError> {
        let (tls, host, port) = self.address()?;
        if self.client_id.is_empty() {
            return Err(MqttConfigError::ClientId);
        }
        if self.keep_alive < Duration::from_secs(1) {
            return Err(MqttConfigError::KeepAlive { millis: self.keep_alive.as_millis() });
        }
        let mut options = MqttOptions::new(&self.client_id, host, port);
        if tls {
            let config = self.tls.clone().ok_or_else(|| MqttConfigError::Tls { url: self.url.clone() })?;
            options.set_transport(Transport::Tls(TlsConfiguration::Rustls(config)));
        }
        if let Some((user, password)) = &self.credentials {
            options.set_credentials(user, password);
        }
        if let Some(will) = &self.will {
            let topic = will.topic.to_string();
            options.set_last_will(LastWill::new(
                topic,
                will.payload.clone(),
                QoS::AtLeastOnce,
                will.is_retained(),
            ));
        }
        options.set_keep_alive(self.keep_alive);
        options.set_clean_session(self.clean_session);
        options.set_max_packet_size(MAX_INCOMING, MAX_OUTGOING);
        options.set_inflight(INFLIGHT);
        Ok(options)
    }

    fn address(&self) -> Result<(bool, String, u16), MqttConfigError> {
        let wrong = |reason| MqttConfigError::Url { url: self.url.clone(), reason };
        let (tls, rest) = match self.url.split_once("://") {
            Some(("mqtt", rest)) => (false, rest),
            Some(("mqtts", rest)) => (true, rest),
            _ => return Err(wrong("another scheme")),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().map_err(|_| wrong("the port is no number from 1 to 65535"))?)
            }
            _ => (rest, if tls { 8883 } else { 1883 }),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        let bracketed = host.starts_with('[') && host.ends_with(']');
        if host.is_empty() || port == 0 || !(bracketed || host.chars().all(plain)) {
            return Err(wrong("no host, or characters that a host cannot have"));
        }
        if bracketed && tls {
            return Err(wrong("an IPv6 address is not possible with TLS: use a name"));
        }
        Ok((tls, host.to_owned(), port))
    }
}

impl fmt::Debug for MqttConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the password.
        f.debug_struct("MqttConfig")
            .field("url", &self.url)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let check = |url: &str, expect: &str| {
            let got = match MqttConfig::new(url, "id").address() {
                Ok((tls, host, port)) => format!("{tls} {host} {port}"),
                Err(e) => e.to_string(),
            };
            assert!(got.contains(expect), "{url}: {got} does not say {expect}");
        };
        check("mqtt://localhost", "false localhost 1883");
        check("mqtts://hub.example/", "true hub.example 8883");
        check("mqtts://10.0.0.1:7444", "true 10.0.0.1 7444");
        check("mqtt://[::1]:1884", "false [::1] 1884");
        check("mqtt://[::1]", "false [::1] 1883");
        check("mqtts://[::1]:1", "use a name");
        check("http://x", "another scheme");
        check("x:1", "another scheme");
        check("mqtt://", "no host");
        check("mqtt://a b", "no host");
        check("mqtt://a:0", "no host");
        check("mqtt://a:99999", "port is no number");
        check("mqtt://user@a", "no host");
    }

    #[test]
    fn configurations() {
        let no_tls = MqttConfig::new("mqtts://a", "id").to_options().map(drop);
        assert!(matches!(no_tls, Err(MqttConfigError::Tls { .. })));
        assert_eq!(MqttConfig::new("mqtt://a", "").to_options().map(drop), Err(MqttConfigError::ClientId));
        let short =
            MqttConfig { keep_alive: Duration::from_millis(999), ..MqttConfig::new("mqtt://a", "id") };
        assert_eq!(short.to_options().map(drop), Err(MqttConfigError::KeepAlive { millis: 999 }));
        let secret = MqttConfig {
            credentials: Some(("u".into(), "secret".into())),
            ..MqttConfig::new("mqtt://a", "id")
        };
        assert!(!format!("{secret:?}").contains("secret"));
    }
}
