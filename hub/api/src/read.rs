//! Get and list.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gannet_hub_core::{Kind, ObjectKey};
use gannet_hub_objects::{Objects, Status, Stored, meta};
use serde_json::{Value, json};

use crate::query::Query;
use crate::selector::Selector;
use crate::view::ListMeta;

/// Objects read from storage in one go while a selector looks for the few that it wants.
const CHUNK: usize = 500;

/// What a list or a watch asks for.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) kind: &'static Kind,
    pub(crate) namespace: Option<String>,
    pub(crate) selector: Selector,
}

impl Wanted {
    pub(crate) fn parse(kind: &'static Kind, namespace: Option<&str>, query: &Query) -> Result<Self, Status> {
        let labels = query.get("labelSelector").unwrap_or_default();
        let fields = query.get("fieldSelector").unwrap_or_default();
        Ok(Self {
            kind,
            namespace: namespace.map(str::to_owned),
            selector: Selector::parse(kind, labels, fields)?,
        })
    }
}

/// A stored object as clients see it.
pub(crate) fn decoded(kind: &Kind, stored: &Stored) -> Result<Value, Status> {
    meta::decode(&stored.value, stored.revision).map_err(|e| {
        Status::internal(format!("stored {} {} does not decode: {e}", kind.resource(), stored.key))
    })
}

/// A revision named by a client.
pub(crate) fn revision(text: &str) -> Result<u64, Status> {
    text.parse().map_err(|_| {
        Status::bad_request(format!(
            "resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"
        ))
    })
}

/// Where a list goes on: behind an object, begun at a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    revision: u64,
    after: ObjectKey,
}

impl Token {
    fn encode(&self) -> String {
        let token = json!({"v": "meta.k8s.io/v1", "rv": self.revision, "ns": self.after.namespace, "start": self.after.name});
        URL_SAFE_NO_PAD.encode(token.to_string())
    }

    fn decode(text: &str) -> Result<Self, Status> {
        let wrong =
            || Status::bad_request("continue key is not valid: the token was not made by this server");
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| wrong())?;
        let token: Value = serde_json::from_slice(&bytes).map_err(|_| wrong())?;
        let revision = token["rv"].as_u64().ok_or_else(wrong)?;
        let (Some(namespace), Some(name)) = (token["ns"].as_str(), token["start"].as_str()) else {
            return Err(wrong());
        };
        Ok(Self { revision, after: ObjectKey::new(namespace, name) })
    }
}

/// Lists the wanted objects, a page of them where the query has a limit. Later pages show the objects as they are then,
/// not as they were at the first page; a token whose revision is forgotten is refused with 410, as in Kubernetes.
pub(crate) fn list(
    objects: &Objects,
    wanted: &Wanted,
    query: &Query,
) -> Result<(ListMeta, Vec<Value>), Status> {
    let storage = objects.storage();
    let limit = query.number("limit")?.unwrap_or(0);
    let limit = usize::try_from(limit).ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    let token = query.get("continue").map(Token::decode).transpose()?;
    check_revision(objects, query, token.is_some())?;
    if let Some(token) = &token
        && token.revision > 0
        && storage.watch(wanted.kind, None, token.revision).is_err()
    {
        let mut status = Status::expired(
            "The provided continue parameter is too old to display a consistent list result. You can start a new list \
             without the continue parameter, or use the continue token in this response to retrieve the remainder of \
             the results. Continuing with the provided token results in an inconsistent list - objects that were \
             created, modified, or deleted between the time the first chunk was returned and now may show up in the list.",
        );
        status.details.continue_token = Token { revision: 0, ..token.clone() }.encode();
        return Err(status);
    }
    let mut after = token.as_ref().map(|t| t.after.clone());
    let mut items = Vec::new();
    let everything = wanted.selector.is_everything();
    loop {
        let room = limit - items.len();
        let size = if everything {
            room
        } else if limit == usize::MAX {
            usize::MAX
        } else {
            CHUNK
        };
        let page = storage.list(wanted.kind, wanted.namespace.as_deref(), after.as_ref(), size)?;
        let mut remaining = page.remaining + page.items.len();
        for stored in page.items {
            remaining -= 1;
            let object = decoded(wanted.kind, &stored)?;
            after = Some(stored.key);
            if wanted.selector.matches(&object) {
                items.push(object);
                if items.len() == limit {
                    break;
                }
            }
        }
        if items.len() == limit || remaining == 0 {
            let mut list = ListMeta { revision: page.revision, ..ListMeta::default() };
            if let Some(after) = after.filter(|_| remaining > 0) {
                // The first page's revision goes with the token; 0 stands for "inconsistent, and the client knows".
                let revision = token.as_ref().map_or(page.revision, |t| t.revision);
                list.continue_token = Token { revision, after }.encode();
                list.remaining = everything.then_some(remaining);
            }
            return Ok((list, items));
        }
    }
}

/// `resourceVersion` and `resourceVersionMatch` of a list. Reads are always of the newest state, which is fresh enough for
/// "not older than"; exactly that of an older revision cannot be shown.
fn check_revision(objects: &Objects, query: &Query, continued: bool) -> Result<(), Status> {
    let asked = query.get("resourceVersion");
    let how = query.get("resourceVersionMatch");
    let Some(asked) = asked else {
        return match how {
            Some(_) => Err(Status::bad_request(
                "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
            )),
            None => Ok(()),
        };
    };
    if continued && asked != "0" {
        return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
    }
    let (asked, current) = (revision(asked)?, objects.storage().revision());
    if asked > current {
        let text = format!("Too large resource version: {asked}, current: {current}");
        let mut status = Status::new(504, "Timeout", format!("Timeout: {text}"));
        status.details.retry_after_seconds = Some(1);
        status.details.causes = vec![gannet_hub_objects::Cause {
            reason: "ResourceVersionTooLarge".to_owned(),
            message: "Too large resource version".to_owned(),
            field: String::new(),
        }];
        return Err(status);
    }
    match how {
        Some("Exact") if asked != current => {
            Err(Status::expired("The resourceVersion for the provided list is too old."))
        }
        None | Some("Exact" | "NotOlderThan") => Ok(()),
        Some(other) => Err(Status::bad_request(format!(
            "resourceVersionMatch: Unsupported value: {other:?}: supported values: \"Exact\", \"NotOlderThan\""
        ))),
    }
}
