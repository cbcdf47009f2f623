//! The serialized documents, each made when it is first asked for. Only the bytes are kept.

use std::collections::BTreeMap;
use std::sync::{LazyLock, OnceLock};

use crate::{protobuf, v2, v3};

static V2_JSON: LazyLock<Vec<u8>> = LazyLock::new(|| v2::document().to_string().into_bytes());
static V2_PROTOBUF: LazyLock<Vec<u8>> = LazyLock::new(|| protobuf::encode(&v2::document()));
static V3_INDEX: LazyLock<Vec<u8>> = LazyLock::new(|| v3::index().to_string().into_bytes());
static V3: LazyLock<BTreeMap<String, OnceLock<Vec<u8>>>> =
    LazyLock::new(|| v3::groups().into_iter().map(|path| (path, OnceLock::new())).collect());

/// Swagger 2.0, `application/json`.
pub fn openapi_v2_json() -> &'static [u8] {
    &V2_JSON
}

/// The same in gnostic's encoding. Clients ask for it as `application/com.github.proto-openapi.spec.v2@v1.0+protobuf`, and
/// kubectl 1.20 fails to parse an answer of that type: answer as `application/com.github.proto-openapi.spec.v2.v1.0+protobuf`.
pub fn openapi_v2_protobuf() -> &'static [u8] {
    &V2_PROTOBUF
}

/// `/openapi/v3`: where each group's document is.
pub fn openapi_v3_index() -> &'static [u8] {
    &V3_INDEX
}

/// `/openapi/v3/{path}`, `path` being `api/v1` or `apis/apps/v1`.
pub fn openapi_v3(path: &str) -> Option<&'static [u8]> {
    V3.get(path)
        .map(|document| document.get_or_init(|| v3::document(path).to_string().into_bytes()).as_slice())
}
