//! Why an object was not admitted, in the words of Kubernetes' `field.Error` and `Status`.

use std::fmt;

use serde_json::Value;

use crate::Kind;

/// Why a write is refused. The API turns it into a `Status`.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Rejected {
    /// 422 `Invalid`: the object as a whole was understood, these fields are wrong. Never empty.
    #[error("{}", join(.0))]
    Invalid(Vec<FieldError>),
    /// 403 `Forbidden`: the text that follows `is forbidden: `.
    #[error("{0}")]
    Forbidden(String),
    /// 403 `Forbidden` with the cause `NamespaceTerminating`.
    #[error("unable to create new content in namespace {namespace} because it is being terminated")]
    NamespaceTerminating {
        /// The namespace that is on its way out.
        namespace: String,
    },
    /// 404 `NotFound`: there is no such namespace.
    #[error("namespaces {namespace:?} not found")]
    NamespaceNotFound {
        /// The namespace that does not exist.
        namespace: String,
    },
    /// 400 `BadRequest`: not an object of this kind at all.
    #[error("{0}")]
    BadRequest(String),
}

impl Rejected {
    /// HTTP status code.
    pub fn code(&self) -> u16 {
        match self {
            Self::Invalid(_) => 422,
            Self::Forbidden(_) | Self::NamespaceTerminating { .. } => 403,
            Self::NamespaceNotFound { .. } => 404,
            Self::BadRequest(_) => 400,
        }
    }

    /// `Status.reason`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "Invalid",
            Self::Forbidden(_) | Self::NamespaceTerminating { .. } => "Forbidden",
            Self::NamespaceNotFound { .. } => "NotFound",
            Self::BadRequest(_) => "BadRequest",
        }
    }

    /// `Status.message`, as Kubernetes words it for this object.
    pub fn message(&self, kind: &Kind, name: &str) -> String {
        match self {
            Self::Invalid(_) => {
                let group = if kind.group.is_empty() { String::new() } else { format!(".{}", kind.group) };
                format!("{}{group} {name:?} is invalid: {self}", kind.kind)
            }
            Self::Forbidden(_) | Self::NamespaceTerminating { .. } => {
                format!("{} {name:?} is forbidden: {self}", kind.resource())
            }
            Self::NamespaceNotFound { .. } | Self::BadRequest(_) => self.to_string(),
        }
    }

    /// The fields that are wrong; none for other reasons.
    pub fn fields(&self) -> &[FieldError] {
        match self {
            Self::Invalid(fields) => fields,
            _ => &[],
        }
    }
}

fn join(errors: &[FieldError]) -> String {
    match errors {
        [one] => one.to_string(),
        many => format!("[{}]", many.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
    }
}

/// One wrong field. `Display` is what kubectl prints; [`FieldError::message`] is what a `StatusCause` holds.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldError {
    /// `spec.template.spec.containers[0].image`.
    pub path: String,
    /// What is wrong.
    pub kind: FieldErrorKind,
    /// What would be right; may be empty.
    pub detail: String,
}

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq)]
pub enum FieldErrorKind {
    /// It is missing.
    Required,
    /// It has no such value.
    Invalid {
        /// The value.
        value: Value,
    },
    /// Its value is none of the known ones.
    NotSupported {
        /// The value.
        value: Value,
        /// The known ones.
        supported: Vec<String>,
    },
    /// It must not be there, or not change.
    Forbidden,
    /// It was there before.
    Duplicate {
        /// The value.
        value: Value,
    },
    /// It refers to something that does not exist.
    NotFound {
        /// What it refers to.
        value: Value,
    },
    /// It has too many bytes.
    TooLong,
    /// It has too many items.
    TooMany {
        /// How many.
        count: usize,
    },
}

impl FieldError {
    /// `metav1.CauseType` of this error.
    pub fn reason(&self) -> &'static str {
        match self.kind {
            FieldErrorKind::Required => "FieldValueRequired",
            FieldErrorKind::Invalid { .. } => "FieldValueInvalid",
            FieldErrorKind::NotSupported { .. } => "FieldValueNotSupported",
            FieldErrorKind::Forbidden => "FieldValueForbidden",
            FieldErrorKind::Duplicate { .. } => "FieldValueDuplicate",
            FieldErrorKind::NotFound { .. } => "FieldValueNotFound",
            FieldErrorKind::TooLong => "FieldValueTooLong",
            FieldErrorKind::TooMany { .. } => "FieldValueTooMany",
        }
    }

    /// The error without its path.
    pub fn message(&self) -> String {
        let mut text = match &self.kind {
            FieldErrorKind::Required => "Required value".to_owned(),
            FieldErrorKind::Invalid { value } => format!("Invalid value: {}", shown(value)),
            FieldErrorKind::NotSupported { value, .. } => format!("Unsupported value: {}", shown(value)),
            FieldErrorKind::Forbidden => "Forbidden".to_owned(),
            FieldErrorKind::Duplicate { value } => format!("Duplicate value: {}", shown(value)),
            FieldErrorKind::NotFound { value } => format!("Not found: {}", shown(value)),
            FieldErrorKind::TooLong => "Too long".to_owned(),
            FieldErrorKind::TooMany { count } => format!("Too many: {count}"),
        };
        if !self.detail.is_empty() {
            text.push_str(": ");
            text.push_str(&self.detail);
        }
        if let FieldErrorKind::NotSupported { supported, .. } = &self.kind {
            let list: Vec<String> = supported.iter().map(|s| format!("{s:?}")).collect();
            text.push_str(": supported values: ");
            text.push_str(&list.join(", "));
        }
        text
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message())
    }
}

/// Longest value that is quoted back: a refused object may be a megabyte.
const MAX_SHOWN: usize = 512;

fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
