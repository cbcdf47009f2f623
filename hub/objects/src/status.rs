//! Errors of the API, worded as Kubernetes words them, since tools read the words.

use gannet_hub_core::Kind;
use gannet_hub_core::admit::{FieldError, Rejected};
use serde_json::{Value, json};

use crate::storage::StorageError;

/// Why a request was not carried out. Becomes a `Status` object.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Status {
    /// HTTP status code.
    pub code: u16,
    /// For programs: `NotFound`, `Conflict`, …
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// What it is about.
    pub details: Box<Details>,
}

/// What an error is about.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Details {
    /// The object's name.
    pub name: String,
    /// Its API group.
    pub group: String,
    /// Its resource, or its kind where the object itself is wrong.
    pub kind: String,
    /// What exactly is wrong.
    pub causes: Vec<Cause>,
    /// When to try again.
    pub retry_after_seconds: Option<u32>,
    /// Where a list can be continued although its token is too old.
    pub continue_token: String,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Cause {
    /// For programs.
    pub reason: String,
    /// For people.
    pub message: String,
    /// The field.
    pub field: String,
}

impl Status {
    /// An error about nothing in particular.
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: Box::default() }
    }

    fn about(mut self, kind: &Kind, name: &str) -> Self {
        self.details.name = name.to_owned();
        self.details.group = kind.group.to_owned();
        self.details.kind = kind.plural.to_owned();
        self
    }

    /// 400: the request makes no sense.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 404: no such path.
    pub fn unknown_path() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource")
    }

    /// 404: no such object.
    pub fn not_found(kind: &Kind, name: &str) -> Self {
        Self::new(404, "NotFound", format!("{} {name:?} not found", kind.resource())).about(kind, name)
    }

    /// 409: the name is taken.
    pub fn already_exists(kind: &Kind, name: &str) -> Self {
        Self::new(409, "AlreadyExists", format!("{} {name:?} already exists", kind.resource()))
            .about(kind, name)
    }

    /// 409: somebody else was faster, or it is another object by now.
    pub fn conflict(kind: &Kind, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} {name:?}: {why}", kind.resource());
        Self::new(409, "Conflict", message).about(kind, name)
    }

    /// 409: the object is not at the revision that the client knows.
    pub fn modified(kind: &Kind, name: &str) -> Self {
        Self::conflict(
            kind,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// 422: these fields are wrong.
    pub fn invalid(kind: &Kind, name: &str, fields: Vec<FieldError>) -> Self {
        Self::rejected(kind, name, Rejected::Invalid(fields))
    }

    /// What admission says.
    pub fn rejected(kind: &Kind, name: &str, rejected: Rejected) -> Self {
        let reason = rejected.reason();
        let mut status = Self::new(rejected.code(), reason, rejected.message(kind, name)).about(kind, name);
        match &rejected {
            Rejected::Invalid(fields) => {
                kind.kind.clone_into(&mut status.details.kind);
                let cause = |e: &FieldError| Cause {
                    reason: e.reason().to_owned(),
                    message: e.message(),
                    field: e.path.clone(),
                };
                status.details.causes = fields.iter().map(cause).collect();
            }
            Rejected::NamespaceTerminating { namespace } => {
                status.details.causes = vec![Cause {
                    reason: "NamespaceTerminating".to_owned(),
                    message: format!("namespace {namespace} is being terminated"),
                    field: "metadata.namespace".to_owned(),
                }];
            }
            Rejected::NamespaceNotFound { namespace } => {
                status = Self::not_found(Kind::NAMESPACE, namespace);
            }
            _ => {}
        }
        status
    }

    /// 403: this user may not do that.
    pub fn forbidden(kind: &Kind, name: &str, why: &str) -> Self {
        let object = if name.is_empty() { String::new() } else { format!(" {name:?}") };
        Self::new(403, "Forbidden", format!("{}{object} is forbidden: {why}", kind.resource()))
            .about(kind, name)
    }

    /// 410: the revision is too old.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// 500: the hub itself failed.
    pub fn internal(message: impl std::fmt::Display) -> Self {
        let message = message.to_string();
        let mut status = Self::new(500, "InternalError", format!("Internal error occurred: {message}"));
        status.details.causes = vec![Cause { reason: String::new(), message, field: String::new() }];
        status
    }

    /// The `Status` object.
    pub fn to_json(&self) -> Value {
        let mut details = serde_json::Map::new();
        for (name, value) in
            [("name", &self.details.name), ("group", &self.details.group), ("kind", &self.details.kind)]
        {
            if !value.is_empty() {
                details.insert(name.to_owned(), Value::from(value.as_str()));
            }
        }
        if !self.details.causes.is_empty() {
            details.insert("causes".to_owned(), self.details.causes.iter().map(cause).collect());
        }
        if let Some(seconds) = self.details.retry_after_seconds {
            details.insert("retryAfterSeconds".to_owned(), seconds.into());
        }
        let metadata = match self.details.continue_token.as_str() {
            "" => json!({}),
            token => json!({"continue": token}),
        };
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": metadata, "status": "Failure",
            "message": self.message, "reason": self.reason, "details": details, "code": self.code,
        })
    }
}

fn cause(cause: &Cause) -> Value {
    let mut fields = serde_json::Map::new();
    for (name, value) in [("reason", &cause.reason), ("message", &cause.message), ("field", &cause.field)] {
        if !value.is_empty() {
            fields.insert(name.to_owned(), Value::from(value.as_str()));
        }
    }
    Value::Object(fields)
}

impl From<StorageError> for Status {
    fn from(error: StorageError) -> Self {
        let (code, reason) = match error {
            StorageError::Unavailable(_) => (503, "ServiceUnavailable"),
            StorageError::Refused(_) => (413, "RequestEntityTooLarge"),
            StorageError::Failed(_) => (500, "InternalError"),
        };
        let mut message = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            message.push_str(&format!(": {error}"));
            cause = error.source();
        }
        let mut status = Self::new(code, reason, message);
        if code == 503 {
            status.details.retry_after_seconds = Some(1);
        }
        status
    }
}
