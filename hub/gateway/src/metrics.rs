//! What the gateway counts, as Prometheus wants it.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use gannet_protocols_link::Counters;

/// Counted outside of the sessions.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    /// Messages that the outbox had no room for, or that the link did not take.
    pub(crate) dropped: AtomicU64,
}

/// A snapshot of all that is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayMetrics {
    /// Nodes that are there.
    pub nodes_up: u64,
    /// Payload bytes from nodes.
    pub bytes_in: u64,
    /// Payload bytes to nodes.
    pub bytes_out: u64,
    /// Messages to nodes that were dropped because the link was down or its queue full; nodes make them good.
    pub dropped: u64,
    /// Streams that are open.
    pub streams: u64,
    /// What the sessions count.
    pub counters: Counters,
}

impl GatewayMetrics {
    pub(crate) fn new(traffic: &Traffic, nodes_up: usize, streams: usize, counters: &Counters) -> Self {
        Self {
            nodes_up: nodes_up as u64,
            bytes_in: traffic.bytes_in.load(Ordering::Relaxed),
            bytes_out: traffic.bytes_out.load(Ordering::Relaxed),
            dropped: traffic.dropped.load(Ordering::Relaxed),
            streams: streams as u64,
            counters: counters.clone(),
        }
    }

    /// The text that Prometheus scrapes.
    pub fn to_prometheus(&self) -> String {
        let mut text = String::new();
        let mut one = |name: &str, kind: &str, help: &str, values: &[(&str, u64)]| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "# HELP gannet_{name} {help}\n# TYPE gannet_{name} {kind}");
            for (labels, value) in values {
                let _ = writeln!(text, "gannet_{name}{labels} {value}");
            }
        };
        let c = &self.counters;
        one("nodes_up", "gauge", "Nodes that are connected.", &[("", self.nodes_up)]);
        one("streams_open", "gauge", "Log streams that are open.", &[("", self.streams)]);
        let bytes = [("{direction=\"in\"}", self.bytes_in), ("{direction=\"out\"}", self.bytes_out)];
        one("device_bytes_total", "counter", "Payload bytes of the device plane.", &bytes);
        one("device_dropped_total", "counter", "Messages to nodes that were dropped.", &[("", self.dropped)]);
        let labels: Vec<(String, u64)> =
            c.malformed.iter().map(|(kind, count)| (format!("{{kind=\"{kind}\"}}"), *count)).collect();
        let malformed: Vec<(&str, u64)> =
            labels.iter().map(|(label, count)| (label.as_str(), *count)).collect();
        one("device_malformed_total", "counter", "Messages from nodes that did not parse.", &malformed);
        one("device_outdated_total", "counter", "Messages older than what is known.", &[("", c.outdated)]);
        let blobs = [("{result=\"sent\"}", c.blobs_sent), ("{result=\"refused\"}", c.blobs_refused)];
        one("device_blobs_total", "counter", "Blobs that nodes asked for.", &blobs);
        one("device_syncs_total", "counter", "Whole reports that were demanded.", &[("", c.syncs)]);
        one("device_desired_resent_total", "counter", "Desired documents sent again.", &[("", c.resent)]);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prometheus_text() {
        let mut counters = Counters { blobs_sent: 4, ..Counters::default() };
        counters.malformed.insert("beat", 2);
        let text = GatewayMetrics::new(&Traffic::default(), 3, 1, &counters).to_prometheus();
        for line in [
            "# TYPE gannet_nodes_up gauge\ngannet_nodes_up 3\n",
            "gannet_device_malformed_total{kind=\"beat\"} 2\n",
            "gannet_device_blobs_total{result=\"sent\"} 4\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
        assert!(text.lines().all(|l| l.starts_with("# ") || l.split(' ').count() == 2), "{text}");
    }
}
