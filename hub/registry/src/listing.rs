//! Lists in pages: tags of a repository, repositories.

use std::io;
use std::path::Path;

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use crate::Registry;
use crate::api::Parameters;
use crate::api_error::ApiError;

/// The largest page, also where none is asked for.
const MAX_PAGE: usize = 1000;
/// The most parts of a repository's name that are looked into.
const MAX_DEPTH: usize = 16;

pub(crate) async fn tags(registry: &Registry, name: &str, query: &Parameters) -> Result<Response, ApiError> {
    let repository = name.to_owned();
    let found = registry.blocking(move |layout| {
        let known = layout.repository(&repository).join("_manifests").is_dir();
        known.then(|| layout.tags(&repository)).transpose()
    });
    let tags = found.await?.ok_or_else(|| ApiError::name_unknown(name))?;
    let (page, next) = page(tags, query)?;
    Ok(linked(
        Json(json!({ "name": name, "tags": page })).into_response(),
        &format!("/v2/{name}/tags/list"),
        next,
    ))
}

pub(crate) async fn catalog(registry: &Registry, query: &Parameters) -> Result<Response, ApiError> {
    let names = registry.blocking(|layout| {
        let mut names = Vec::new();
        walk(&layout.repositories(), "", 0, &mut names)?;
        names.sort();
        Ok(names)
    });
    let (page, next) = page(names.await?, query)?;
    Ok(linked(Json(json!({ "repositories": page })).into_response(), "/v2/_catalog", next))
}

fn walk(folder: &Path, prefix: &str, depth: usize, names: &mut Vec<String>) -> io::Result<()> {
    if depth > MAX_DEPTH {
        return Ok(());
    }
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let part = entry.file_name().to_string_lossy().into_owned();
        if part.starts_with('_') || !entry.file_type()?.is_dir() {
            continue;
        }
        let name = if prefix.is_empty() { part } else { format!("{prefix}/{part}") };
        if entry.path().join("_manifests").is_dir() {
            names.push(name.clone());
        }
        walk(&entry.path(), &name, depth + 1, names)?;
    }
    Ok(())
}

/// The page of sorted items that `n` and `last` ask for, and the query of the next.
fn page(items: Vec<String>, query: &Parameters) -> Result<(Vec<String>, Option<String>), ApiError> {
    let size = match query.get("n").map(|n| n.parse::<usize>()) {
        None => MAX_PAGE,
        Some(Ok(n)) => n.min(MAX_PAGE),
        Some(Err(_)) => return Err(ApiError::paging("n must be a number of items")),
    };
    let rest: Vec<String> = match query.get("last") {
        Some(last) => items.into_iter().filter(|item| item > last).collect(),
        None => items,
    };
    let more = rest.len() > size;
    let page: Vec<String> = rest.into_iter().take(size).collect();
    let next = page.last().filter(|_| more).map(|last| format!("n={size}&last={last}"));
    Ok((page, next))
}

fn linked(mut response: Response, path: &str, next: Option<String>) -> Response {
    let link = next.and_then(|query| format!("<{path}?{query}>; rel=\"next\"").parse().ok());
    if let Some(link) = link {
        response.headers_mut().insert(http::header::LINK, link);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages() {
        let check = |n: &str, last: &str, expect: &[&str], next: Option<&str>| {
            let mut query = Parameters::new();
            query.extend((!n.is_empty()).then(|| ("n".into(), n.into())));
            query.extend((!last.is_empty()).then(|| ("last".into(), last.into())));
            let items = ["a", "b", "c", "d"].map(String::from).to_vec();
            let (page, link) = page(items, &query).unwrap();
            assert_eq!(
                (page, link.as_deref()),
                (expect.iter().map(ToString::to_string).collect(), next),
                "n={n} last={last}"
            );
        };
        check("", "", &["a", "b", "c", "d"], None);
        check("2", "", &["a", "b"], Some("n=2&last=b"));
        check("2", "b", &["c", "d"], None);
        check("2", "bb", &["c", "d"], None);
        check("0", "", &[], None);
        check("9", "d", &[], None);
        assert!(page(vec![], &Parameters::from([("n".into(), "x".into())])).is_err());
    }
}
