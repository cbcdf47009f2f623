//! Errors of the API, in kubectl's form: `Error from server (NotFound): pods "x" not found`.

use anyhow::{Error, anyhow};
use http::StatusCode;
use kube::core::Status;

/// What the API said instead of an answer.
#[derive(Debug)]
struct Refused(Box<Status>);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Status { reason, message, .. } = self.0.as_ref();
        match reason.as_str() {
            "Invalid" => write!(f, "{}", printable(message)),
            "" => write!(f, "Error from server: {}", printable(message)),
            _ => write!(f, "Error from server ({}): {}", printable(reason), printable(message)),
        }
    }
}

impl std::error::Error for Refused {}

/// What kubectl would print.
pub(crate) fn failure(error: kube::Error) -> Error {
    match error {
        kube::Error::Api(status) => Error::new(Refused(status)),
        other => Error::new(other).context("cannot reach the hub"),
    }
}

/// What an answer that is no success says: a `Status`, or whatever a proxy in between wrote.
pub(crate) fn refusal(code: StatusCode, body: &[u8]) -> Error {
    if let Ok(status) = serde_json::from_slice::<Status>(body) {
        return Error::new(Refused(status.boxed()));
    }
    let text: String = String::from_utf8_lossy(body).trim().chars().take(500).collect();
    anyhow!("the server answered {code}: {}", printable(&text))
}

/// Whether the API said that there is no such object.
pub(crate) fn is_not_found(error: &Error) -> bool {
    reason(error) == "NotFound"
}

/// The reason that the API gave.
pub(crate) fn reason(error: &Error) -> &str {
    error.downcast_ref::<Refused>().map_or("", |refused| &refused.0.reason)
}

/// Text of others for a terminal: its control characters would be the terminal's commands.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals() {
        let check = |body: &str, expect: &str, not_found: bool| {
            let error = refusal(StatusCode::NOT_FOUND, body.as_bytes());
            assert_eq!((format!("{error:#}").as_str(), is_not_found(&error)), (expect, not_found));
            let error = error.context("outer");
            assert_eq!(is_not_found(&error), not_found);
        };
        check(
            r#"{"status": "Failure", "reason": "NotFound", "message": "pods \"x\" not found", "code": 404}"#,
            "Error from server (NotFound): pods \"x\" not found",
            true,
        );
        check(r#"{"reason": "Invalid", "message": "Pod \"x\" is invalid"}"#, "Pod \"x\" is invalid", false);
        check("<html>\u{1b}[2J", "the server answered 404 Not Found: <html>\u{fffd}[2J", false);
    }
}
