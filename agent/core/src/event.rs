//! Events in kubelet's words.

use gannet_protocols_model::{EventKind, NodeEvent, PodUid, Timestamp};

/// Makes events about one pod.
pub(crate) struct Teller<'a> {
    pub(crate) pod: &'a PodUid,
    pub(crate) at: Timestamp,
}

impl Teller<'_> {
    pub(crate) fn event(
        &self,
        container: Option<&str>,
        kind: EventKind,
        reason: &str,
        message: String,
    ) -> NodeEvent {
        NodeEvent {
            at: self.at,
            pod: Some(self.pod.clone()),
            container: container.map(str::to_owned),
            kind,
            reason: reason.to_owned(),
            message,
        }
    }

    pub(crate) fn normal(
        &self,
        container: Option<&str>,
        reason: &str,
        message: impl Into<String>,
    ) -> NodeEvent {
        self.event(container, EventKind::Normal, reason, message.into())
    }

    pub(crate) fn warning(
        &self,
        container: Option<&str>,
        reason: &str,
        message: impl Into<String>,
    ) -> NodeEvent {
        self.event(container, EventKind::Warning, reason, message.into())
    }
}
