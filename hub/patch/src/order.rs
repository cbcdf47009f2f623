//! The order of a merged list: the patch's order where it says one, the object's order elsewhere.

use serde_json::Value;

/// What names an item of a merged list: its merge key's value, or the plain value itself.
pub(crate) fn identity<'a>(item: &'a Value, merge_key: Option<&str>) -> Option<&'a Value> {
    match merge_key {
        Some(key) => item.get(key),
        None => Some(item),
    }
}

fn place(list: &[Value], item: &Value, merge_key: Option<&str>) -> Option<usize> {
    let wanted = identity(item, merge_key)?;
    list.iter().position(|candidate| identity(candidate, merge_key) == Some(wanted))
}

/// Orders a merged list. Items that `wanted` names come in its order; the others keep the order that they have in
/// `live`, each before the first wanted item that stands behind it in `live`.
pub(crate) fn reorder(
    merged: Vec<Value>,
    wanted: &[Value],
    live: &[Value],
    merge_key: Option<&str>,
) -> Vec<Value> {
    let (mut named, mut others): (Vec<Value>, Vec<Value>) =
        merged.into_iter().partition(|item| place(wanted, item, merge_key).is_some());
    named.sort_by_key(|item| place(wanted, item, merge_key));
    others.sort_by_key(|item| place(live, item, merge_key).unwrap_or(usize::MAX));
    let mut result = Vec::with_capacity(named.len() + others.len());
    let mut others = others.into_iter().peekable();
    for item in named {
        let here = place(live, &item, merge_key);
        while let Some(other) = others.peek() {
            match (place(live, other, merge_key), here) {
                (Some(there), Some(here)) if there < here => result.extend(others.next()),
                _ => break,
            }
        }
        result.push(item);
    }
    result.extend(others);
    result
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn orders() {
        for (merged, wanted, live, expected) in [
            (json!([1, 2, 3]), json!([]), json!([1, 2, 3]), json!([1, 2, 3])),
            (json!([1, 2, 3]), json!([3, 1]), json!([1, 2, 3]), json!([2, 3, 1])),
            (json!([1, 2, 3]), json!([2, 1]), json!([1, 2, 3]), json!([2, 1, 3])),
            (json!([1, 2, 4]), json!([4, 1]), json!([1, 2]), json!([4, 1, 2])),
            (json!([2, 9]), json!([9]), json!([2]), json!([9, 2])),
        ] {
            let list = |v: &Value| v.as_array().unwrap().clone();
            assert_eq!(
                json!(reorder(list(&merged), &list(&wanted), &list(&live), None)),
                expected,
                "{merged}"
            );
        }
    }
}
