//! Errors of the API, in kubectl's form: `Error from server (NotFound): pods "x" not found`.

use anyhow::{Error, anyhow};

/// What kubectl would print.
pub(crate) fn failure(error: kube::Error) -> Error {
    match error {
        kube::Error::Api(status) if status.reason == "Invalid" => anyhow!("{}", status.message),
        kube::Error::Api(status) => anyhow!("Error from server ({}): {}", status.reason, status.message),
        other => Error::new(other).context("cannot reach the hub"),
    }
}

/// Whether the API said that there is no such object.
pub(crate) fn is_not_found(error: &Error) -> bool {
    error.to_string().starts_with("Error from server (NotFound)")
}
