//! A container's log, read through its node.

use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use tokio::time::{Instant, timeout, timeout_at};

use crate::reader::{Reader, StreamError};

/// How long a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long after its answer a node may still say that it cannot: such errors then come instead of a stream.
const SECOND_THOUGHT: Duration = Duration::from_millis(200);

/// Waits for the node's answer, then hands the stream over.
pub(crate) async fn begin(
    reader: Reader,
) -> Result<impl Stream<Item = Result<Bytes, StreamError>> + Send + use<>, StreamError> {
    answered(&reader).await?;
    Ok(futures::stream::unfold(
        reader,
        |mut reader| async move { reader.next().await.map(|item| (item, reader)) },
    ))
}

/// Waits until the node has answered, and a moment more for its second thoughts.
async fn answered(reader: &Reader) -> Result<(), StreamError> {
    let pipe = &reader.pipe;
    let deadline = Instant::now() + PATIENCE;
    while !pipe.progress().0 {
        timeout_at(deadline, pipe.changed())
            .await
            .map_err(|_| StreamError::Timeout { node: pipe.node.clone(), seconds: PATIENCE.as_secs() })?;
    }
    let second_thought = async {
        while !pipe.progress().1 {
            pipe.changed().await;
        }
    };
    if timeout(SECOND_THOUGHT, second_thought).await.is_ok() {
        // Bytes that came before an error are still worth reading.
        if let Some(error) = pipe.early_error() {
            return Err(error);
        }
    }
    Ok(())
}
