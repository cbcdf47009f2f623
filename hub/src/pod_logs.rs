//! The API's logs come from nodes, through the gateway.

use std::io;

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use gannet_hub_api::objects::Status;
use gannet_hub_api::{LogOptions, LogStream, PodLogs};
use gannet_hub_gateway::{Gateway, StreamError};
use gannet_protocols_wire::LogRequest;
use k8s_openapi::api::core::v1::Pod;

/// Reads logs over the stream topics.
pub(crate) struct NodeLogs(pub(crate) Gateway);

impl PodLogs for NodeLogs {
    fn logs<'a>(
        &'a self,
        pod: &'a Pod,
        container: &'a str,
        options: LogOptions,
    ) -> BoxFuture<'a, Result<LogStream, Status>> {
        async move {
            let spec = pod.spec.as_ref();
            let node = spec.and_then(|s| s.node_name.as_deref()).unwrap_or_default();
            let node = node.parse().map_err(|e| Status::internal(format!("{e}")))?;
            let uid = pod.metadata.uid.as_deref().unwrap_or_default();
            let request = LogRequest {
                pod: uid.parse().map_err(|e| Status::internal(format!("{e}")))?,
                container: container.to_owned(),
                follow: options.follow,
                previous: options.previous,
                timestamps: options.timestamps,
                tail: options.tail_lines,
                since: options.since,
                limit_bytes: options.limit_bytes,
            };
            let stream = self.0.logs(&node, request).await.map_err(status)?;
            let stream: LogStream = stream.map(|item| item.map_err(io::Error::other)).boxed();
            Ok(stream)
        }
        .boxed()
    }
}

fn status(error: StreamError) -> Status {
    let text = error.to_string();
    match error {
        StreamError::NotConnected { .. } | StreamError::Lost { .. } => {
            Status::new(503, "ServiceUnavailable", text)
        }
        StreamError::Timeout { .. } => Status::new(504, "Timeout", text),
        StreamError::Refused { reason, .. } => Status::bad_request(reason),
        StreamError::Fault { .. } => Status::internal(text),
    }
}
