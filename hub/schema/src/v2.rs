//! The Swagger 2.0 document.

use serde_json::{Map, Value, json};

use crate::{catalog, made, paths};

/// The whole document.
pub(crate) fn document() -> Value {
    let mut all_paths = Map::new();
    for served in catalog::served() {
        all_paths.extend(paths::of(served));
    }
    all_paths.extend(made::paths());
    json!({
        "swagger": "2.0",
        "info": info(),
        "paths": all_paths,
        "definitions": catalog::definitions(),
    })
}

/// Whose API this is.
pub(crate) fn info() -> Value {
    json!({"title": "gannet", "version": concat!("v", env!("CARGO_PKG_VERSION"))})
}
