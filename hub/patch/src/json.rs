//! JSON patch (RFC 6902): a list of operations, all or nothing.

use serde_json::Value;

/// Operations that one patch may hold, as Kubernetes limits them: a test-and-copy loop must not grow an object without end.
pub const MAX_OPERATIONS: usize = 10_000;

/// Why a JSON patch was not applied.
#[derive(Debug, thiserror::Error)]
pub enum JsonPatchError {
    /// It is no JSON patch.
    #[error("error decoding patch")]
    Malformed(#[source] serde_json::Error),
    /// It holds more operations than [`MAX_OPERATIONS`].
    #[error("The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {count}")]
    TooLong {
        /// How many it holds.
        count: usize,
    },
    /// An operation does not fit the object.
    #[error("the patch does not apply")]
    Inapplicable(#[source] json_patch::PatchError),
}

/// Carries out the operations in order. On an error the object is unchanged.
pub fn json_patch(object: &mut Value, patch: &Value) -> Result<(), JsonPatchError> {
    let count = patch.as_array().map_or(0, Vec::len);
    if count > MAX_OPERATIONS {
        return Err(JsonPatchError::TooLong { count });
    }
    let operations: json_patch::Patch =
        serde_json::from_value(patch.clone()).map_err(JsonPatchError::Malformed)?;
    json_patch::patch(object, &operations).map_err(JsonPatchError::Inapplicable)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_rollout_undo_sends() {
        let mut object = json!({"metadata": {"annotations": {"a": "1"}}, "spec": {"template": {"x": 1}}});
        let patch = json!([
            {"op": "replace", "path": "/spec/template", "value": {"x": 2}},
            {"op": "replace", "path": "/metadata/annotations", "value": {"b": "2"}},
        ]);
        json_patch(&mut object, &patch).unwrap();
        assert_eq!(object, json!({"metadata": {"annotations": {"b": "2"}}, "spec": {"template": {"x": 2}}}));
    }

    #[test]
    fn all_or_nothing() {
        let mut object = json!({"a": 1});
        let patch =
            json!([{"op": "replace", "path": "/a", "value": 2}, {"op": "test", "path": "/a", "value": 3}]);
        assert!(matches!(json_patch(&mut object, &patch), Err(JsonPatchError::Inapplicable(_))));
        assert_eq!(object, json!({"a": 1}));
        assert!(matches!(json_patch(&mut object, &json!({"a": 2})), Err(JsonPatchError::Malformed(_))));
        let many = Value::Array(vec![json!({"op": "remove", "path": "/a"}); MAX_OPERATIONS + 1]);
        assert!(matches!(json_patch(&mut object, &many), Err(JsonPatchError::TooLong { .. })));
    }
}
