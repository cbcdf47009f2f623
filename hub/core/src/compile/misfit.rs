//! Why a pod cannot be compiled.

/// Why a pod cannot be compiled, as kubelet would report it. The hub shows it in the pod's status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct Misfit {
    /// The container that is wrong; none for the pod as a whole.
    pub container: Option<String>,
    /// `InvalidImageName`, …
    pub reason: &'static str,
    /// In a sentence.
    pub message: String,
}

impl Misfit {
    pub(super) fn of_pod(reason: &'static str, message: String) -> Self {
        Self { container: None, reason, message }
    }
}
